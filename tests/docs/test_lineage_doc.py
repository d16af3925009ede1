"""What docs/lineage.md says is so: its keys, options, rules and figures are those of the code."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.main

from dpsynth import cli
from dpsynth.plan import KNOWN_ROWS, make_plan
from dpsynth.privacy.known_rows import FALSE_ALARM, Comparison, recognize
from dpsynth.privacy.ledger_releases import KnownRelease
from dpsynth.privacy.lineage_record import LineageRecord, Parent
from dpsynth.privacy.sketch import LEAST_SINGLES, MOST_HASHES, RowSketch
from dpsynth.release.manifest import Manifest
from dpsynth.release.policy import parse_policy, policy_text_of
from dpsynth.schema import Column

PAGE = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_keys_of_a_parent_are_explained() -> None:
    said = set(re.findall(r"^\| `(\w+)` \|", section("What a bundle says"), re.M))
    assert said == set(Parent.model_fields)
    named = set(re.findall(r"`(\w+)`", section("What a bundle says")))
    assert set(LineageRecord.model_fields) <= named
    assert {"generation", "made_from"} <= set(Manifest.model_fields) & named


def test_numbers_are_those_of_the_code() -> None:
    assert f"at most 1 in {1 / FALSE_ALARM:,.0f} runs" in PAGE
    assert f"the {MOST_HASHES:,} with the smallest hashes" in PAGE
    assert f"fewer than {LEAST_SINGLES} occur once" in PAGE
    assert f"(`{KNOWN_ROWS}`, 0.5 % of mu squared)" in PAGE


def noticeable(rows: int, std: float) -> float:
    """Of a table without repeats, against a release of equal size."""
    hashes = np.arange(min(rows, MOST_HASHES), dtype=np.uint64)
    sketch = RowSketch(("a",), rows, rows, 0, hashes)
    comparison = Comparison(((KnownRelease("d", "r", 1, None, sketch), sketch),))
    share = recognize(
        np.zeros(2), std=std, rows=(rows, std), comparison=comparison
    ).noticeable_share
    assert share is not None
    return share


@pytest.mark.parametrize("epsilon", [0.5, 1, 3, 10])
def test_the_table_of_noticeable_shares_is_worked_out(epsilon: float) -> None:
    line = re.search(rf"^\| {epsilon:g} \| (.+) \|$", PAGE, re.M)
    assert line is not None
    noise, *shares = (float(cell.strip(" %")) for cell in line[1].split("|"))
    columns = [Column(name="a", kind="boolean")]
    std = make_plan(columns, epsilon=epsilon, delta=1e-5, lineage=True).multiplier(KNOWN_ROWS)
    assert std is not None
    assert noise == round(std)
    for rows, share in zip((1000, 3000, 10_000, 1_000_000), shares, strict=True):
        assert share == pytest.approx(100 * noticeable(rows, std), abs=0.6)


def test_the_rules_are_those_that_ship() -> None:
    said = set(re.findall(r"^\| `(\w+)` \|", section("What a policy can ask"), re.M))
    assert said == {"max_input_generation", "min_real_share"}
    public, internal = (parse_policy(policy_text_of(name)[0]) for name in ("public", "internal"))
    assert public.min_real_share is not None
    assert internal.min_real_share is not None
    assert internal.max_input_generation is not None
    assert "`public` takes real rows alone" in PAGE
    assert public.min_real_share.limit == 1.0
    assert "one earlier generation, and at least half" in PAGE
    assert (internal.max_input_generation.limit, internal.min_real_share.limit) == (1, 0.5)


@pytest.mark.parametrize("line", re.findall(r"^dpsynth (audit .+)$", PAGE, re.M))
def test_the_command_parses(line: str) -> None:
    command = typer.main.get_command(cli.app).commands["audit"]  # type: ignore[attr-defined]
    command.make_context("audit", shlex.split(line)[1:])
