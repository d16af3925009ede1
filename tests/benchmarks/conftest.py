"""The benchmark's parts are scripts beside each other: imported with their folder on the path."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path() -> Iterator[None]:
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """A table of two columns and ten rows."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    frame = pd.DataFrame({"size": range(10), "kind": list("aabbaabbab")})
    frame.to_csv(folder / "train.csv", index=False)
    frame.to_csv(folder / "test.csv", index=False)
    (folder / "meta.json").write_text(
        '{"target": "kind", "columns": {"size": {"kind": "integer", "lower": 0, "upper": 9, '
        '"missing": false}, "kind": {"kind": "categorical", "categories": ["a", "b"], '
        '"missing": false}}}'
    )
    return folder
