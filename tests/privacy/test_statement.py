import json
import math
from typing import Any

import pytest

from dpsynth.errors import InputError, IntegrityError, UnsupportedEvent
from dpsynth.privacy import accounting
from dpsynth.privacy.events import (
    GaussianEvent,
    NonPrivateEvent,
    SampledGaussianEvent,
    ThresholdedGaussianEvent,
)
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.statement import PrivacyStatement, make_statement, recompute

CHARGES = (
    Charge("count: rows", GaussianEvent(40.0)),
    Charge("values: city", ThresholdedGaussianEvent(30.0, 1e-6)),
    Charge("training: gradients", GaussianEvent(60.0, 200)),
)
SAMPLED = (*CHARGES[:2], Charge("training: gradients", SampledGaussianEvent(3.0, 0.02, 300)))


def state(charges: tuple[Charge, ...] = CHARGES, **changes: Any) -> PrivacyStatement:
    facts: dict[str, Any] = {
        "epsilon": 1.0,
        "delta": 1e-5,
        "charges": charges,
        "privacy_unit": "row",
        "max_rows_per_unit": 1,
        "sampling": "every row in every step",
        "noise_source": "ChaCha20, keyed by the operating system",
        "releasable": True,
        "generator": "independent",
        "clamping": ["age: clamped to 0..120"],
        "unprotected": ["column names"],
        "versions": {"dpsynth": "0.1.0"},
        "booking": None,
    }
    return make_statement(**{**facts, **changes})


def test_figures_are_those_of_the_accountants() -> None:
    statement, events = state(), [charge.event for charge in CHARGES]
    assert statement.epsilon_spent == accounting.epsilon(events, delta=1e-5, accountant="gdp")
    assert statement.witness_epsilon == accounting.epsilon(events, delta=1e-5, accountant="rdp")
    assert (statement.accountant, statement.witness) == ("gdp", "rdp")
    assert statement.mu == pytest.approx(math.sqrt(1 / 1600 + 1 / 900 + 200 / 3600))
    assert statement.max_advantage == accounting.max_advantage(events)
    assert set(statement.tpr_at_fpr) == {"0.001", "0.01"}
    assert statement.tpr_at_fpr["0.01"] == accounting.tpr_at_fpr(events, 0.01)
    assert statement.tradeoff[0][0] == 0.0
    assert statement.tradeoff[-1][0] == 1.0
    assert sum(record.share for record in statement.events) == pytest.approx(1.0)
    assert [record.label for record in statement.events] == [c.label for c in CHARGES]


@pytest.mark.parametrize("charges", [CHARGES, SAMPLED, ()])
def test_the_witness_is_above_and_near(charges: tuple[Charge, ...]) -> None:
    """Renyi conversion loses some per cent; a witness below the first accountant is an alarm."""
    statement = state(charges)
    assert statement.epsilon_spent <= statement.witness_epsilon
    assert statement.witness_epsilon <= 1.15 * statement.epsilon_spent


def test_sampled_events_have_no_mu() -> None:
    statement = state(SAMPLED)
    assert statement.mu is None
    assert statement.accountant == "pld"


@pytest.mark.parametrize("charges", [CHARGES, SAMPLED, (), (Charge("x", NonPrivateEvent()),)])
def test_text_round_trip_and_recompute(charges: tuple[Charge, ...]) -> None:
    statement = state(charges)
    text = statement.to_json_text()
    again = PrivacyStatement.from_json_text(text)
    assert again == statement
    assert again.to_json_text() == text
    assert recompute(again) == (statement.epsilon_spent, statement.witness_epsilon)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_recompute_uses_the_events_and_not_the_claims() -> None:
    data = json.loads(state().to_json_text())
    data["epsilon_spent"] = data["witness_epsilon"] = 0.001
    data["events"][0]["event"]["noise_multiplier"] = 4.0
    lying = PrivacyStatement.from_json_text(json.dumps(data))
    spent, witness = recompute(lying)
    assert spent > state().epsilon_spent
    assert witness > spent


def test_the_head_of_the_ledger_is_kept() -> None:
    ledger = Ledger.open("sqlite://", dataset="adult", epsilon=1.0, delta=1e-5)
    reservation = ledger.reserve(CHARGES, release="one")
    record = state(booking=reservation.booking).ledger
    assert record is not None
    assert (record.head, record.entries) == (ledger.head.hash, 4)
    assert state().ledger is None


def test_sentences() -> None:
    plain = state().sentence
    assert "any one row changes" in plain
    assert f"epsilon {state().epsilon_spent:.4g}, delta 1e-05" in plain
    grouped = state(privacy_unit="person_id", max_rows_per_unit=3).sentence
    assert "any one person_id (at most 3 rows) changes" in grouped
    none = state((Charge("x", NonPrivateEvent()),)).sentence
    assert none.startswith("No privacy guarantee")
    assert "epsilon" not in none


def test_statements_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        state().epsilon_spent = 0.0


def drop(data: dict[str, Any]) -> None:
    del data["delta"]


def add(data: dict[str, Any]) -> None:
    data["blessed"] = True


def other_format(data: dict[str, Any]) -> None:
    data["format"] = "dpsynth.privacy/4"


def word_for_number(data: dict[str, Any]) -> None:
    data["epsilon"] = "small"


def break_event(data: dict[str, Any]) -> None:
    data["events"][0]["event"]["noise_multiplier"] = -1.0


@pytest.mark.parametrize("change", [drop, add, other_format, word_for_number, break_event])
def test_broken_statements_are_refused(change: Any) -> None:
    data = json.loads(state().to_json_text())
    change(data)
    with pytest.raises(IntegrityError):
        PrivacyStatement.from_json_text(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff\xfe"])
def test_what_is_no_statement_is_refused(text: str | bytes) -> None:
    with pytest.raises(IntegrityError, match="privacy statement"):
        PrivacyStatement.from_json_text(text)


def test_an_event_of_a_later_version_is_refused() -> None:
    data = json.loads(state().to_json_text())
    data["events"][0]["event"] = {"type": "laplace", "scale": 1.0}
    with pytest.raises(UnsupportedEvent, match="laplace"):
        PrivacyStatement.from_json_text(json.dumps(data))


def test_a_witness_that_does_not_exist_is_refused() -> None:
    data = json.loads(state().to_json_text())
    data["witness"] = "hearsay"
    with pytest.raises(InputError, match="hearsay"):
        recompute(PrivacyStatement.from_json_text(json.dumps(data)))
