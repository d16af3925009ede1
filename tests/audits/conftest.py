"""Tables without secrets: two independent draws of one of these cannot leak."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def mixed_table() -> Callable[..., pd.DataFrame]:
    """(n, seed) -> numbers, categories, a number with missing values, whole numbers with atoms."""

    def make(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([20, seed])
        return pd.DataFrame(
            {
                "height": rng.normal(170, 10, n),
                "town": rng.choice(["north", "south", "east"], n, p=[0.6, 0.3, 0.1]),
                "visits": np.where(rng.random(n) < 0.1, np.nan, rng.poisson(4, n)),
                "gain": np.where(rng.random(n) < 0.8, 0, rng.integers(1, 10_000, n)),
                "member": rng.random(n) < 0.4,
            }
        )

    return make


@pytest.fixture(scope="session")
def binary_table() -> Callable[..., pd.DataFrame]:
    """(n, seed) -> seven fair coins: 128 possible rows."""

    def make(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([21, seed])
        return pd.DataFrame(rng.integers(0, 2, (n, 7)), columns=list("abcdefg"))

    return make
