"""What is asked of a ledger and what it grants: charges, and charges that are booked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

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


class Reservation:
    """Charges that are committed; each can be taken exactly once, by any thread of this process."""

    def __init__(self, *, charges: Sequence[Charge], booking: Booking) -> None:
        self.release = booking.release
        self.charges = tuple(charges)
        self.booking = booking
        self.head = booking.head
        self._left = {charge.label: charge for charge in charges}
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
