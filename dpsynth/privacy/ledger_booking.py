"""What is asked of a ledger and what it grants: charges, and charges that are booked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dpsynth.errors import BudgetExceeded
from dpsynth.privacy.events import Event
from dpsynth.privacy.ledger_entries import Budget, Head


@dataclass(frozen=True)
class Charge:
    """What one question will cost. label: unique within its release."""

    label: str
    event: Event


@dataclass(frozen=True)
class Booking:
    """A ledger right after a release was booked.

    Attributes:
        release: its name in the ledger.
        head: state of the ledger with it.
        releases: releases charged to the same dataset so far, this one included.
        total_epsilon: what they cost together, at the budget's delta.
        budget: of the dataset.
        shared: False for a ledger that was made for this release alone, so that it cannot hold
            earlier ones.
    """

    release: str
    head: Head
    releases: int
    total_epsilon: float
    budget: Budget
    shared: bool = True


class Steps(Protocol):
    """Where the steps of a training are counted; see `dpsynth.privacy.ledger_steps`.

    Attributes:
        begun: steps that were spent before.
    """

    begun: int

    def begin(self, taken: int) -> None:
        """Note that one more than `taken` steps are spent, before a row is read for it."""
        ...


class _Uncounted:
    """Steps of a training that nobody can go on with: the channel's own count is enough."""

    begun = 0

    def begin(self, taken: int) -> None:
        """Nothing to note."""


class Reservation:
    """Charges that are committed; each can be taken exactly once, by any thread of this process."""

    def __init__(self, *, charges: Sequence[Charge], booking: Booking) -> None:
        self.release = booking.release
        self.charges = tuple(charges)
        self.booking = booking
        self.head = booking.head
        self._left = {charge.label: charge for charge in charges}
        self._steps: dict[str, Steps] = {}
        self._lock = threading.Lock()

    @property
    def remaining(self) -> tuple[str, ...]:
        """Labels not taken yet, in the order of the reservation."""
        with self._lock:
            return tuple(self._left)

    def take(self, label: str) -> Charge:
        """The charge of that label, which is used up by this.

        Raises:
            BudgetExceeded: not reserved, or taken before.
        """
        with self._lock:
            charge = self._left.pop(label, None)
        if charge is None:
            known = any(charge.label == label for charge in self.charges)
            what = "was taken before" if known else "was not reserved"
            raise BudgetExceeded(f"release {self.release!r}: charge {label!r} {what}")
        return charge

    def keep_steps(self, label: str, steps: Steps) -> None:
        """Count the steps that the charge of that label pays for in `steps` from now on."""
        self._steps[label] = steps

    def steps_of(self, label: str) -> Steps:
        """Where the steps of a charge are counted."""
        return self._steps.get(label, _Uncounted())
