"""Controls: a generator that copies rows is refused, one that never saw a row is not accused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.result import AuditResult
from dpsynth.fitted import FittedModel
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.evidence import AuditOptions, audit_tables
from dpsynth.release.gate import decide
from dpsynth.release.policy import default_policy_text, parse_policy, policy_hash
from dpsynth.release.training import Training
from dpsynth.schema import Schema
from dpsynth.table import Table

POLICY = parse_policy(default_policy_text(), source="the shipped policy")


@pytest.fixture(scope="module")
def parts(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return table.iloc[:700].reset_index(drop=True), table.iloc[700:].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(synthesizer: Callable, parts: tuple[pd.DataFrame, ...]) -> FittedModel:
    """A real fit within the policy: so that the evidence alone decides."""
    model: FittedModel = synthesizer(epsilon=3.0).fit(parts[0], policy_hash=policy_hash(POLICY))
    return model


@pytest.fixture(scope="module")
def statement(fitted: FittedModel) -> PrivacyStatement:
    return fitted.statement()


def evidence(
    parts: tuple[pd.DataFrame, pd.DataFrame],
    synthetic: pd.DataFrame,
    schema: Schema,
    seed: int = 0,
    **options: Any,
) -> AuditResult:
    tables = tuple(Table.from_frame(frame) for frame in (*parts, synthetic))
    return audit_tables(tables, schema=schema, options=AuditOptions(seed=seed, **options))


def blind(rows: int, seed: int) -> pd.DataFrame:
    """Rows from the declared bounds and categories alone."""
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 731, rows), unit="D")
    return pd.DataFrame(
        {
            "person_id": np.arange(rows),
            "age": rng.integers(18, 91, rows),
            "sex": rng.choice(["female", "male"], rows),
            "income": np.round(rng.uniform(0, 20_000, rows), 2),
            "joined": days.strftime("%Y-%m-%d"),
            "active": rng.random(rows) < 0.5,
        }
    )


def test_a_generator_that_returns_training_rows_is_refused(
    parts: tuple[pd.DataFrame, pd.DataFrame], schema: Schema, statement: PrivacyStatement
) -> None:
    audit = evidence(parts, parts[0], schema)
    decision = decide(statement, audit, POLICY)
    assert audit.verdict == "leak"
    assert decision.verdict == "refuse"
    assert decision.exit_code == 3
    assert any(rule.verdict == "refuse" for rule in decision.rules)


def test_half_copies_are_refused_too(
    parts: tuple[pd.DataFrame, pd.DataFrame], schema: Schema, statement: PrivacyStatement
) -> None:
    mixed = pd.concat([parts[0].sample(350, random_state=1), blind(350, seed=2)])
    decision = decide(statement, evidence(parts, mixed, schema), POLICY)
    assert decision.verdict == "refuse"


def test_fresh_rows_of_the_same_source_are_allowed_by_the_shipped_policy(
    parts: tuple[pd.DataFrame, pd.DataFrame],
    fresh: pd.DataFrame,
    schema: Schema,
    fitted: FittedModel,
) -> None:
    """Attacks that are blind on so few rows stop nothing, as others are not."""
    statement = fitted.statement()
    audit = evidence(parts, fresh, schema, claim=(statement.epsilon, statement.delta))
    assert "inconclusive" in {finding.verdict for finding in audit.findings}
    decision = decide(statement, audit, POLICY, training=Training.of(fitted.watched))
    assert decision.verdict == "allow", [r for r in decision.rules if r.verdict != "allow"]


def test_what_was_not_tried_is_not_allowed(
    parts: tuple[pd.DataFrame, pd.DataFrame],
    fresh: pd.DataFrame,
    schema: Schema,
    statement: PrivacyStatement,
) -> None:
    claim = (statement.epsilon, statement.delta)
    few = {"attacks": ["closest_record"], "checks": ["copies", "nearest_neighbours"]}
    decision = decide(statement, evidence(parts, fresh, schema, claim=claim, **few), POLICY)
    assert decision.verdict == "inconclusive"
    missing = {rule.rule for rule in decision.rules if rule.verdict == "inconclusive"}
    assert {"finding linkability", "finding density_ratio"} <= missing
    assert "group membership" not in missing


@pytest.mark.parametrize("seed", [1, 2])
def test_a_generator_that_never_saw_the_data_is_not_called_leaky(
    parts: tuple[pd.DataFrame, pd.DataFrame],
    schema: Schema,
    statement: PrivacyStatement,
    seed: int,
) -> None:
    audit = evidence(parts, blind(700, seed), schema, seed=seed)
    assert audit.verdict != "leak"
    leaks = [f.name for f in audit.findings if f.verdict == "leak"]
    assert leaks == []


def test_copies_of_the_holdout_are_no_leak_of_the_training_rows(
    parts: tuple[pd.DataFrame, pd.DataFrame], schema: Schema
) -> None:
    """The attack's direction: closeness to rows that were never trained on is no membership."""
    audit = evidence(parts, parts[1], schema, attacks=["closest_record"])
    assert audit.finding("closest_record").verdict != "leak"


def test_seeded_noise_is_refused_whatever_the_evidence(
    parts: tuple[pd.DataFrame, pd.DataFrame], schema: Schema, statement: PrivacyStatement
) -> None:
    audit = evidence(parts, blind(700, seed=4), schema, attacks=["closest_record"])
    unsafe = statement.model_copy(update={"releasable": False})
    assert decide(unsafe, audit, POLICY).verdict == "refuse"
