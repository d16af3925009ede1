"""Small real statements, audits, tables and bundles, the same in every test of the package."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits import suite
from audits.result import AuditResult, Claim, Finding
from audits.statistics import Estimate
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.privacy.statement import make_statement as statement_of
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents, write_bundle
from dpsynth.release.domain import learned_fields
from dpsynth.release.gate import decide
from dpsynth.release.policy import parse_policy, policy_hash
from dpsynth.release.report.columns import column_shares
from dpsynth.release.training import Training
from dpsynth.schema import Column, Schema

POLICY = """
name = "test"
publish = "verdict"
waivers = "any"
max_epsilon = 3.0
max_delta = 1e-4
min_rows = 100

[[finding]]
name = "closest_record"
inconclusive = "allow"
reason = "An attack must have been tried."
source = "a test"

[[finding]]
name = "copies"
inconclusive = "allow"

[[figure]]
name = "closest_record.auroc"
max = 0.60
inconclusive = "allow"
"""
REFUSING = POLICY.replace("min_rows = 100", "min_rows = 100000")
SHARES = {
    "count: rows": 0.01,
    "values: age": 0.04,
    "values: town": 0.05,
    "marginals: one-way": 0.1,
    "training: gradients": 0.8,
}


def make_statement(*, mu: float = 0.24, **changes: Any) -> PrivacyStatement:
    """A statement of a fit at epsilon 1; `changes` are written over its fields afterwards."""
    charges = [
        Charge(label, GaussianEvent(noise_multiplier=1.0 / (mu * math.sqrt(share))))
        for label, share in SHARES.items()
    ]
    made = statement_of(
        epsilon=1.0,
        delta=1e-5,
        charges=changes.pop("charges", charges),
        privacy_unit="row",
        max_rows_per_unit=1,
        sampling="full batch",
        noise_source="ChaCha20 seeded by the operating system",
        releasable=True,
        generator="autoregressive",
        clamping=("age: values are clamped to 0 .. 99",),
        unprotected=("column names: age, income, town, member",),
        versions={"dpsynth": "0.1.0"},
        booking=None,
    )
    return made.model_copy(update=changes)


def make_finding(
    name: str, verdict: str = "none", group: str = "", **figures: tuple[float, float, float]
) -> Finding:
    return Finding(
        name=name,
        family="membership",
        figures={
            figure: Estimate(value=value, lower=lower, upper=upper, confidence=0.95)
            for figure, (lower, value, upper) in figures.items()
        },
        verdict=verdict,
        reason=f"{name} came to {verdict}",
        blind_spot="nothing it was not made for",
        group=group,
    )


def make_audit(*findings: Finding, rows: int = 1000, claim: Claim | None = None) -> AuditResult:
    return AuditResult(
        seed=0,
        confidence=0.95,
        sizes={"train": rows, "holdout": 100, "synthetic": 1000},
        findings=findings,
        versions={},
        claim=claim,
    )


RATIOS = {"entropies": "entropy_ratio", "variances": "variance_ratio"}


def make_look(step: int, **changes: Any) -> dict[str, Any]:
    """A look at a generator of the test table without a fault, as the monitor keeps it."""
    found: dict[str, Any] = {
        "step": step,
        "rows": 10_000,
        "tvd_one_way": 0.21 / step,
        "tvd_pairs": 0.4 / step,
        "score": 0.6 / step,
        "stderr": 0.001,
        "entropies": [0.97, 0.99, None, 1.01, 0.995],
        "variances": [0.93, 0.98, None, None, 1.02],
        "entropy_column": "age",
        "variance_column": "age",
        "missing": [],
        "live_pairs": 200,
        "lost_pairs": 0,
        "narrow": [],
        "shrunk": [],
        "alarms": [],
        "collapse": [],
    }
    found |= changes
    for name, ratio in RATIOS.items():
        found[ratio] = min(one for one in found[name] if one is not None)
    return found


def make_watched(steps: int = 30, **released: Any) -> dict[str, Any]:
    """What a model keeps of its training: three looks, and one at the finished model."""
    looks = [make_look(step) for step in (10, 20, 30)]
    last = make_look(steps, **{"score": 0.019, **released})
    return {
        "settings": {"alpha": 0.01, "looks": 4, "patience": 8, "least_looks": 10},
        "columns": ["age", "income", "town", "member", "since"],
        "best_step": 30,
        "readings": [*looks, last],
        "released": last,
    }


def make_training(steps: int = 30, **released: Any) -> Training:
    made = Training.of(make_watched(steps, **released))
    assert made is not None
    return made


def make_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    age = rng.integers(0, 100, rows)
    return pd.DataFrame(
        {
            "age": age,
            "income": np.round(np.exp(rng.normal(3, 0.5, rows)).clip(0, 200), 1),
            "town": rng.choice(["Ulm", "Köln", "A|B <i>$x$</i>"], rows, p=[0.5, 0.3, 0.2]),
            "member": rng.choice(["true", "false"], rows),
            "since": [f"20{m % 20:02d}-0{1 + m % 9}-11" for m in age],
        }
    )


def make_schema() -> Schema:
    return Schema(
        columns=(
            Column(name="age", kind="integer", lower=0, upper=99),
            Column(name="income", kind="numeric", lower=0.0, upper=200.0, decimals=1),
            Column(name="town", kind="categorical", categories=("Ulm", "Köln", "A|B <i>$x$</i>")),
            Column(name="member", kind="boolean", nullable=False),
            Column(name="since", kind="datetime", lower="2000-01-01", upper="2025-12-31"),
        )
    )


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(20261)
    return {
        role: make_table(rows, rng)
        for role, rows in (("train", 317), ("holdout", 151), ("synthetic", 283))
    }


@pytest.fixture(scope="session")
def contents(tables: dict[str, pd.DataFrame]) -> Callable[..., BundleContents]:
    from dpsynth.release.evidence import AUDIT_KINDS, audit_frame
    from dpsynth.table import Table

    schema, statement, training = make_schema(), make_statement(), make_training()
    frames = [audit_frame(Table.from_frame(table), schema) for table in tables.values()]
    audit = suite.run(
        *frames,
        kinds={c.name: AUDIT_KINDS[c.kind] for c in schema.columns},
        claim=Claim(epsilon=1.0, delta=1e-5),
        attacks=["closest_record", "local_density", "linkability"],
        checks=["nearest_neighbours", "copies", "diversity", "fidelity"],
    )

    def build(policy_text: str = POLICY, **changes: Any) -> BundleContents:
        policy = parse_policy(policy_text)
        fixed = statement.model_copy(update={"policy_hash": policy_hash(policy)})
        claim = changes.pop("statement", fixed)
        bare = tuple(Column(name=c.name, kind=c.kind) for c in schema.columns)
        fields: dict[str, Any] = {
            "synthetic": tables["synthetic"],
            "schema": schema,
            "statement": claim,
            "audit": audit,
            "decision": decide(
                claim, audit, policy, changes.get("waivers", ()), changes.get("training", training)
            ),
            "training": training,
            "policy_text": policy_text,
            "model_files": {"model.json": b"{}\n", "deep/weights.bin": bytes(range(200))},
            "holdout_rows": [3, 1, 7],
            "learned": learned_fields(schema, Schema(columns=bare)),
            "rows": len(tables["synthetic"]),
            "columns": column_shares(schema, tables["synthetic"], tables["train"]),
            "about": About(title="A <b>test</b> table"),
            "created": "2026-01-02T03:04:05+00:00",
        }
        return BundleContents(**{**fields, **changes})

    return build


@pytest.fixture(scope="session")
def allowed(contents: Callable[..., BundleContents], tmp_path_factory: Any) -> Path:
    """A bundle that may be shared; read only."""
    return write_bundle(tmp_path_factory.mktemp("allowed") / "bundle", contents())


@pytest.fixture(scope="session")
def refused(contents: Callable[..., BundleContents], tmp_path_factory: Any) -> Path:
    """A bundle that may not be shared; read only."""
    return write_bundle(tmp_path_factory.mktemp("refused") / "bundle", contents(REFUSING))


@pytest.fixture
def bundle(allowed: Path, tmp_path: Path) -> Path:
    """A copy of the allowed bundle to damage."""
    return Path(shutil.copytree(allowed, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def statement() -> Callable[..., PrivacyStatement]:
    return make_statement


@pytest.fixture(scope="session")
def watched() -> Callable[..., dict[str, Any]]:
    return make_watched


@pytest.fixture(scope="session")
def training() -> Callable[..., Training]:
    return make_training


@pytest.fixture(scope="session")
def finding() -> Callable[..., Finding]:
    return make_finding


@pytest.fixture(scope="session")
def audit() -> Callable[..., AuditResult]:
    return make_audit


@pytest.fixture(scope="session")
def schema() -> Schema:
    return make_schema()
