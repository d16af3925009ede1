"""`dpsynth audit` and `dpsynth attacks`: what goes wrong is one line, what is odd is told."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.cli import invoke

Refused = Callable[..., str]
Capture = pytest.CaptureFixture[str]
QUICK = ["--attack", "closest_record", "--check", "copies"]


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([81, seed])
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, rows),
            "sex": rng.choice(["f", "m"], rows),
            "income": np.round(rng.gamma(2, 900, rows), 2),
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[str]]:
    """The three tables as files and the options that name them; `changes` replace a table."""

    def build(**changes: pd.DataFrame | None) -> list[str]:
        options = []
        for seed, role in enumerate(("train", "holdout", "synthetic", "reference", "previous")):
            always = role not in ("reference", "previous")
            frame = changes.get(role, people(200, seed) if always else None)
            path = tmp_path / f"{role}.csv"
            if frame is not None:
                frame.to_csv(path, index=False)
            if frame is not None or role in changes:
                options += [f"--{role}", str(path)]
        return options

    return build


def audit(arguments: list[str], out: Path, capsys: Capture, code: int) -> dict:
    capsys.readouterr()
    found = invoke(["audit", *arguments, "-o", str(out), "--json"])
    streams = capsys.readouterr()
    assert found == code, streams
    assert "Traceback" not in streams.err
    result = json.loads(streams.out)
    stored = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert stored["verdict"] == result["verdict"]
    assert stored["notes"] == result["notes"]
    assert "<!doctype html>" in (out / "report.html").read_text(encoding="utf-8")
    return {**result, "findings": {f["name"]: f for f in stored["findings"]}}


TABLES = {
    "lacks one": ({"synthetic": people(9, 1).drop(columns="sex")}, "synthetic.csv: column 'sex'"),
    "has more": ({"synthetic": people(9, 1).assign(extra=1)}, "column 'extra' is missing, which"),
    "train lacks": ({"train": people(9, 1).drop(columns="age")}, "train.csv: column 'age'"),
    "reference": ({"reference": people(9, 1).drop(columns="age")}, "reference.csv: column 'age'"),
    "header only": ({"holdout": people(0, 1)}, "holdout.csv: the table has a header but no rows"),
    "nothing": ({"holdout": pd.DataFrame()}, "holdout.csv"),
    "no such file": ({"synthetic": None}, "synthetic.csv: no such file"),
    "previous": ({"previous": people(9, 1).drop(columns="age")}, "previous.csv: column 'age'"),
    "no such previous": ({"previous": None}, "previous.csv: no such file"),
    "no such reference": ({"reference": None}, "reference.csv: no such file"),
    "unreadable": (
        {"synthetic": people(9, 1).assign(age="x")},
        "synthetic.csv: no value of column 'age' fits kind 'integer'",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_do_not_fit(
    write: Callable[..., list[str]], tmp_path: Path, refused: Refused, name: str
) -> None:
    changes, message = TABLES[name]
    out = tmp_path / "result"
    line = refused(["audit", *write(**changes), *QUICK, "-o", str(out)], nothing_at=out)
    assert message in line


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--epsilon", "-1"], "claimed epsilon is -1.0"),
        (["--epsilon", "nan"], "claimed epsilon is nan"),
        (["--epsilon", "1", "--delta", "1"], "claimed delta is 1.0"),
        (["--delta", "1e-5"], "without --epsilon"),
        (["--attack", "closest_recrod"], "no attack 'closest_recrod' is installed; installed are"),
        (["--attack", "lira"], "needs the generator itself; run it from Python"),
        (["--check", "copys"], "no check 'copys'; there are nearest_neighbours, copies"),
        (["--seed", "-1"], "seed is -1"),
        (["--seed", "x"], "--seed"),
        (["--schema", "none.toml"], "none.toml"),
        (["--nonsense"], "--nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_out_of_range(
    write: Callable[..., list[str]],
    tmp_path: Path,
    refused: Refused,
    wrong: list[str],
    message: str,
) -> None:
    out = tmp_path / "result"
    assert message in refused(["audit", *write(), *wrong, "-o", str(out)], nothing_at=out)


def test_a_claim_is_checked_before_a_table_is_read(tmp_path: Path, refused: Refused) -> None:
    tables = ["--train", "no.csv", "--holdout", "no.csv", "--synthetic", "no.csv"]
    out = tmp_path / "result"
    line = refused(["audit", *tables, "--epsilon", "0", "-o", str(out)], nothing_at=out)
    assert "claimed epsilon is 0.0" in line


def test_an_output_that_exists_is_left_alone(
    write: Callable[..., list[str]], tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "result"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    capture = refused(["audit", *write(), "-o", str(out)])
    assert "exists" in capture
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_overlap_is_told_and_can_be_removed(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    train = people(200, 0)
    tables = write(holdout=pd.concat([people(200, 1), train.head(80)]))
    # Copies that stand on both sides hide leaks, so silence means nothing.
    kept = audit([*tables, *QUICK], tmp_path / "kept", capsys, 4)
    assert any("80 training rows (40.00%) equal a holdout row" in note for note in kept["notes"])
    removed = audit([*tables, *QUICK, "--remove-overlap"], tmp_path / "removed", capsys, 0)
    assert any("left out of both" in note for note in removed["notes"])
    assert removed["findings"]["closest_record"]["rows_used"]["train"] == 120


def test_one_table_for_two_is_refused_where_nothing_would_be_left(
    write: Callable[..., list[str]], tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "result"
    tables = write(holdout=people(200, 0))
    line = refused(["audit", *tables, *QUICK, "--remove-overlap", "-o", str(out)], nothing_at=out)
    assert "'train' has no rows left" in line


@pytest.mark.parametrize("role", ["train", "holdout", "synthetic"])
def test_thirty_rows_are_inconclusive_and_say_why(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture, role: str
) -> None:
    found = audit([*write(**{role: people(30, 9)}), *QUICK], tmp_path / "result", capsys, 4)
    assert found["verdict"] == "inconclusive"
    for name in ("closest_record", "copies"):
        assert f"Table '{role}' has 30 rows" in found["findings"][name]["reason"], name


ODD = {"constant": 7, "one_class": "f", "gone": ""}


def test_columns_that_say_nothing_are_told_and_stop_nothing(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    """All attacks and checks: none may break or be dropped, whatever the columns."""
    roles = ("train", "holdout", "synthetic")
    frames = {role: people(120, seed).assign(**ODD) for seed, role in enumerate(roles)}
    # Too few rows for some criteria: those are inconclusive, and so is the whole.
    found = audit([*write(**frames), "--epsilon", "1"], tmp_path / "result", capsys, 4)
    for name in ODD:
        assert any(f"Column '{name}'" in note for note in found["notes"]), name
    wanted = {
        *("closest_record", "local_density", "near_copies", "density_ratio", "classifier"),
        *("claim", "vulnerable_records", "singling_out", "linkability", "attribute_inference"),
        *("nearest_neighbours", "copies", "diversity", "fidelity", "correlation"),
        *("two_sample", "utility"),
    }
    assert wanted <= set(found["findings"])
    assert all(finding["reason"] for finding in found["findings"].values())


def test_one_value_everywhere_is_inconclusive(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    frames = {role: pd.DataFrame({"sex": ["f"] * 80}) for role in ("train", "holdout", "synthetic")}
    found = audit([*write(**frames), *QUICK], tmp_path / "result", capsys, 4)
    assert any("one value in all real rows" in note for note in found["notes"])


def test_synthetic_values_outside_the_domain_are_told(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    made = people(200, 2).astype({"age": object})
    made.loc[0, "age"], made.loc[1, "age"], made.loc[2, "sex"] = 9999, "old", "zebra"
    made.insert(0, "person_id", range(200))
    others = {role: people(200, seed) for seed, role in enumerate(("train", "holdout"))}
    for frame in others.values():
        frame.insert(0, "person_id", range(200))
    found = audit([*write(synthetic=made, **others), *QUICK], tmp_path / "result", capsys, 0)
    notes = " ".join(found["notes"])
    assert "1 of 200 values of column 'age' in table 'synthetic' do not fit" in notes
    assert "'age' 0.50%" in notes
    assert "'sex' 0.50%" in notes
    assert "Left out as identifiers: 'person_id'." in notes


def test_whole_numbers_written_with_a_fraction_are_numbers(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    """Another tool's floats in a column of whole numbers: copies of them are still found."""
    train = people(200, 0)
    made = train.assign(age=train["age"] + 0.001)
    command = [*write(synthetic=made), "--attack", "closest_record", "--check", "copies"]
    found = audit(command, tmp_path / "result", capsys, 3)
    assert found["findings"]["closest_record"]["verdict"] == "leak"
    assert "do not fit" not in " ".join(found["notes"])


def test_notes_and_verdict_are_printed(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    tables = write(synthetic=people(200, 0))
    out = tmp_path / "result"
    assert invoke(["audit", *tables, *QUICK, "-o", str(out)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"verdict: leak ({out / 'report.html'})"
    assert [line for line in lines if line.startswith("closest_record: The attack tells")]
    assert not [line for line in lines if line.startswith("error")]


def test_attacks_are_listed_with_kind_and_knowledge(capsys: Capture) -> None:
    capsys.readouterr()
    assert invoke(["attacks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in found.values()} == {"membership", "disclosure"}
    assert found["lira"]["run"] == "library"
    assert found["closest_record"]["run"] == "audit"
    assert found["linkability"]["criterion"] == "linkability"
    assert all(len(item["holds"]) > 10 for item in found.values())
    assert invoke(["attacks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[n, i["kind"]] for n, i in found.items()]
    assert [line.split()[0] for line in lines if "refit" in line] == [
        name for name, item in found.items() if item["run"] == "library"
    ]


def test_an_earlier_release_is_looked_for(
    write: Callable[..., list[str]], tmp_path: Path, capsys: Capture
) -> None:
    previous = people(300, 9)
    train = pd.concat([previous[:150], people(150, 1)], ignore_index=True)
    options = write(previous=previous, train=train)
    quick = ["--attack", "closest_record", "--check", "feedback", "--check", "decay"]
    result = audit([*options, *quick], tmp_path / "result", capsys, 3)
    assert result["findings"]["feedback"]["verdict"] == "leak"
    assert result["findings"]["decay"]["verdict"] == "measured"
    assert 0.4 < result["figures"]["feedback.found_share"] < 0.6


def test_checks_of_lineage_ask_for_an_earlier_release(
    write: Callable[..., list[str]], tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "result"
    line = refused(["audit", *write(), "--check", "decay", "-o", str(out)], nothing_at=out)
    assert "'decay' needs an earlier release; give previous" in line
