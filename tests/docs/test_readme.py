"""What README and docs say is so: code runs, commands parse, names and links exist."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main

import dpsynth
from dpsynth import Column, Schema, cli
from dpsynth.columns import KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
Words = tuple[str, ...]
PAGES = {path.name: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def _read(name: str) -> str:
    return PAGES[name].read_text(encoding="utf-8")


def _python_blocks() -> list[tuple[str, str]]:
    return [
        (f"{name}-{number}", block)
        for name in PAGES
        for number, block in enumerate(_blocks(_read(name), "python"))
        # Its examples build on each other; test_auditing_doc.py runs them.
        if name != "auditing.md"
    ]


def _commands() -> list[str]:
    """Every dpsynth command in a bash block, without what stands before it on the line."""
    lines = [line for block in _blocks(README, "bash") for line in block.splitlines()]
    found = [re.search(r"(?:^|/|&& )dpsynth (.+)$", line) for line in lines]
    return [match[1] for match in found if match]


def _leaves(
    command: object, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command that does something, with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, child in inner.items():
        yield from _leaves(child, (*words, name))


LEAVES = dict(_leaves(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("block", [pytest.param(code, id=name) for name, code in _python_blocks()])
def test_python_blocks_run(block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "block of a page", "exec"), {"__name__": "block"})


def test_the_pages_have_blocks_to_run() -> None:
    names = [name for name, _ in _python_blocks()]
    assert {name.rsplit("-", 1)[0] for name in names} == {
        "README.md",
        "checkpoints.md",
        "errors.md",
        "extending.md",
        "monitor.md",
        "privacy.md",
        "schema.md",
    }


def test_the_library_in_the_readme_is_about_ten_lines() -> None:
    (block,) = _blocks(README, "python")
    assert len(block.splitlines()) <= 10
    assert len(ast.parse(block).body) >= 5


def test_the_ledger_example_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [code for code in _blocks(_read("privacy.md"), "python") if "Ledger.open" in code]
    exec(compile(block, "privacy.md", "exec"), {"__name__": "block"})
    assert "Nothing was booked" in capsys.readouterr().out


@pytest.mark.parametrize("line", _commands())
def test_commands_of_the_readme_parse(line: str) -> None:
    arguments = shlex.split(line)
    words = next(w for w in LEAVES if tuple(arguments[: len(w)]) == w)
    command = LEAVES[words]
    # Parsing alone: an unknown option, a missing argument or a bad value raises here.
    command.make_context(" ".join(words), arguments[len(words) :])  # type: ignore[attr-defined]
    assert cli.invoke([*words, "-h"]) == 0


def test_parsing_finds_a_wrong_option() -> None:
    # Typer brings its own copy of click's errors in some versions, so the class is not named.
    with pytest.raises(Exception, match="--epsilom"):
        LEAVES[("run",)].make_context("run", ["a.csv", "--epsilom", "1"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_is_in_the_readme(words: tuple[str, ...]) -> None:
    assert f"| `dpsynth {' '.join(words)}` |" in README


def test_every_row_of_the_command_table_is_a_command() -> None:
    rows = re.findall(r"^\| `dpsynth ([a-z ]+)` \|", README, re.M)
    assert {tuple(row.split()) for row in rows} == set(LEAVES)


@pytest.mark.parametrize("mark", ["demo", "test"])
def test_the_two_commands_are_one_line_each_and_pinned(mark: str) -> None:
    (block,) = re.findall(rf"<!-- run: {mark} -->\s*```bash\n(.*?)```", README, re.S)
    (line,) = block.strip().splitlines()
    assert line.startswith("python -m venv .venv && .venv/bin/pip install -c constraints.txt ")


def test_the_two_commands_come_first() -> None:
    assert README.index("<!-- run: demo -->") < README.index("<!-- run: test -->")
    assert README.index("<!-- run: test -->") < README.index("## What comes out")
    assert len(re.findall(r"^```", README.split("<!-- run: demo -->")[0], re.M)) == 0


def test_the_readme_has_a_place_for_the_figures() -> None:
    assert re.search(r"^<!-- figures:start -->.*^<!-- figures:end -->$", README, re.S | re.M)


def test_the_other_project_is_named_once() -> None:
    assert README.count("google/dpsynth") == 1


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_of_the_project_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+?)\)", _read(name))
    missing = [t for t in targets if not (PAGES[name].parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_paths_in_code_marks_exist(name: str) -> None:
    """`dpsynth/...` and `tests/...` in code marks name real files, or one that a reader adds."""
    paths = re.findall(r"`((?:dpsynth|audits|tests|docs|benchmarks)/[\w/.]*)`", _read(name))
    yours = {"dpsynth/generators/chain.py", "audits/attacks/crowding.py"}
    assert [path for path in paths if path not in yours and not (ROOT / path).exists()] == []


def test_the_reading_guide_names_every_file_of_the_trusted_core() -> None:
    core = {path.name for path in (ROOT / "dpsynth" / "privacy").glob("*.py")} - {"__init__.py"}
    named = set(re.findall(r"`(\w+\.py)`", _read("privacy.md")))
    assert core <= named
    assert named - core == set()


def test_the_schema_page_has_an_example_that_is_read() -> None:
    (example,) = _blocks(_read("schema.md"), "toml")
    schema = Schema.from_dict(tomllib.loads(example))
    assert {column.kind for column in schema.columns} == set(KINDS)


def test_the_schema_page_explains_every_key_and_kind() -> None:
    rows = " ".join(re.findall(r"^\|([^|]+)\|", _read("schema.md"), re.M))
    keys = [field.name for cls in (Schema, Column) for field in fields(cls)]
    assert [word for word in (*keys, *KINDS) if f"`{word}`" not in rows] == []


def test_the_changelog_knows_this_version_and_has_a_privacy_heading() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = changelog.split(f"## [{dpsynth.__version__}]")[1].split("\n## ")[0]
    assert "### Privacy" in latest
