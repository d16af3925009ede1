"""What is measured on real rows does not reach `public/`, in any file of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.result import AuditResult, Finding
from audits.statistics import Estimate
from dpsynth.release.bundle import write_bundle
from dpsynth.release.gate import decide
from dpsynth.release.policy import parse_policy
from dpsynth.release.report.columns import ColumnShares, column_shares
from dpsynth.schema import Schema

MARK = "mark-7193"
#: What the manifest says of the internal half: its salted hash, and so its own checksum.
PINS = ("internal_manifest", "self_sha256")
Contents = Callable[..., Any]


def moved(estimate: Estimate) -> Estimate:
    """Another figure, too near for any verdict to change."""
    ends = {name: getattr(estimate, name) + 0.000731 for name in ("lower", "value", "upper")}
    return replace(estimate, **ends)


def other_evidence(audit: AuditResult) -> AuditResult:
    """Evidence of other real rows with the same verdicts; every figure and size differs."""

    def changed(finding: Finding) -> Finding:
        figures = {name: moved(estimate) for name, estimate in finding.figures.items()}
        return replace(finding, figures=figures, reason=f"{finding.reason} {MARK}")

    sizes = {**audit.sizes, "train": audit.sizes["train"] + 7193, "holdout": 4711}
    findings = tuple(map(changed, audit.findings))
    return replace(audit, sizes=sizes, findings=findings, notes=(*audit.notes, MARK))


def other_columns(schema: Schema, tables: dict[str, pd.DataFrame]) -> tuple[ColumnShares, ...]:
    """The pictures with the real rows in another mixture, and a town that is not synthetic."""
    rows = tables["train"].iloc[np.r_[0:40, 0:40, 200:230]].reset_index(drop=True)
    rows.loc[:4, "town"] = "Zwiefalten"
    return column_shares(schema, tables["synthetic"], rows)


def public_files(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        path.name: path.read_bytes() for path in sorted((folder / "public").iterdir())
    }
    manifest = json.loads(found["manifest.json"])
    return {**found, "manifest.json": {k: v for k, v in manifest.items() if k not in PINS}}


@pytest.mark.parametrize("publish", ["verdict", "overall"])
@pytest.mark.parametrize("least", [100, 100_000])
def test_other_real_rows_with_the_same_verdicts_give_the_same_public_half(
    contents: Contents,
    schema: Schema,
    tables: dict[str, pd.DataFrame],
    tmp_path: Path,
    publish: str,
    least: int,
) -> None:
    text = contents().policy_text.replace("min_rows = 100", f"min_rows = {least}")
    text = text.replace('publish = "verdict"', f'publish = "{publish}"')
    one = contents(text)
    audit = other_evidence(one.audit)
    other = replace(
        one,
        audit=audit,
        decision=decide(one.statement, audit, parse_policy(text)),
        columns=other_columns(schema, tables),
        holdout_rows=[2, 5, 11, 13],
        model_files={"model.json": b'{"other": true}\n'},
    )
    folders = [
        write_bundle(tmp_path / name, made) for name, made in (("one", one), ("other", other))
    ]
    first, second = map(public_files, folders)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    inside = [(folder / "internal" / "report.html").read_bytes() for folder in folders]
    assert inside[0] != inside[1], "control: the two differ where they may"
    assert MARK.encode() in inside[1]


def test_where_only_the_whole_verdict_is_shown_no_rule_on_evidence_shows(
    contents: Contents, tmp_path: Path
) -> None:
    """One bundle is stopped by its size alone, the other by a leak that was found as well."""
    text = contents().policy_text.replace("min_rows = 100", "min_rows = 100000")
    text = text.replace('publish = "verdict"', 'publish = "overall"')
    one = contents(text)
    leaks = tuple(replace(finding, verdict="leak") for finding in one.audit.findings)
    audit = replace(one.audit, findings=leaks)
    other = replace(one, audit=audit, decision=decide(one.statement, audit, parse_policy(text)))
    stops = [[r.rule for r in made.decision.rules if r.verdict != "allow"] for made in (one, other)]
    assert stops[0] == ["min_rows"]
    assert len(stops[1]) > 2
    first, second = (
        public_files(write_bundle(tmp_path / name, made))
        for name, made in (("one", one), ("other", other))
    )
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_coarse_figures_move_only_by_their_steps(contents: Contents, tmp_path: Path) -> None:
    text = contents().policy_text.replace('publish = "verdict"', 'publish = "coarse"')
    one = contents(text)
    audit = other_evidence(one.audit)
    other = replace(one, audit=audit, decision=decide(one.statement, audit, parse_policy(text)))
    first, second = (
        public_files(write_bundle(tmp_path / name, made))
        for name, made in (("one", one), ("other", other))
    )
    assert [name for name in first if first[name] != second[name]] == []


def test_no_name_of_the_house_is_in_public(contents: Contents, tmp_path: Path) -> None:
    """Neither the dataset's name in the ledger, nor where anything lies or which machine it was."""
    plain = contents()
    extract = json.dumps({"dataset": MARK, "place": str(tmp_path)})
    made = replace(plain, ledger_text=extract)
    folder = write_bundle(tmp_path / MARK, made)
    assert MARK in (folder / "internal" / "ledger.json").read_text(encoding="utf-8")
    for name, data in public_files(folder).items():
        text = data.decode("utf-8") if isinstance(data, bytes) else json.dumps(data)
        assert MARK not in text, name
        assert not re.search(r"/(tmp|home|root|var|Users)/", text), name
