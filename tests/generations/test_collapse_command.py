"""`dpsynth collapse`: files, exit codes, and one clear line for wrong input."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.cli import invoke
from dpsynth.generations.experiment import Plan, collapse, prepare
from dpsynth.generations.makers import private_maker
from dpsynth.generations.modes import parse_modes
from dpsynth.generations.result import INTERNAL
from dpsynth.privacy.noise import seeded_noise
from dpsynth.schema import Schema
from dpsynth.table import Table

ADULT = Path(__file__).parents[3] / "shared" / "data" / "adult"
SCHEMA = """
[[columns]]
name = "age"
kind = "integer"
lower = 0
upper = 100

[[columns]]
name = "sex"
kind = "categorical"
categories = ["f", "m"]
"""
Refused = Callable[..., str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path, rng = tmp_path / "people.csv", np.random.default_rng(5)
    ages = rng.normal(40, 10, 700).round().clip(18, 80).astype(int)
    frame = pd.DataFrame({"age": ages, "sex": rng.choice(["f", "m"], 700), "person_id": range(700)})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with exit code 2: its one error line; nothing is left."""

    def check(arguments: list[str], *, out: Path) -> str:
        before = sorted(out.parent.iterdir())
        capsys.readouterr()
        assert invoke(arguments) == 2
        err = capsys.readouterr().err
        lines = [line for line in err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1 and err.splitlines()[-1] == lines[0] and "Traceback" not in err
        assert sorted(out.parent.iterdir()) == before
        return lines[0]

    return check


def test_the_whole_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "collapse"
    command = ["collapse", str(data), "--generations", "2", "--mode", "replace"]
    command += ["--mode", "fresh:0.5", "--epsilon", "8", "--generator", "independent"]
    assert invoke([*command, "--target", "sex", "--seed", "3", "--json", "-o", str(out)]) == 0
    done = capsys.readouterr()
    assert INTERNAL in done.err
    found = json.loads(done.out)
    assert found["heading"] == INTERNAL
    assert found["settings"]["maker"].startswith("independent at epsilon 8, delta 1e-05")
    assert found["settings"]["columns"] == ["age", "sex"], "identifiers take no part"
    assert found["settings"]["seed"] == 3
    assert [curve["mode"] for curve in found["curves"]] == ["replace", "fresh:0.5"]
    for curve in found["curves"]:
        assert len(curve["figures"]["support"]) == 3
        assert curve["figures"]["variance_ratio"][2] > 0.3, "an honest fit, however noisy"
    stored = json.loads((out / "collapse.json").read_text())
    assert stored == {key: value for key, value in found.items() if key != "out"}
    assert sorted(p.name for p in out.iterdir()) == [
        f"collapse.{kind}" for kind in ("csv", "html", "json", "png")
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["collapse", "people.csv"]


def test_without_privacy_it_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[object] = []

    class Model:
        def __init__(self, frame: pd.DataFrame) -> None:
            self.frame = frame

        def sample(self, rows: int, *, rng: np.random.Generator) -> pd.DataFrame:
            return self.frame.iloc[rng.integers(0, len(self.frame), rows)]

    def fit_non_private(
        frame: pd.DataFrame, *, schema: Schema, generator: str, rng: np.random.Generator
    ) -> Model:
        given.append((schema.names, generator))
        return Model(frame)

    fake = types.ModuleType("dpsynth.non_private")
    fake.fit_non_private = fit_non_private  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dpsynth.non_private", fake)
    schema = tmp_path / "schema.toml"
    schema.write_text(SCHEMA + '\n[[columns]]\nname = "person_id"\nkind = "identifier"\n')
    command = ["collapse", str(data), "--generations", "2", "--non-private", "--seed", "1"]
    command += ["--schema", str(schema), "-o", str(tmp_path / "out")]
    assert invoke(command) == 0
    assert given == [(("age", "sex"), "autoregressive")] * 3, "generation 1 is shared by the modes"
    assert "accumulate" in capsys.readouterr().out
    for name in ("collapse.html", "collapse.json"):
        assert "WITHOUT privacy" in (tmp_path / "out" / name).read_text()


WRONG = {
    "no budget": (["--generations", "2"], "give --epsilon for private fits, or --non-private"),
    "both": (["--generations", "2", "--non-private", "--epsilon", "1"], "has no budget"),
    "delta too": (["--generations", "2", "--non-private", "--delta", "1e-5"], "has no budget"),
    "no epsilon": (["--generations", "2", "--epsilon", "0"], "epsilon"),
    "no generation": (["--generations", "0", "--epsilon", "1"], "generations is 0"),
    "no number": (["--generations", "few", "--epsilon", "1"], "'--generations'"),
    "mode": (["--generations", "2", "--epsilon", "1", "--mode", "mix"], "mode 'mix' is not known"),
    "share": (["--generations", "2", "--epsilon", "1", "--mode", "fresh:2"], "share 2 "),
    "small share": (
        ["--generations", "2", "--epsilon", "1", "--mode", "fresh:0.0001"],
        "rows are too few for this share",
    ),
    "generator": (["--generations", "2", "--epsilon", "1", "--generator", "gqn"], "installed: "),
    "target": (["--generations", "2", "--epsilon", "1", "--target", "sax"], "did you mean 'sex'"),
    "rows": (["--generations", "2", "--epsilon", "1", "--rows", "9999"], "ask for fewer"),
    "fresh rows": (
        ["--generations", "9", "--epsilon", "1", "--rows", "300", "--mode", "fresh:0.5"],
        "9 generations of 300 rows take 1200 fresh real rows",
    ),
    "schema": (["--generations", "2", "--epsilon", "1", "--schema", "none.toml"], "none.toml"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(name: str, data: Path, tmp_path: Path, refused: Refused) -> None:
    options, message = WRONG[name]
    out = tmp_path / "out"
    assert message in refused(["collapse", str(data), *options, "-o", str(out)], out=out)


TABLES = {
    "one column": ("a\n" + "1\n2\n" * 50, "one column to model"),
    "few rows": ("a,b\n" + "1,2\n" * 12, "too few"),
    "two rows": ("a,b\n1,2\n", "hold out"),
    "ragged": ("a,b\n1,2\n1\n", "line 3"),
}


@pytest.mark.parametrize("name", TABLES)
def test_wrong_tables(name: str, tmp_path: Path, refused: Refused) -> None:
    text, message = TABLES[name]
    path, out = tmp_path / "bad.csv", tmp_path / "out"
    path.write_text(text)
    command = ["collapse", str(path), "--generations", "2", "--epsilon", "1", "-o", str(out)]
    assert message in refused(command, out=out)


def test_no_such_file_and_an_output_that_exists(
    data: Path, tmp_path: Path, refused: Refused
) -> None:
    out = tmp_path / "out"
    options = ["--generations", "2", "--epsilon", "1", "-o"]
    gone = str(tmp_path / "gone.csv")
    assert "no such file" in refused(["collapse", gone, *options, str(out)], out=out)
    out.mkdir()
    assert "exists" in refused(["collapse", str(data), *options, str(out)], out=out)


def test_a_fit_that_fails_leaves_nothing(tmp_path: Path, refused: Refused) -> None:
    """The first fit refuses: 60 rows drown in the noise of epsilon 0.001."""
    path, out = tmp_path / "small.csv", tmp_path / "out"
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({f"c{n}": rng.integers(0, 5, 60) for n in range(4)})
    frame.to_csv(path, index=False)
    command = ["collapse", str(path), "--generations", "2", "--epsilon", "0.001", "-o", str(out)]
    assert "too few for epsilon" in refused(command, out=out)


def test_constant_columns_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, rng = tmp_path / "flat.csv", np.random.default_rng(2)
    pd.DataFrame({"flat": 7, "side": rng.choice(["l", "r"], 500)}).to_csv(path, index=False)
    command = ["collapse", str(path), "--generations", "1", "--epsilon", "8", "--json"]
    command += ["--generator", "independent", "--mode", "replace", "-o", str(tmp_path / "out")]
    assert invoke(command) == 0
    (curve,) = json.loads(capsys.readouterr().out)["curves"]
    assert curve["figures"]["log_variance"] == [None, None]
    assert "log_variance" not in curve["theory"]


def test_auto_follows_the_rule(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "auto"
    command = ["collapse", str(data), "--generations", "1", "--mode", "replace", "--epsilon", "3"]
    assert invoke([*command, "--generator", "auto", "-o", str(out)]) == 0
    settings = json.loads((out / "collapse.json").read_text())["settings"]
    assert settings["maker"].startswith("autoregressive")


@pytest.mark.slow
def test_without_privacy_for_real(data: Path, tmp_path: Path) -> None:
    command = ["collapse", str(data), "--generations", "2", "--non-private", "--seed", "1"]
    command += ["--generator", "independent", "--mode", "replace", "-o", str(tmp_path / "out")]
    assert invoke(command) == 0
    (curve,) = json.loads((tmp_path / "out" / "collapse.json").read_text())["curves"]
    assert 0.7 < curve["figures"]["variance_ratio"][1] < 1.4
    assert curve["figures"]["tvd2"][1] < 0.15


@pytest.mark.slow
@pytest.mark.skipif(not ADULT.exists(), reason="the table Adult is not there")
def test_the_flagship_on_adult() -> None:
    """Five generations of the default generator at epsilon 3: the known order of the modes.

    Six columns, 3,000 rows, seeded noise.
    """
    facts = json.loads((ADULT / "meta.json").read_text())["columns"]
    names = ["age", "workclass", "education", "hours_per_week", "sex", "income"]
    keys = ("kind", "lower", "upper", "categories")
    columns = [{"name": n, **{k: facts[n][k] for k in keys if k in facts[n]}} for n in names]
    schema = Schema.from_dict({"columns": columns})
    make = private_maker(
        epsilon=3, delta=1e-5, schema=schema, generator="autoregressive", noise=seeded_noise(4)
    )
    modes = parse_modes(["replace", "accumulate", "fresh:0.5"])
    plan = Plan(generations=5, modes=modes, rows=3_000, target="income", seed=1)
    table = Table.read(ADULT / "train.csv").select(names)
    result = collapse(prepare(table, schema, plan), plan, make, maker="autoregressive")
    ends = [
        {key: values[-1] or 0.0 for key, values in curve.figures.items()} for curve in result.curves
    ]
    for kept in ends[1:]:
        assert kept["tvd2"] < ends[0]["tvd2"]
        assert kept["tstr"] > ends[0]["tstr"]
        assert kept["coverage"] > ends[0]["coverage"]
