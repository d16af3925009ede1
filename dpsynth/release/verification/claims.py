"""Checks of what the privacy statement claims: all of it must follow from its events."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dpsynth.errors import IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.statement import WITNESS, PrivacyStatement, recompute, sentence_of
from dpsynth.release.gate import SLACK
from dpsynth.release.verification.checks import Check, held, why
from dpsynth.release.verification.versions import not_compared, other_version

#: Relative difference of epsilon that another library version's grid may make.
EPSILON_TOLERANCE = 1e-6
CLAIM_TOLERANCE = 1e-5
#: False-positive rates that every statement answers for.
RATES = ("0.001", "0.01")


def check_claims(statement: PrivacyStatement | None, *, signed: bool) -> Iterator[Check]:
    """Epsilon by both accountants, what an attacker may reach, and the budget asked for.

    Args:
        statement: of the public half; None where it cannot be read.
        signed: whether the bundle says that it is signed.
    """
    if statement is None:
        return  # named by the check of forms
    try:
        yield from _epsilon(statement)
        yield _attacker(statement)
        yield held("sentence", lambda: _sentence(statement, signed=signed))
    except Exception as error:
        yield Check("epsilon", False, f"privacy.json: epsilon cannot be recomputed: {why(error)}")
    kept = statement.epsilon_spent <= statement.epsilon * (1 + SLACK)
    yield Check(
        "budget",
        kept,
        f"epsilon {statement.epsilon_spent:.6g} spent of {statement.epsilon:.6g} asked for "
        f"(delta {statement.delta:g})",
    )


def _epsilon(statement: PrivacyStatement) -> Iterator[Check]:
    epsilon, witness = recompute(statement)
    for name, stated, found in (
        (f"epsilon ({statement.accountant})", statement.epsilon_spent, epsilon),
        (f"witness epsilon ({statement.witness})", statement.witness_epsilon, witness),
    ):
        same = math.isclose(stated, found, rel_tol=EPSILON_TOLERANCE, abs_tol=1e-12)
        message = f"privacy.json states {stated:.6g}, recomputed from its events {found:.6g}"
        yield Check(name, same, message)


def _attacker(statement: PrivacyStatement) -> Check:
    """What the report says of an attacker must follow from the events as epsilon does."""
    stated = _stated(statement)
    found = _found(statement)
    named = (statement.accountant, statement.witness)
    expected = (accounting.resolve(statement.replay_events()), WITNESS)
    if named != expected:
        # Two accountants of one name, or of none that exists, bear nothing out.
        message = f"privacy.json names accountants {named}, its events are for {expected}"
        return Check("claims", False, message)
    wrong = [name for name in stated if not _same(stated[name], found[name])]
    message = "mu, trade-off curve, shares, largest advantage and rates follow from the events"
    return Check(
        "claims",
        not wrong,
        f"{', '.join(wrong)}: not what the events in privacy.json give" if wrong else message,
    )


def _stated(statement: PrivacyStatement) -> dict[str, Any]:
    return {
        "mu": statement.mu,
        "max_advantage": statement.max_advantage,
        "tradeoff": statement.tradeoff,
        "shares": [record.share for record in statement.events],
        **{f"tpr_at_fpr {rate}": tpr for rate, tpr in statement.tpr_at_fpr.items()},
    }


def _found(statement: PrivacyStatement) -> dict[str, Any]:
    events = statement.replay_events()
    return {
        "mu": accounting.gaussian_mu(events),
        "max_advantage": accounting.max_advantage(events),
        "tradeoff": accounting.tradeoff_curve(events),
        "shares": accounting.shares(events),
        **{
            f"tpr_at_fpr {rate}": accounting.tpr_at_fpr(events, float(rate))
            for rate in statement.tpr_at_fpr
        },
    }


def _sentence(statement: PrivacyStatement, *, signed: bool) -> str:
    """The sentence is what most readers read, so it must say what the figures say.

    Raises:
        IntegrityError: it does not.
    """
    rates = statement.tpr_at_fpr
    missing = [rate for rate in RATES if rate not in rates]
    if missing:
        raise IntegrityError(f"privacy.json: tpr_at_fpr lacks {', '.join(missing)}; it was changed")
    expected = sentence_of(
        statement.epsilon_spent,
        statement.delta,
        rates["0.01"],
        statement.privacy_unit,
        statement.max_rows_per_unit,
    )
    made = other_version(statement)
    if statement.sentence != expected and made is not None:
        return not_compared("privacy.json: sentence", made, signed=signed)
    if statement.sentence != expected:
        raise IntegrityError(
            "privacy.json: 'sentence' is not what its figures give; it was changed after the run"
        )
    return "the guarantee in words says what the figures say"


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return left.shape == right.shape and np.allclose(left, right, rtol=CLAIM_TOLERANCE, atol=1e-9)
