"""The part of a ledger that goes with a bundle: it bears its statement out, and nothing else."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.events import GaussianEvent, SampledGaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.ledger_extract import check_extract
from dpsynth.privacy.statement import PrivacyStatement, make_statement

CHARGES = (Charge("count", GaussianEvent(20.0)), Charge("marginals", GaussianEvent(8.0)))
HASH = "ab" * 32
Change = Callable[[dict[str, Any]], None]


def statement_of(ledger: Ledger, release: str, charges: tuple[Charge, ...], **facts: Any) -> Any:
    booking = ledger.reserve(charges, release=release, facts=facts).booking
    return make_statement(
        epsilon=1.0,
        delta=1e-5,
        charges=charges,
        privacy_unit="row",
        max_rows_per_unit=1,
        sampling="full batch",
        noise_source="ChaCha20",
        releasable=True,
        generator="autoregressive",
        clamping=(),
        unprotected=(),
        versions={},
        booking=booking,
        policy_hash=facts.get("policy_hash"),
        input_generation=facts.get("input_generation", 0),
    )


@pytest.fixture
def book() -> Ledger:
    """Two datasets in turn, so that the extract has gaps, also at its start."""
    other = Ledger.open("sqlite://", dataset="secret census", epsilon=9.0, delta=1e-6)
    ledger = Ledger._opened(other._store, "adult", type(other.budget)(2.0, 1e-5), must_be_new=True)
    other.reserve([Charge("secret question", GaussianEvent(7.0))], release="secret release")
    ledger.reserve([Charge("early", GaussianEvent(30.0))], release="earlier")
    ledger.record_release("earlier", {"verdict": "allow", "manifest_sha256": HASH})
    other.record_release("secret release", {"verdict": "refuse", "created": "secret time"})
    return ledger


@pytest.fixture
def made(book: Ledger) -> tuple[str, PrivacyStatement]:
    statement = statement_of(book, "ours", CHARGES, policy_hash=HASH, input_generation=1)
    book.reserve([Charge("late", GaussianEvent(99.0))], release="later")
    return book.extract("ours"), statement


def test_an_extract_bears_its_statement_out(made: tuple[str, PrivacyStatement]) -> None:
    text, statement = made
    check_extract(text, statement)
    check_extract(text.encode(), PrivacyStatement.from_json_text(statement.to_json_text()))


def test_it_holds_what_came_before_and_nothing_of_others(
    made: tuple[str, PrivacyStatement],
) -> None:
    text, statement = made
    data = json.loads(text)
    assert statement.ledger is not None
    assert len(data["entries"]) == statement.ledger.entries
    assert [e.get("kind") for e in data["entries"]] == [
        None, "budget", None, "charge", "release", None, "opening", "charge", "charge"
    ]  # fmt: skip
    assert "secret" not in text
    assert "later" not in text
    bare = data["entries"][0]
    assert set(bare) == {"seq", "previous", "hash"}


def test_sampled_events_and_a_ledger_without_facts_check_too(book: Ledger) -> None:
    charges = (Charge("training", SampledGaussianEvent(4.0, 0.02, 100)),)
    statement = statement_of(book, "ours", charges)
    assert book.entries()[-2].kind != "opening"
    check_extract(book.extract("ours"), statement)


def test_what_was_not_charged_has_no_extract(book: Ledger) -> None:
    for release in ("ours", "secret release", ""):
        with pytest.raises(InputError, match="never charged to dataset 'adult'"):
            book.extract(release)


def rehash(data: dict[str, Any]) -> None:
    """Make the chain fit again, as a forger would: from the first whole entry that was changed."""
    previous = "0" * 64
    for entry in data["entries"]:
        changed = entry["previous"] != previous
        entry["previous"] = previous
        if "payload" in entry:
            row = {**entry, "payload": canonical(entry["payload"])}
            del row["hash"]
            entry["hash"] = hashlib.sha256(canonical(row).encode()).hexdigest()
        elif changed:
            entry["hash"] = hashlib.sha256(entry["hash"].encode()).hexdigest()
        previous = entry["hash"]


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def entry(number: int, **changes: Any) -> Change:
    return lambda data: data["entries"][number].update(changes)


def payload(number: int, **changes: Any) -> Change:
    return lambda data: data["entries"][number]["payload"].update(changes)


def drop(number: int) -> Change:
    return lambda data: data["entries"].pop(number)


def hide(number: int) -> Change:
    """Show an own entry as one of another dataset: the chain still holds."""

    def change(data: dict[str, Any]) -> None:
        whole = data["entries"][number]
        data["entries"][number] = {name: whole[name] for name in ("seq", "previous", "hash")}

    return change


CHANGES: list[tuple[Change, str]] = [
    (entry(3, label="other"), "entry 3 was changed"),
    (entry(3, time="2020-01-01T00:00:00+00:00"), "entry 3 was changed"),
    (payload(7, noise_multiplier=99.0), "entry 7 was changed"),
    (payload(1, epsilon=50.0), "entry 1 was changed"),
    (payload(6, policy_hash="cd" * 32), "entry 6 was changed"),
    (entry(2, hash="12" * 32), "entry 3 does not follow"),
    (entry(0, previous="12" * 32), "entry 0 does not follow"),
    (entry(4, seq=9), "entry 4 has number 9"),
    (drop(5), "entry 5 has number 6"),
    (drop(8), "has 8 entries, the statement says 9"),
    (entry(8, hash="12" * 32), "entry 8 was changed"),
    (hide(3), "releases 1, the statement says 2|total_epsilon"),
    (hide(1), "must have one budget"),
    (hide(6), "policy_hash was fixed as None"),
    (hide(7), "books 1 charges, the statement has 2"),
    (hide(8), "entry 8 must be the last charge"),
    (lambda data: data.update(release="earlier"), "is of release 'earlier'"),
    (lambda data: data.update(dataset="other"), "which has no place"),
    (lambda data: data.update(format="dpsynth.ledger/2"), "made by a newer version"),
    (lambda data: data.update(format="dpsynth.ledger/0"), "older than"),
    (lambda data: data.update(format="other"), "format is 'other'"),
    (lambda data: data.update(extra=1), "extra: Extra inputs"),
    (lambda data: data.pop("entries"), "entries: Field required"),
    (lambda data: data.update(entries=[]), "must have one budget"),
    (lambda data: data.update(entries=[1]), "entries.0"),
    (entry(3, kind="treaty"), "entry 3 was changed"),
    (lambda data: data["entries"][3].pop("label"), "entries.3"),
]


@pytest.mark.parametrize(("change", "fault"), CHANGES)
def test_every_change_is_found_and_named(
    change: Change, fault: str, made: tuple[str, PrivacyStatement]
) -> None:
    text, statement = made
    data = json.loads(text)
    change(data)
    with pytest.raises(IntegrityError, match=fault):
        check_extract(json.dumps(data), statement)


FORGED: list[tuple[Change, str]] = [
    (entry(3, label="other"), "the statement's head is"),
    (payload(1, epsilon=50.0), "the statement's head is"),
]


@pytest.mark.parametrize(("change", "fault"), FORGED)
def test_a_chain_made_anew_has_another_head(
    change: Change, fault: str, made: tuple[str, PrivacyStatement]
) -> None:
    text, statement = made
    data = json.loads(text)
    rehash(data)
    check_extract(json.dumps(data), statement)  # control: the forger's hashes are right
    change(data)
    rehash(data)
    with pytest.raises(IntegrityError, match=fault):
        check_extract(json.dumps(data), statement)


def record(**changes: Any) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda s: s.model_copy(update={"ledger": s.ledger.model_copy(update=changes)})  # type: ignore[union-attr]


def first_event(**changes: Any) -> Callable[[PrivacyStatement], PrivacyStatement]:
    return lambda s: s.model_copy(
        update={"events": (s.events[0].model_copy(update=changes), *s.events[1:])}
    )


LOUD = {"type": "gaussian", "noise_multiplier": 21.0, "steps": 1}


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (record(head="12" * 32), "the statement's head is"),
        (record(entries=8), "the statement says 8"),
        (record(release="other"), "the statement's is 'other'"),
        (record(releases=1), "gives releases 2, the statement says 1"),
        (record(total_epsilon=0.5), "gives total_epsilon .*, the statement says 0.5"),
        (record(total_delta=1e-6), "gives total_delta 1e-05"),
        (record(budget_epsilon=50.0), "gives budget_epsilon 2, the statement says 50"),
        (first_event(label="other"), "'count', the statement has 'other'"),
        (first_event(event=LOUD), r"entry 7 \(count\) books another event"),
        (lambda s: s.model_copy(update={"events": s.events[:1]}), "books 2 charges"),
        (lambda s: s.model_copy(update={"policy_hash": None}), "policy_hash was fixed as 'abab"),
        (lambda s: s.model_copy(update={"input_generation": 0}), "input_generation was fixed as 1"),
        (lambda s: s.model_copy(update={"ledger": None}), "names no ledger"),
    ],
)
def test_every_lie_of_a_statement_is_found(
    lie: Callable[[PrivacyStatement], PrivacyStatement],
    fault: str,
    made: tuple[str, PrivacyStatement],
) -> None:
    text, statement = made
    with pytest.raises(IntegrityError, match=fault):
        check_extract(text, lie(statement))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "1" * 5000, "[" * 100_000, b"\xff\x00", "NaN", '{"format": NaN}',
        '{"format": 1}', '{"entries": [[[]]]}', '{"format": "dpsynth.ledger/' + "9" * 5000 + '"}',
    ],
)  # fmt: skip
def test_what_is_no_extract_is_refused(
    text: str | bytes, made: tuple[str, PrivacyStatement]
) -> None:
    with pytest.raises(IntegrityError, match="ledger extract"):
        check_extract(text, made[1])


def test_every_byte_counts(made: tuple[str, PrivacyStatement]) -> None:
    """Any digit or letter of the extract that is changed is found."""
    text, statement = made
    for place in range(0, len(text), 7):
        if not text[place].isalnum():
            continue
        other = "1" if text[place] != "1" else "2"
        with pytest.raises(IntegrityError):
            check_extract(text[:place] + other + text[place + 1 :], statement)
