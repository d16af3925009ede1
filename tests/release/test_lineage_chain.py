"""A chain of bundles through the whole of `run`: recognized, recorded, stopped by policy."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpsynth import pipeline
from dpsynth.cli import invoke
from dpsynth.errors import ReleaseRefused
from dpsynth.privacy.ledger import Ledger
from dpsynth.release.approve import approve
from dpsynth.release.bundle import write_bundle
from dpsynth.release.manifest import Manifest, read_manifest
from dpsynth.release.verify import verify_bundle
from dpsynth.release.waivers import Waiver
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer

SCHEMA = Schema(
    columns=(
        Column(name="age", kind="integer", lower=0, upper=99, nullable=False),
        Column(name="income", kind="numeric", lower=0, upper=9999, decimals=1, nullable=False),
        Column(name="height", kind="numeric", lower=50, upper=250, decimals=1, nullable=False),
        Column(name="town", kind="categorical", categories=("Ulm", "Bonn")),
    )
)
POLICY = """
name = "chain"
waivers = "any"
max_input_generation = 1

[min_real_share]
limit = 0.7
"""


def private(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([61, seed])
    age = rng.integers(0, 100, rows)
    return pd.DataFrame(
        {
            "age": age,
            "income": np.round((40.0 * age + rng.gamma(2, 300, rows)).clip(0, 9999), 1),
            "height": np.round(rng.normal(170, 12, rows), 1),
            "town": rng.choice(["Ulm", "Bonn"], rows),
        }
    )


def run(
    data: object, out: Path, ledger: Path, *, dataset: str, **options: Any
) -> pipeline.RunResult:
    """As `dpsynth run` would, on a ledger that all datasets share."""
    policy = out.parent / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    book = Ledger.open(ledger, dataset=dataset, epsilon=20, delta=1e-5)
    settings = Synthesizer(epsilon=2.0, schema=SCHEMA, generator="independent", ledger=book)
    return pipeline.run(
        data,
        out,
        synthesizer=settings,
        options=pipeline.RunOptions(policy=policy, **options),
        rng=np.random.default_rng(1),
    )


@pytest.mark.slow
def test_a_release_fed_back_is_recognized_recorded_and_stopped(tmp_path: Path) -> None:
    ledger = tmp_path / "l.db"
    first = run(private(2500, 1), tmp_path / "first", ledger, dataset="people")
    assert first.decision.verdict == "allow"
    table = first.bundle / "public" / "synthetic.csv"

    # Moved away from its manifest, saved by another tool, shuffled, half of it real.
    made = pd.read_csv(table).sample(1250, random_state=1)
    mixed = pd.concat([made, private(1250, 2)]).sample(frac=1.0, random_state=2)
    mixed.to_csv(tmp_path / "other.csv", index=False)
    second = run(tmp_path / "other.csv", tmp_path / "second", ledger, dataset="other.csv")
    manifest = read_manifest(second.bundle / "public" / "manifest.json", Manifest)
    (parent,) = manifest.made_from
    assert manifest.generation == 2
    assert parent.known_by == "rows"
    assert parent.share.lower <= 0.5 <= parent.share.upper
    assert second.decision.verdict == "refuse"
    rules = {rule.rule: rule.verdict for rule in second.decision.rules}
    assert rules["min_real_share"] == "refuse"
    assert rules["max_input_generation"] == "allow"
    whole = Ledger.read(ledger, dataset="other.csv")
    assert verify_bundle(second.bundle, ledger=whole).ok

    # An honest second release of the real table is none of this.
    third = run(private(2500, 1), tmp_path / "third", ledger, dataset="people")
    assert third.model.statement().lineage.made_from == ()
    assert third.model.statement().lineage.compared == 2
    assert verify_bundle(third.bundle).ok

    # Beside its manifest nothing is charged.
    head = Ledger.read(ledger, dataset="people").head
    with pytest.raises(ReleaseRefused, match=r"share of real rows in the input would be 0\.0%"):
        policy = POLICY.replace('"any"', '"none"')
        (tmp_path / "strict.toml").write_text(policy, encoding="utf-8")
        book = Ledger.open(ledger, dataset="people", epsilon=20, delta=1e-5)
        settings = Synthesizer(epsilon=2.0, schema=SCHEMA, generator="independent", ledger=book)
        options = pipeline.RunOptions(policy=tmp_path / "strict.toml")
        pipeline.run(str(table), tmp_path / "fourth", synthesizer=settings, options=options)
    assert Ledger.read(ledger, dataset="people").head == head

    # Approved anew, the bundle says the same, and the ledger knows both.
    waiver = Waiver(rule="min_real_share", name="A. B.", reason="A test.", date="2026-01-02")
    decision = approve(second.bundle, tmp_path / "approved", waivers=(waiver,), ledger=ledger)
    assert decision.verdict == "allow"
    again = read_manifest(tmp_path / "approved" / "public" / "manifest.json", Manifest)
    assert again.made_from == manifest.made_from
    assert verify_bundle(tmp_path / "approved").ok


def test_fit_says_what_a_table_beside_its_manifest_is(
    contents: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "bundle", contents())
    table = str(bundle / "public" / "synthetic.csv")
    fit = ["fit", table, "--epsilon", "20", "--generator", "independent"]
    assert invoke([*fit, "-o", str(tmp_path / "model")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "Generation 2. Of the rows it was made from, these are synthetic: all" in said
    assert "by the manifest beside them" in said
    assert invoke([*fit, "--input-generation", "0", "-o", str(tmp_path / "other")]) == 2
    assert "of generation 1; 0 was declared" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
