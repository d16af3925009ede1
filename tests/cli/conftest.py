"""A tiny table, its schema, and one fit and one run of it that the tests share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.cli import invoke

SCHEMA = """
[[columns]]
name = "age"
kind = "integer"
lower = 18
upper = 90

[[columns]]
name = "sex"
kind = "categorical"
categories = ["f", "m"]
"""


def small_table(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame({"age": rng.integers(18, 80, rows), "sex": rng.choice(["f", "m"], rows)})


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with people.csv, schema.toml, the model `model` and the bundle `bundle`."""
    folder = tmp_path_factory.mktemp("cli")
    data, schema = folder / "people.csv", folder / "schema.toml"
    small_table().to_csv(data, index=False)
    schema.write_text(SCHEMA)
    common = [str(data), "--epsilon", "8", "--schema", str(schema)]
    assert invoke(["fit", *common, "-o", str(folder / "model")]) == 0
    assert invoke(["run", *common, "-o", str(folder / "bundle")]) in (0, 3, 4)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A fresh copy of the tiny table."""
    path = tmp_path / "people.csv"
    small_table().to_csv(path, index=False)
    return path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail: its one error line; checks exit code and output path."""

    def check(arguments: list[str], *, code: int = 2, nothing_at: Path | None = None) -> str:
        capsys.readouterr()
        assert invoke(arguments) == code
        err = capsys.readouterr().err
        lines = [line for line in err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, err
        assert err.splitlines()[-1] == lines[0], "no line may follow the error"
        assert "Traceback" not in err
        if nothing_at is not None:
            left = [p.name for p in nothing_at.parent.glob(f"*{nothing_at.name}*")]
            assert [name for name in left if code == 2 or name == nothing_at.name] == []
        return lines[0]

    return check
