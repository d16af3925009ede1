"""What docs/auditing.md says is so: its examples run, its attacks, options and codes exist."""

import inspect
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import typer.main

import audits
from audits import registry
from audits.judgement import MIN_ROWS
from audits.membership.stages import EXPOSED_SHARE
from audits.statistics.families import PERMUTATIONS
from audits.suite import CHECKS
from dpsynth import cli, cli_audit
from dpsynth.release.commands import attack_summaries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "auditing.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)^```$", PAGE, re.S | re.M))
COMMAND = typer.main.get_command(cli.app).commands["audit"]  # type: ignore[attr-defined]
OPTIONS = {name for parameter in COMMAND.params for name in (*parameter.opts, parameter.name)}


def _table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([77, seed])
    return pd.DataFrame(
        {
            "town": rng.choice(["north", "south", "east"], rows, p=[0.6, 0.3, 0.1]),
            "height": rng.normal(170, 9, rows).round(1),
            "visits": rng.poisson(4, rows),
        }
    )


def _shorter(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `audits.run` of an example do less where the example leaves the choice open."""
    whole = audits.run

    def run(*tables: pd.DataFrame, **options: object) -> audits.AuditResult:
        chosen = {"attacks": ["closest_record", "linkability"], "checks": ["copies"]}
        shadows = {"shadows": audits.ShadowPlan(models=8)} if "refit" in options else {}
        return whole(*tables, **{**chosen, **shadows, **options})  # type: ignore[arg-type]

    monkeypatch.setattr(audits, "run", run)
    module.__dict__.update(
        audits=audits, train=_table(200, 1), holdout=_table(200, 2), synthetic=_table(200, 3)
    )


def test_every_python_block_is_an_example_that_is_run() -> None:
    assert len(re.findall(r"^```python$", PAGE, re.M)) == len(EXAMPLES) == 2


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType(f"auditing_{name}")
    _shorter(module, monkeypatch)
    exec(compile(EXAMPLES[name], f"docs/auditing.md ({name})", "exec"), module.__dict__)
    result = module.__dict__["result"]
    assert result.verdict in {"leak", "none", "inconclusive"}
    assert all(finding.blind_spot != "It did not run." for finding in result.findings)
    printed = capsys.readouterr().out
    shown = {"audit": "closest_record", "refit": result.findings[0].reason}
    assert shown[name] in printed


def _rows(heading: str) -> dict[str, str]:
    """First and second cell of each row of the table below a heading that names code."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.M))


def test_the_table_lists_exactly_the_attacks_that_ship() -> None:
    own = {
        name
        for name, attack in registry.choose(None).items()
        if getattr(attack, "__name__", "").startswith("audits.attacks.")
    }
    assert set(_rows("The attacks")) == own


def test_the_table_says_which_attacks_need_the_generator() -> None:
    needs = {name for name, cell in _rows("The attacks").items() if "black box" in cell}
    assert needs == {n for n, item in attack_summaries().items() if item["run"] == "library"}


def test_the_checks_that_are_named_exist() -> None:
    section = PAGE.split("## What the checks measure\n")[1].split("\n## ")[0]
    bullets = "\n".join(line for line in section.splitlines() if line.startswith("- "))
    heads = re.findall(r"^- ((?:`\w+`(?:, | and )?)+)", bullets, re.M)
    assert {name for head in heads for name in re.findall(r"`(\w+)`", head)} == set(CHECKS)


def test_every_option_on_the_page_exists() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert len(named) >= 5
    assert named <= OPTIONS


def test_the_search_for_options_finds_a_wrong_one() -> None:
    assert "--epsilom" not in OPTIONS


@pytest.mark.parametrize("line", re.findall(r"^dpsynth (audit .+)$", PAGE, re.M))
def test_the_commands_parse(line: str) -> None:
    COMMAND.make_context("audit", shlex.split(line)[1:])


def test_arguments_named_as_keywords_exist() -> None:
    for name in re.findall(r"`(\w+)=`", PAGE):
        assert name in inspect.signature(audits.run).parameters


def test_the_exit_codes_are_those_of_the_command() -> None:
    said = re.search(
        r"exit code is (\d) where nothing was found, (\d) where a leak was, (\d) where the audit "
        r"is inconclusive, (\d) for bad input",
        PAGE,
    )
    assert said is not None
    codes = (cli_audit.EXIT_CODES[verdict] for verdict in ("none", "leak", "inconclusive"))
    assert tuple(map(int, said.groups())) == (*codes, audits.AuditInputError.exit_code)


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    assert f"below {MIN_ROWS} in a table" in PAGE
    assert f"dealt anew {PERMUTATIONS:,} times" in PAGE
    assert "tenth of rows" in PAGE
    assert EXPOSED_SHARE == 0.1
