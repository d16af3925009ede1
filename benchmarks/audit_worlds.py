"""Tables for benchmarks/audit_rates.py: independent draws of one population cannot leak."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

Make = Callable[[int, np.random.Generator], pd.DataFrame]


def mixed(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Numbers, atoms, missing values, a rare town, a truth value."""
    return pd.DataFrame(
        {
            "height": rng.normal(170.0, 10.0, n),
            "town": rng.choice(["north", "south", "east"], n, p=[0.6, 0.3, 0.1]),
            "visits": np.where(rng.random(n) < 0.1, np.nan, rng.poisson(4, n)),
            "gain": np.where(rng.random(n) < 0.8, 0, rng.integers(1, 10_000, n)),
            "member": rng.random(n) < 0.4,
        }
    )


def binary(n: int, rng: np.random.Generator, *, columns: int = 7) -> pd.DataFrame:
    """Fair coins: with seven columns 128 possible rows, most of which occur in every table."""
    coins = rng.integers(0, 2, (n, columns))
    return pd.DataFrame(coins, columns=[f"coin{place}" for place in range(columns)])


def narrow(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Two columns: one whole number with ties, one category."""
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "sex": rng.choice(["f", "m"], n),
        }
    )


def towns(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """A number and eleven towns of equal size: small groups that are tested on their own."""
    return pd.DataFrame(
        {
            "income": np.round(rng.lognormal(10.0, 0.5, n)),
            "town": np.array(list("abcdefghijk"))[rng.integers(0, 11, n)],
            "member": rng.random(n) < 0.4,
        }
    )


def wide(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Ten numbers and ten categories that hang together through three hidden factors."""
    hidden = rng.normal(size=(n, 3))
    table: dict[str, np.ndarray] = {}
    for place in range(10):
        table[f"number{place}"] = hidden[:, place % 3] + rng.normal(size=n)
    labels = np.array(list("abcdefghijkl"))
    for place, levels in enumerate((2, 2, 3, 3, 4, 5, 6, 8, 10, 12)):
        noisy = hidden[:, place % 3] + rng.normal(size=n)
        table[f"label{place}"] = labels[np.digitize(noisy, np.linspace(-2.0, 2.0, levels - 1))]
    return pd.DataFrame(table)


def fifteen(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Seven numbers (atoms, skew, missing values) and eight categories, as in a census table."""
    table = wide(n, rng)
    kept = [f"number{place}" for place in range(5)] + [f"label{place}" for place in range(2, 10)]
    table = table[kept]
    table["hours"] = np.where(rng.random(n) < 0.5, 40, rng.integers(1, 99, n))
    gain = np.where(rng.random(n) < 0.9, 0.0, np.round(rng.lognormal(8.0, 1.0, n)))
    table["gain"] = np.where(rng.random(n) < 0.05, np.nan, gain)
    return table


# Each has its rows of train, holdout and synthetic. The holdout is half of train, which is where
# scores that do not correct for size go wrong. In the towns' world groups hold 50 rows of train and
# of what the holdout does not lend, so that they are tested; elsewhere they are too small.
Sizes = tuple[int, int, int]
WORLDS: dict[str, tuple[Make, Sizes]] = {
    "mixed": (mixed, (200, 100, 200)),
    "binary": (binary, (200, 100, 200)),
    "narrow": (narrow, (200, 100, 200)),
    "wide": (wide, (200, 100, 200)),
    "towns": (towns, (700, 1_400, 200)),
}
# Larger, as a test must be able to see something before it states what.
POWER: dict[str, tuple[Make, Sizes]] = {
    "mixed": (mixed, (600, 300, 600)),
    "wide": (wide, (600, 300, 600)),
}
# Rows of train (and of its copy) and of the holdout.
COPIES: dict[str, tuple[int, int]] = {
    f"{train:,} rows, holdout {holdout:,}": (train, holdout)
    for train, holdout in ((60, 60), (200, 100), (500, 250), (1_000, 1_000))
}


def draw(
    make: Make, sizes: Sizes, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Independent train, holdout and synthetic tables: no leak."""
    train, holdout, synthetic = (make(size, rng) for size in sizes)
    return train, holdout, synthetic


def plant(
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], share: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same tables, this share of the training rows (rounded up) standing in the synthetic."""
    train, holdout, synthetic = tables
    count = min(math.ceil(share * len(train) - 1e-9), len(synthetic))
    copied = train.iloc[rng.permutation(len(train))[:count]]
    kept = synthetic.iloc[rng.permutation(len(synthetic))[count:]]
    return train, holdout, pd.concat([copied, kept], ignore_index=True)
