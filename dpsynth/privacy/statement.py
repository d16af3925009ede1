"""The privacy statement: what was done to the private rows and what it can cost a person.

Everything in it is public. Epsilon follows from the events alone, so whoever holds a statement can
work it out again with :func:`recompute`; the figures here are claims, the events are the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dpsynth.errors import IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import Event, event_from_json, event_to_json
from dpsynth.privacy.ledger import Booking, Charge
from dpsynth.privacy.lineage_record import LineageRecord, stated

WITNESS = "rdp"
"""The second accountant: other mathematics and other code than the first."""

_FPRS = {"0.001": 0.001, "0.01": 0.01}


class _Frozen(BaseModel):
    # Infinity (a NonPrivateEvent took part) has no JSON number; it is written as a string.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class EventRecord(_Frozen):
    """One charge of the ledger: its label, its event as JSON, its share of the budget (0 to 1)."""

    label: str
    event: dict[str, Any]
    share: float


class LedgerRecord(_Frozen):
    """Where the charges are booked, and what all releases cost the same people together.

    Attributes:
        head, entries: hash of the ledger's last entry and the number of entries, right after the
            charges were booked; a ledger that was cut short or rewritten since no longer has them.
        release: the ledger's name of this release, drawn at random.
        releases: releases that were charged to the dataset so far, this one included.
        total_epsilon, total_delta: what they cost together.
        budget_epsilon: the most that the ledger will ever grant, at `total_delta`.
        shared: False where the ledger was made for this release alone: then it cannot know of
            earlier ones.
    """

    head: str
    entries: int
    release: str
    releases: int
    total_epsilon: float
    total_delta: float
    budget_epsilon: float
    shared: bool


class PrivacyStatement(_Frozen):
    """All that a reader needs to judge the guarantee.

    Attributes:
        format: version of this file's form.
        epsilon, delta: the budget that was asked for, under `neighboring_relation`.
        epsilon_spent: what the events cost at delta, by `accountant`; an upper bound.
        accountant: "gdp" (exact closed form) or "pld" (numerical upper bound).
        witness, witness_epsilon: a second accountant and its upper bound, by other mathematics: by
            Renyi divergences, a few per cent above the first. Below it, something is wrong.
        mu: parameter of Gaussian differential privacy; None where events are sampled.
        tradeoff: pairs (false-positive rate, smallest false-negative rate of any attack).
        max_advantage: largest true-positive minus false-positive rate of any attack.
        tpr_at_fpr: largest true-positive rate of any attack at false-positive rates 0.001 and 0.01.
        privacy_unit: whose presence is hidden: "row", or the column that names the unit.
        max_rows_per_unit: so many rows of one unit took part at most, enforced by dropping.
        events: everything that was charged.
        sampling: the sampling scheme as it was executed.
        noise_source: where the noise came from. releasable: False for seeded noise.
        generator: name of the generator.
        clamping: what was changed to fit the domain, a line each.
        unprotected: what is public by declaration and not covered by epsilon, a line each.
        versions: package name -> version.
        ledger: where it was booked, and the total over all releases; None without a ledger.
        policy_hash: of the release policy, booked in the ledger with the charges, before the first
            question to the rows; None where no policy was fixed.
        input_generation: 0 for rows that nobody knows to be synthetic, else how often they went
            through a generator before.
        lineage: from what the rows are known to come, and how closely that was looked at.
        sentence: the guarantee in one sentence.
    """

    format: Literal["dpsynth.privacy/3"] = "dpsynth.privacy/3"
    epsilon: float
    delta: float
    epsilon_spent: float
    accountant: str
    witness: str
    witness_epsilon: float
    mu: float | None
    tradeoff: tuple[tuple[float, float], ...]
    max_advantage: float
    tpr_at_fpr: dict[str, float]
    neighboring_relation: Literal["add_or_remove_one"] = "add_or_remove_one"
    privacy_unit: str
    max_rows_per_unit: int
    events: tuple[EventRecord, ...]
    sampling: str
    noise_source: str
    releasable: bool
    generator: str
    clamping: tuple[str, ...]
    unprotected: tuple[str, ...]
    versions: dict[str, str]
    ledger: LedgerRecord | None
    policy_hash: str | None
    input_generation: int
    lineage: LineageRecord
    sentence: str

    def to_json_text(self) -> str:
        """The statement as JSON, indented, with a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json_text(cls, text: str | bytes) -> PrivacyStatement:
        """Read what :meth:`to_json_text` wrote.

        Raises:
            IntegrityError: no such JSON, a field or event missing, left over or out of range.
            UnsupportedEvent: an event this version does not know.
        """
        try:
            statement = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise IntegrityError(
                f"privacy statement: {where}: {first['msg']}; it must be as dpsynth wrote it"
            ) from error
        statement.replay_events()
        return statement

    def without_learned(self) -> PrivacyStatement:
        """Without the bounds that were learned from the rows: for a release that was stopped."""
        count = len(self.clamping)
        hidden = (f"{count} notes, kept inside since the release was stopped",) if count else ()
        return self.model_copy(update={"clamping": hidden})

    def replay_events(self) -> tuple[Event, ...]:
        """The events as values, from their JSON; raises as :meth:`from_json_text`."""
        return tuple(event_from_json(record.event) for record in self.events)


# More arguments than the house allows: each is one line of the statement and has no default, so
# that none can be forgotten.
def make_statement(
    *,
    epsilon: float,
    delta: float,
    charges: Sequence[Charge],
    privacy_unit: str,
    max_rows_per_unit: int,
    sampling: str,
    noise_source: str,
    releasable: bool,
    generator: str,
    clamping: Sequence[str],
    unprotected: Sequence[str],
    versions: dict[str, str],
    booking: Booking | None,
    policy_hash: str | None = None,
    input_generation: int = 0,
    lineage: LineageRecord | None = None,
) -> PrivacyStatement:
    """Account for `charges` and state the facts; arguments as the attributes of the same name.

    Args:
        charges: everything that was charged for the release.
        booking: how they were booked; None where there was no ledger.
        lineage: None where the owner alone speaks of it, by `input_generation`.

    Raises:
        InputError: epsilon or delta. UnsupportedEvent: an event that no accountant knows.
    """
    events = [charge.event for charge in charges]
    spent = accounting.epsilon(events, delta=delta)
    rates = {name: accounting.tpr_at_fpr(events, fpr) for name, fpr in _FPRS.items()}
    return PrivacyStatement(
        epsilon=epsilon,
        delta=delta,
        epsilon_spent=spent,
        accountant=accounting.resolve(events),
        witness=WITNESS,
        witness_epsilon=accounting.epsilon(events, delta=delta, accountant=WITNESS),
        mu=accounting.gaussian_mu(events),
        tradeoff=tuple((float(x), float(y)) for x, y in accounting.tradeoff_curve(events)),
        max_advantage=accounting.max_advantage(events),
        tpr_at_fpr=rates,
        privacy_unit=privacy_unit,
        max_rows_per_unit=max_rows_per_unit,
        events=tuple(
            EventRecord(label=charge.label, event=event_to_json(charge.event), share=share)
            for charge, share in zip(charges, accounting.shares(events), strict=True)
        ),
        sampling=sampling,
        noise_source=noise_source,
        releasable=releasable,
        generator=generator,
        clamping=tuple(clamping),
        unprotected=tuple(unprotected),
        versions=versions,
        ledger=None if booking is None else _record(booking),
        policy_hash=policy_hash,
        input_generation=input_generation,
        lineage=lineage or LineageRecord(made_from=stated(input_generation)),
        sentence=sentence_of(spent, delta, rates["0.01"], privacy_unit, max_rows_per_unit),
    )


def _record(booking: Booking) -> LedgerRecord:
    return LedgerRecord(
        head=booking.head.hash,
        entries=booking.head.entries,
        release=booking.release,
        releases=booking.releases,
        total_epsilon=booking.total_epsilon,
        total_delta=booking.budget.delta,
        budget_epsilon=booking.budget.epsilon,
        shared=booking.shared,
    )


def recompute(statement: PrivacyStatement) -> tuple[float, float]:
    """(epsilon, witness epsilon) at the statement's delta, from its events and nothing else.

    Raises:
        IntegrityError, UnsupportedEvent: an event that cannot be read.
        InputError: delta outside (0, 1), or a witness that does not exist.
    """
    events = statement.replay_events()
    spent = accounting.epsilon(events, delta=statement.delta)
    return spent, accounting.epsilon(events, delta=statement.delta, accountant=statement.witness)


def sentence_of(spent: float, delta: float, tpr: float, unit: str, rows: int) -> str:
    """The guarantee for a reader who knows no mathematics; exact, and true for any attacker."""
    who = "row" if unit == "row" else f"{unit} (at most {rows} rows)"
    if not math.isfinite(spent):
        return f"No privacy guarantee: what was done can reveal any one {who} of the private table."
    return (
        f"Adding or removing any one {who} changes the probability of every possible release by at "
        f"most a factor of {math.exp(min(spent, 700.0)):.4g}, up to a probability of {delta:g} "
        f"(epsilon {spent:.4g}, delta {delta:g}): whatever else an attacker knows, a test that "
        f"reports 1 % of the absent by mistake recognizes at most {100 * tpr:.3g} % of the present."
    )
