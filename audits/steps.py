"""Steps of a long run: told before each one, timed after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


class Steps:
    """Counts and times the steps of one audit.

    Attributes:
        seconds: wall time by step.
    """

    def __init__(self, total: int, progress: Progress | None = None) -> None:
        self._report = progress or (lambda what, done, total: None)
        self._total = total
        self._done = 0
        self.seconds: dict[str, float] = {}

    def take(self, name: str, step: Callable[[], T]) -> T:
        """Run one step."""
        self._report(name, self._done, self._total)
        start = time.perf_counter()
        result = step()
        self.seconds[name] = time.perf_counter() - start
        self._done += 1
        return result

    def end(self) -> None:
        """Tell that all is done."""
        self._report("done", self._total, self._total)
