"""`dpsynth sample`: rows in parts, conditions with their worth, gaps filled."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dpsynth.cli import invoke
from dpsynth.sampling import sampler

from .conftest import people

Capture = pytest.CaptureFixture[str]


def _json(capsys: Capture, *arguments: object) -> tuple[dict[str, object], str]:
    capsys.readouterr()
    code = invoke(["sample", *map(str, arguments), "--json"])
    streams = capsys.readouterr()
    assert code == 0, streams.err
    return json.loads(streams.out), streams.err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_are_written_in_parts(
    model_folder: Path, tmp_path: Path, suffix: str, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sampler, "FRAME_ROWS", 100)
    out = tmp_path / f"s.{suffix}"
    found, _ = _json(capsys, model_folder, "--rows", 250, "--seed", 1, "-o", out)
    assert found == {"rows": 250, "out": str(out)}
    made = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert made["person_id"].tolist() == list(range(1, 251))


def test_a_condition_says_what_its_rows_are_worth(
    model_folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "s.csv"
    found, err = _json(
        capsys, model_folder, "--rows", 80, "--where", "age=30..40", "--where", "sex=female|male",
        "--seed", 1, "-o", out,
    )  # fmt: skip
    assert 8 < found["effective_sample_size"] <= 80
    assert 0 < found["probability"] < 1
    assert 0 < found["distinct_share"] <= 1
    assert "effective sample size" in " ".join(err.split())
    made = pd.read_csv(out)
    assert made["age"].between(30, 40).all()
    assert set(made["sex"]) == {"female", "male"}


def test_gaps_are_filled(model_folder: Path, tmp_path: Path, capsys: Capture) -> None:
    partial, out = tmp_path / "partial.csv", tmp_path / "full.csv"
    given = people(60).drop(columns=["income"])
    given.to_csv(partial, index=False)
    found, err = _json(capsys, model_folder, "--fill", partial, "--seed", 1, "-o", out)
    made = pd.read_csv(out)
    assert not made.isna().any().any()
    assert found["rows"] == 60
    assert found["cells_filled"] == 60 + int(given.isna().sum().sum())
    assert found["candidates"] == 64
    assert 1 <= found["median_effective_candidates"] <= 64
    assert "epsilon does not cover it" in " ".join(err.split())
    there = given["sex"].notna()
    assert made["sex"][there].tolist() == given["sex"][there].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fill", "{partial}", "--rows", "5"], "leave out --rows and --where"),
        (["--fill", "{partial}", "--where", "sex=male"], "leave out --rows and --where"),
        (["--fill", "nowhere.csv"], "no such file"),
        (["--fill", "{bad}"], "row 1, column 'age': '5' is not in the model's domain"),
        (["--where", "age=40..30"], "no value in '40..30'"),
    ],
)
def test_wrong_use(
    model_folder: Path, tmp_path: Path, options: list[str], message: str, capsys: Capture
) -> None:
    (tmp_path / "partial.csv").write_text("age\n40\n")
    (tmp_path / "bad.csv").write_text("age\n5\n")
    places = {"partial": tmp_path / "partial.csv", "bad": tmp_path / "bad.csv"}
    out = tmp_path / "s.csv"
    filled = [option.format(**places) for option in options]
    assert invoke(["sample", str(model_folder), *filled, "-o", str(out)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
