"""What docs/for-compliance.md says is so: commands parse, examples are read, figures are right."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

from dpsynth import cli
from dpsynth.release.about import About
from dpsynth.release.gate import EXIT_CODES
from dpsynth.release.policy import parse_policy, policy_text_of
from dpsynth.release.report.words import found_at_most, percent
from dpsynth.release.waivers import Waiver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "for-compliance.md").read_text(encoding="utf-8")
BLOCKS = "".join(re.findall(r"^```text\n(.*?)^```$", PAGE, re.S | re.M))
COMMANDS = re.findall(r"^dpsynth (.+)$", BLOCKS, re.M)


def _command(words: list[str]) -> tuple[object, list[str]]:
    """The command that a line names, and its arguments."""
    found: object = typer.main.get_command(cli.app)
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words[0]]  # type: ignore[attr-defined]
        words = words[1:]
    return found, words


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_parse(line: str) -> None:
    command, arguments = _command(shlex.split(line))
    command.make_context(line.split()[0], arguments)  # type: ignore[attr-defined]


def test_the_way_from_key_to_approval_is_complete() -> None:
    named = [line.split(" ")[0] for line in COMMANDS]
    start = ["keygen", "schema", "ledger", "run", "verify", "approve", "verify"]
    assert named == [*start, "ledger", "ledger"]


def test_a_wrong_option_would_be_found() -> None:
    command, _ = _command(["verify"])
    with pytest.raises(Exception, match="--kee"):
        command.make_context("verify", ["release", "--kee", "x"])  # type: ignore[attr-defined]


def test_the_examples_are_read() -> None:
    about, waivers = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.S))
    assert set(About(**about).model_dump()) == set(about)
    # The rule of the example can stop a release under `public`, and may be set aside.
    rule = Waiver(**waivers["waiver"][0]).rule
    policy = parse_policy(policy_text_of("public")[0])
    assert policy.waivers == "inconclusive"
    assert rule in {f"group {one.name}" for one in policy.group if one.inconclusive != "allow"}


def test_the_commands_fit_the_policy_that_they_name() -> None:
    policy = parse_policy(policy_text_of("public")[0])
    (run,) = [line for line in COMMANDS if line.startswith("run ")]
    (opened,) = [line for line in COMMANDS if line.startswith("ledger open ")]
    asked, total = (dict(re.findall(r"--(epsilon|delta) (\S+)", line)) for line in (run, opened))
    assert policy.max_epsilon is not None
    assert policy.max_delta is not None
    assert policy.max_total_epsilon is not None
    assert float(asked["epsilon"]) <= policy.max_epsilon.limit
    assert float(asked["delta"]) <= policy.max_delta.limit
    assert float(total["epsilon"]) <= policy.max_total_epsilon.limit
    assert float(total["delta"]) <= policy.max_delta.limit
    said = f"epsilon {policy.max_epsilon.limit:g} for one release and "
    assert said + f"{policy.max_total_epsilon.limit:g} for all" in PAGE
    assert f"allows at most {policy.max_delta.limit:.0e}".replace("e-0", "e-") in PAGE


def test_the_table_of_epsilon_is_right() -> None:
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+ %) \|$", PAGE, re.M)
    assert len(rows) == 4
    for epsilon, share in rows:
        assert share == percent(found_at_most(float(epsilon), 1e-6, 0.01))


def test_the_exit_codes_are_those_of_the_gate() -> None:
    assert dict(re.findall(r"^\| (\w+) \| (\d) \|", PAGE, re.M)) == {
        verdict: str(code) for verdict, code in EXIT_CODES.items()
    }
