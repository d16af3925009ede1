"""docs/generators.md says what the code does."""

import importlib
import re
from pathlib import Path

import pytest

from dpsynth.generators import registry
from dpsynth.generators.choice import choose
from dpsynth.training.options import TrainingOptions

PAGE = Path(__file__).parents[2] / "docs" / "generators.md"
TEXT = PAGE.read_text()
OWN = {"autoregressive", "vae", "gan", "diffusion", "independent"}


def _table(head: str) -> list[list[str]]:
    """The cells of the table whose first heading is `head`, without its two head lines."""
    lines = TEXT[TEXT.index(f"| {head} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_generator_that_ships_is_told_of() -> None:
    assert set(registry.names()) >= OWN
    assert set(re.findall(r"^\*\*(\w+)\*\*", TEXT, re.MULTILINE)) == OWN


@pytest.mark.parametrize("row", _table("generator"), ids=lambda row: row[0])
def test_the_settings_are_those_of_the_code(row: list[str]) -> None:
    name, *told = row
    fields = ("steps", "sample_rate", "learning_rate", "gradient_share", "clip_quantile")
    options = [TrainingOptions.recommended(epsilon=e, generator=name) for e in (1.0, 3.0, 10.0)]
    for field, cell in zip(fields, told, strict=True):
        by_epsilon = [getattr(one, field) for one in options]
        values = by_epsilon if len(set(by_epsilon)) > 1 else by_epsilon[:1]
        assert cell == ", ".join(f"{value:g}" for value in values), field


def test_the_rule_is_the_one_that_auto_follows() -> None:
    rule = {fact: generator for fact, generator, _ in _table("what is known beforehand")}
    assert rule == {
        "one column is modelled": choose(columns=1).generator,
        "anything else": choose(columns=2).generator,
    }
    assert {choose(columns=count).generator for count in (2, 50, None)} == {rule["anything else"]}


def test_the_page_has_its_marks() -> None:
    report = importlib.import_module("generators_report")
    assert "\nnew\n" in report.put_between_marks(TEXT, "new")


def test_the_commands_on_the_page_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^python benchmarks/(\w+)\.py (.*)$", TEXT, re.MULTILINE)
    assert {script for script, _ in commands} == {"generators", "step_cost"}
    for script, options in commands:
        monkeypatch.setattr("sys.argv", [script, *options.split()])
        importlib.import_module(script)._arguments()
