"""Planted secrets: no byte of a model, nor of what may leave the house, holds one of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpsynth.pipeline import RunOptions, run
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

ROWS = 900
TEXTS = [f"zqSecret{i:03d}x" for i in range(5)]
IDS = [f"ID-7319{i:04d}" for i in range(ROWS)]
INCOMES = ["13371337.25", "13371338.75"]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV in which every id, five remarks and two incomes occur once."""
    rng = np.random.default_rng(3)
    remark = rng.choice(["fine", "better", "worse"], ROWS).astype(object)
    income = np.char.mod("%.2f", np.round(rng.gamma(2, 1000, ROWS), 2)).astype(object)
    remark[:5], income[5:7] = TEXTS, INCOMES
    frame = pd.DataFrame({"person_id": IDS, "remark": remark, "income": income})
    path = tmp_path_factory.mktemp("private") / "rows.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def bundle(private: Path) -> Path:
    out = private.parent / "bundle"
    settings = Synthesizer(epsilon=5, training=TrainingOptions(steps=3))
    run(str(private), out, synthesizer=settings, options=RunOptions(rows=400))
    return out


def planted(data: bytes) -> list[str]:
    """Secrets that occur, whole or without the decimals, in text or as a little-endian double."""
    texts = [*TEXTS, *IDS, *INCOMES, *(income[:8] for income in INCOMES)]
    found = [text for text in texts if text.encode() in data]
    return found + [t for t in INCOMES if np.float64(t).tobytes() in data]


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_search_finds_what_is_there(private: Path) -> None:
    """The control: all of them are in the private file, and a double is recognised."""
    found = planted(private.read_bytes())
    assert set(found) >= {*TEXTS, *IDS, *INCOMES}
    assert planted(np.array([1.0, 13371337.25]).tobytes()) == ["13371337.25"]


def test_no_public_file_holds_a_planted_value(bundle: Path) -> None:
    files = files_below(bundle / "public")
    assert len(files) >= 6
    assert {str(f.name): planted(f.read_bytes()) for f in files} == {f.name: [] for f in files}


def test_no_model_file_holds_a_planted_value(bundle: Path, private: Path) -> None:
    settings = Synthesizer(epsilon=5, training=TrainingOptions(steps=3))
    settings.fit(str(private)).save(private.parent / "model")
    for folder in (bundle / "internal" / "model", private.parent / "model"):
        files = files_below(folder)
        assert len(files) == 4
        assert {f.name: planted(f.read_bytes()) for f in files} == {f.name: [] for f in files}


def test_no_internal_file_holds_a_planted_id_or_text(bundle: Path) -> None:
    """The internal evidence describes real rows by figures, and never repeats a rare value."""
    for path in files_below(bundle / "internal"):
        assert not {*planted(path.read_bytes())} & {*TEXTS, *IDS}, path.name


def test_the_synthetic_table_holds_no_planted_value(bundle: Path) -> None:
    (table,) = bundle.rglob("synthetic.csv")
    assert planted(table.read_bytes()) == []
    assert len(pd.read_csv(table)) == 400
