"""How commands talk: messages and progress on standard error, results on standard output."""

import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One plain line for a person, on standard error."""
    ERR.print(printable(message), markup=False)


def emit(value: Any, *, as_json: bool, text: str) -> None:
    """The result, on standard output: JSON for machines or text for people."""
    shown = json.dumps(value, indent=1, allow_nan=False) if as_json else printable(text)
    sys.stdout.write(shown + "\n")


def printable(text: str) -> str:
    """The text with control characters spelt out, save line breaks and tabs.

    A bundle, a policy or a name of a file comes from others: it must not move the cursor over the
    words "NOT VERIFIED".
    """
    return "".join(sign if _harmless(sign) else f"\\u{ord(sign):04x}" for sign in text)


def _harmless(sign: str) -> bool:
    return sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs")


class Bars:
    """One progress bar for each stage of a run; call it with (stage, done, total)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._last: str | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of a stage are done; the stage before it is over."""
        name = stage.split(":")[0]
        if name not in self._tasks:
            self._finish()
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._last = name
        self._progress.update(self._tasks[name], completed=done, total=total, description=stage)

    def _finish(self) -> None:
        if self._last is not None:
            task = self._tasks[self._last]
            total = self._progress.tasks[self._progress.task_ids.index(task)].total
            self._progress.update(task, completed=total, description=self._last)

    def close(self) -> None:
        """Mark the last stage as over."""
        self._finish()


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress bars on standard error while the block runs; silent where that is no terminal."""
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal) as progress:
        shown = Bars(progress)
        yield shown
        shown.close()
