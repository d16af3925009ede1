"""The tables that are compared on: folders given by the caller, and tables made here.

A table is a folder with train.csv, test.csv and meta.json: columns with kind, lower, upper,
categories and missing, and the target of the prediction task.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from utility_cache import Cache

TRAIN_ROWS, TEST_ROWS = 20_000, 5_000


@dataclass(frozen=True)
class BenchmarkTable:
    """A folder with train.csv, test.csv and meta.json."""

    folder: Path

    def __post_init__(self) -> None:
        lacking = [p.name for p in (self.train, self.test, self.meta) if not p.is_file()]
        if lacking:
            raise SystemExit(
                f"{self.folder}: no {', '.join(lacking)}; a table is a folder with train.csv, "
                "test.csv and meta.json"
            )

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def train(self) -> Path:
        return self.folder.absolute() / "train.csv"

    @property
    def test(self) -> Path:
        return self.folder.absolute() / "test.csv"

    @property
    def meta(self) -> Path:
        return self.folder.absolute() / "meta.json"

    @property
    def target(self) -> str:
        return str(json.loads(self.meta.read_text())["target"])

    def rows(self) -> int:
        """Of the training part."""
        return len(pd.read_csv(self.train, usecols=[0], skip_blank_lines=False))


def made(name: str, cache: Cache) -> BenchmarkTable:
    """A table that the benchmark makes itself, public and always the same."""
    folder = cache.file("tables", name)
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(20_240)
    train, test = MADE[name](TRAIN_ROWS, rng), MADE[name](TEST_ROWS, rng)
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)
    (folder / "meta.json").write_text(json.dumps(_binary_meta(train), indent=1))
    return BenchmarkTable(folder)


def parity(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Twelve bits whose every pair is independent: what there is to learn is of order three.

    a to d are fair coins; ab, bc, cd, abc and bcd are the parities of the coins they are named
    after, so that abc is also that of a and bc, or of ab and c; the target is the parity of all
    four coins (of a and bcd, of abc and d, of ab and cd), flipped in 5 % of the rows; rare and
    often are noise.
    """
    a, b, c, d = rng.integers(0, 2, (4, rows))
    flipped = (rng.random(rows) < 0.05).astype(int)
    return pd.DataFrame(
        {"a": a, "b": b, "c": c, "d": d, "ab": a ^ b, "bc": b ^ c, "cd": c ^ d}
        | {"abc": a ^ b ^ c, "bcd": b ^ c ^ d}
        | {"rare": (rng.random(rows) < 0.2).astype(int)}
        | {"often": (rng.random(rows) < 0.7).astype(int)}
        | {"target": a ^ b ^ c ^ d ^ flipped}
    )


MADE: dict[str, Callable[[int, np.random.Generator], pd.DataFrame]] = {"parity": parity}


def _binary_meta(frame: pd.DataFrame) -> dict[str, Any]:
    column = {"kind": "categorical", "categories": [0, 1], "missing": False}
    return {"target": "target", "columns": dict.fromkeys(frame.columns, column)}
