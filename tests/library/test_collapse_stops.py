"""Planted collapse is refused by the shipped policies; the same generator without it is allowed.

The generator is the honest baseline but for what it forgets when it draws, so the private part of
the training is real. It is made for these tests and installed nowhere.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.result import AuditResult
from dpsynth import pipeline
from dpsynth.fitted import FittedModel
from dpsynth.generators import independent, registry
from dpsynth.generators.base import IntArray
from dpsynth.release.canonical import read_json
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import parse_policy, policy_text_of
from dpsynth.release.training import NAME, Training
from dpsynth.release.verify import verify_bundle
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

FORGETFUL, RULE = "forgetful", "max_collapse_alarms"
TOWNS = ("Ulm", "Bonn", "Kiel", "Jena", "Hof")
SCHEMA = Schema(
    columns=(
        Column(name="age", kind="integer", lower=0, upper=99, nullable=False),
        Column(name="town", kind="categorical", categories=TOWNS, nullable=False),
        Column(name="member", kind="boolean", nullable=False),
        Column(name="income", kind="numeric", lower=0, upper=9999, decimals=1, nullable=False),
        Column(name="height", kind="numeric", lower=50, upper=250, decimals=1, nullable=False),
    )
)
AGE, TOWN = 0, 1
Forget = Callable[[IntArray, np.random.Generator], IntArray]


def people(rows: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "age": rng.normal(50, 15, rows).round().clip(0, 99).astype(int),
            "town": rng.choice(TOWNS, rows, p=[0.4, 0.2, 0.2, 0.12, 0.08]),
            "member": rng.random(rows) < 0.4,
            "income": rng.gamma(3, 600, rows).clip(0, 9999).round(1),
            "height": rng.normal(172, 9, rows).clip(50, 250).round(1),
        }
    )


def nothing(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """The control."""
    return codes


def all_but_two_towns(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """Only the two most frequent towns are left."""
    two = np.argsort(-np.bincount(codes[:, TOWN]))[:2]
    lost = ~np.isin(codes[:, TOWN], two)
    codes[lost, TOWN] = rng.choice(two, int(lost.sum()))
    return codes


def half_the_variance(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """Ages are drawn from the middle alone."""
    middle = np.median(codes[:, AGE])
    codes[:, AGE] = np.round(middle + 0.7 * (codes[:, AGE] - middle)).astype(np.int64)
    return codes


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Callable[[Forget], None]:
    """Install the generator, for one test, with what it forgets."""

    def install(forget: Forget) -> None:
        def sample(model: Any, rows: int, *, rng: np.random.Generator) -> IntArray:
            return forget(independent.sample(model, rows, rng=rng), rng)

        made = SimpleNamespace(
            NAME=FORGETFUL,
            SUMMARY="forgets",
            build=independent.build,
            per_example_loss=independent.per_example_loss,
            sample=sample,
        )
        names, load = registry.names(), registry.load
        monkeypatch.setattr(registry, "names", lambda: (*names, FORGETFUL))
        monkeypatch.setattr(
            registry, "load", lambda name: made if name == FORGETFUL else load(name)
        )

    return install


def settings() -> Synthesizer:
    steps = TrainingOptions(steps=5)
    return Synthesizer(epsilon=1.0, schema=SCHEMA, generator=FORGETFUL, training=steps)


def decided(model: FittedModel, policy: str) -> Decision:
    """The gate without an audit: the rule on collapse alone is looked at."""
    nothing_tried = AuditResult(
        seed=0, confidence=0.95, sizes={}, findings=(), versions={}, claim=None
    )
    rules = parse_policy(policy_text_of(policy)[0])
    return decide(model.statement(), nothing_tried, rules, training=Training.of(model.watched))


@pytest.mark.parametrize("policy", ["public", "internal"])
@pytest.mark.parametrize(
    ("forget", "words"),
    [(nothing, ""), (all_but_two_towns, "town: "), (half_the_variance, "age: ")],
)
def test_the_shipped_policies_refuse_a_planted_collapse(
    forgetful: Callable[[Forget], None], forget: Forget, words: str, policy: str
) -> None:
    forgetful(forget)
    model = settings().fit(people(), rng=np.random.default_rng(2))
    (rule,) = [one for one in decided(model, policy).rules if one.rule == RULE]
    assert rule.verdict == ("refuse" if words else "allow"), rule.reason
    assert words in rule.reason


@pytest.mark.slow
@pytest.mark.parametrize(("forget", "verdict"), [(nothing, "allow"), (all_but_two_towns, "refuse")])
def test_a_run_ends_as_the_rule_says(
    forgetful: Callable[[Forget], None], tmp_path: Path, forget: Forget, verdict: str
) -> None:
    forgetful(forget)
    rng = np.random.default_rng(3)
    result = pipeline.run(people(), tmp_path / "bundle", synthesizer=settings(), rng=rng)
    # The rule alone is judged: audits have a false alarm rate of their own.
    (rule,) = [one for one in result.decision.rules if one.rule == RULE]
    assert rule.verdict == verdict, rule.reason
    assert verdict == "allow" or result.decision.verdict == "refuse"
    allowed = result.decision.verdict == "allow"
    assert (result.bundle / "public" / NAME).exists() == allowed
    assert (result.bundle / "internal" / NAME).exists()
    verification = verify_bundle(result.bundle)
    assert verification.ok, verification.failures
    shareable = read_json(result.bundle / "public" / "decision.json")["shareable"]
    assert shareable == allowed


@pytest.mark.slow
@pytest.mark.parametrize("generator", registry.names())
def test_an_honest_run_of_every_generator_is_not_stopped_by_the_rule(
    tmp_path: Path, generator: str
) -> None:
    honest = Synthesizer(epsilon=3.0, schema=SCHEMA, generator=generator)
    rng = np.random.default_rng(4)
    result = pipeline.run(people(), tmp_path / "bundle", synthesizer=honest, rng=rng)
    (rule,) = [one for one in result.decision.rules if one.rule == RULE]
    assert rule.verdict == "allow", rule.reason
    verification = verify_bundle(result.bundle)
    assert verification.ok, verification.failures
