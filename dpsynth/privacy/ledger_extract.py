"""The part of a ledger that goes with one release, and the check that it bears the statement out.

An extract holds every entry up to the release's last charge: those of its own dataset whole, those
of other datasets as hashes alone. So it shows nothing of other datasets, and still the chain can be
followed from the first entry to the head that the privacy statement names.

What it cannot show by itself: that an entry which is said to be of another dataset is. An earlier
release of the same people that is hidden so is found by the ledger alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import event_to_json
from dpsynth.privacy.ledger_entries import BEFORE_FIRST, Entry, canonical, read_entry, row_hash
from dpsynth.privacy.ledger_releases import charged, events_of

if TYPE_CHECKING:
    from dpsynth.privacy.statement import LedgerRecord, PrivacyStatement

FORMAT = "dpsynth.ledger/1"
_WHAT = "ledger extract"
_TOTAL_TOLERANCE = 1e-6  # other versions of the accountant's libraries round otherwise


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Link(_Frozen):
    """An entry of another dataset: its place in the chain."""

    seq: int
    previous: str
    hash: str


class _Whole(_Link):
    """An entry of the release's own dataset."""

    kind: str
    dataset: str
    release: str
    label: str
    payload: dict[str, Any]
    time: str


class _Extract(_Frozen):
    format: str
    dataset: str
    release: str
    entries: tuple[_Whole | _Link, ...]


def extract_text(rows: Sequence[Mapping[str, Any]], *, dataset: str, release: str) -> str:
    """The extract of a release as JSON text, with a line break at the end.

    Args:
        rows: all entries of the ledger as stored, checked by the caller.

    Raises:
        InputError: no such release was charged to the dataset.
    """
    ends = [
        place
        for place, row in enumerate(rows)
        if (row["kind"], row["dataset"], row["release"]) == ("charge", dataset, release)
    ]
    if not ends:
        raise InputError(f"release {release!r} was never charged to dataset {dataset!r}")
    entries = [
        {**row, "payload": json.loads(row["payload"])}
        if row["dataset"] == dataset
        else {name: row[name] for name in ("seq", "previous", "hash")}
        for row in rows[: ends[-1] + 1]
    ]
    found = {"format": FORMAT, "dataset": dataset, "release": release, "entries": entries}
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def check_extract(text: str | bytes, statement: PrivacyStatement) -> int:
    """Check that an extract is whole and that the statement says what it shows.

    Args:
        text: what `Ledger.extract` gave for the release.
        statement: of the same release, with a `ledger`.

    Returns:
        How many entries are said to be of other datasets; what they hold, it does not show.

    Raises:
        IntegrityError: naming the first thing that is wrong: form, chain, head, charges, totals, or
            what was fixed beforehand.
    """
    record = statement.ledger
    if record is None:
        raise IntegrityError(f"{_WHAT}: the privacy statement names no ledger, so there is no such")
    extract = _parse(text)
    if extract.release != record.release:
        raise _fault(f"is of release {extract.release!r}, the statement's is {record.release!r}")
    own = _own_entries(extract)
    _check_head(extract, own, record)
    _check_charges(own, statement, record)
    _check_totals(own, record, extract.dataset)
    _check_fixed(own, statement, record)
    return len(extract.entries) - len(own)


def _parse(text: str | bytes) -> _Extract:
    try:
        extract = _Extract.model_validate_json(text)
    except ValidationError as error:
        found = _format_of(text)
        if found is not None and found != FORMAT:
            raise _other_format(found) from error
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _fault(f"{where}: {first['msg']}; it must be as dpsynth wrote it") from error
    if extract.format != FORMAT:
        raise _other_format(extract.format)
    return extract


def _format_of(text: str | bytes) -> str | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = data.get("format") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _other_format(found: str) -> IntegrityError:
    name, ours = FORMAT.split("/")
    match = re.fullmatch(rf"{re.escape(name)}/(\d{{1,9}})", found)
    if match is None:
        return _fault(f"format is {found!r}, must be {FORMAT!r}")
    if int(match[1]) > int(ours):
        return _fault(f"format is {found!r}, made by a newer version of dpsynth; install that")
    return _fault(f"format is {found!r}, older than {FORMAT!r}, which this version reads")


def _own_entries(extract: _Extract) -> tuple[Entry, ...]:
    """The entries of the release's dataset, after the chain was followed through all of them."""
    own: list[Entry] = []
    previous = BEFORE_FIRST
    for place, link in enumerate(extract.entries):
        if link.seq != place:
            raise _fault(f"entry {place} has number {link.seq}; one is missing or out of place")
        if link.previous != previous:
            raise _fault(f"entry {place} does not follow the one before it: the chain is broken")
        if isinstance(link, _Whole):
            row = {**link.model_dump(), "payload": canonical(link.payload)}
            if row_hash(row) != link.hash:
                raise _fault(f"entry {place} was changed: its contents have another hash")
            if link.dataset != extract.dataset:
                raise _fault(f"entry {place} is of dataset {link.dataset!r}, which has no place")
            own.append(read_entry(row, ledger="extract"))
        previous = link.hash
    budgets = [entry.seq for entry in own if entry.budget]
    if not own or budgets != [own[0].seq]:
        raise _fault(f"dataset {extract.dataset!r} must have one budget, before its charges")
    return tuple(own)


def _check_head(extract: _Extract, own: Sequence[Entry], record: LedgerRecord) -> None:
    count, last = len(extract.entries), extract.entries[-1]
    if count != record.entries:
        raise _fault(f"has {count} entries, the statement says {record.entries}")
    if last.hash != record.head:
        raise _fault(f"ends with hash {last.hash}, the statement's head is {record.head}")
    final = own[-1]
    if final.seq != last.seq or final.event is None or final.release != record.release:
        raise _fault(f"entry {last.seq} must be the last charge of release {record.release!r}")


def _check_charges(own: Sequence[Entry], statement: PrivacyStatement, record: LedgerRecord) -> None:
    booked = [entry for entry in own if entry.event and entry.release == record.release]
    if len(booked) != len(statement.events):
        raise _fault(f"books {len(booked)} charges, the statement has {len(statement.events)}")
    for entry, claimed in zip(booked, statement.events, strict=True):
        if entry.label != claimed.label:
            raise _fault(
                f"entry {entry.seq} is charge {entry.label!r}, the statement has {claimed.label!r}"
            )
        if entry.event is None or event_to_json(entry.event) != claimed.event:
            raise _fault(
                f"entry {entry.seq} ({entry.label}) books another event than the statement has"
            )


def _check_totals(own: Sequence[Entry], record: LedgerRecord, dataset: str) -> None:
    budget = own[0].budget
    if budget is None:
        raise _fault(f"entry {own[0].seq} is no budget")
    total = accounting.epsilon(events_of(own, dataset), delta=budget.delta)
    for name, booked, claimed in (
        ("budget_epsilon", budget.epsilon, record.budget_epsilon),
        ("total_delta", budget.delta, record.total_delta),
        ("releases", len(charged(own, dataset)), record.releases),
    ):
        if booked != claimed:
            raise _fault(f"gives {name} {booked:g}, the statement says {claimed:g}")
    if not math.isclose(total, record.total_epsilon, rel_tol=_TOTAL_TOLERANCE):
        raise _fault(
            f"gives total_epsilon {total:.9g}, the statement says {record.total_epsilon:.9g}"
        )


def _check_fixed(own: Sequence[Entry], statement: PrivacyStatement, record: LedgerRecord) -> None:
    openings = [e for e in own if e.kind == "opening" and e.release == record.release]
    if len(openings) > 1:
        raise _fault(f"entry {openings[1].seq} opens release {record.release!r} again")
    facts: Mapping[str, Any] = (openings[0].facts or {}) if openings else {}
    for name, booked, claimed in (
        ("policy_hash", facts.get("policy_hash"), statement.policy_hash),
        # What the rows themselves tell comes after the charges: it stands in the statement alone.
        ("input_generation", facts.get("input_generation", 0), _stated_generation(statement)),
    ):
        if booked != claimed:
            raise _fault(f"{name} was fixed as {booked!r}, the statement says {claimed!r}")


def _stated_generation(statement: PrivacyStatement) -> int:
    recognized = any(parent.known_by == "rows" for parent in statement.lineage.made_from)
    return statement.lineage.stated_generation if recognized else statement.input_generation


def _fault(what: str) -> IntegrityError:
    return IntegrityError(f"{_WHAT}: {what}")
