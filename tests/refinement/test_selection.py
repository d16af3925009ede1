"""Which pairs are measured: strong ones, few enough, by noisy answers and public constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.refinement.selection import (
    SelectionRules,
    _distance_by_chance,
    all_pairs,
    chosen_pairs,
)

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
COLUMNS = 12
EVERY = all_pairs(COLUMNS)
GUESSES = tuple(np.full((4, 4), 1000.0 / 16) for _ in EVERY)
RULES = SelectionRules(all_up_to=1, least=1.0, most=3.0, sigmas=2.0)

distances_of = st.lists(st.integers(-500, 3000), min_size=len(EVERY), max_size=len(EVERY)).map(
    lambda whole: np.array(whole, dtype=np.float64)
)


def _chosen(
    distances: np.ndarray, *, std: float = 5.0, rules: SelectionRules = RULES
) -> tuple[tuple[int, int], ...]:
    return chosen_pairs(
        distances, std=std, guesses=GUESSES, guess_std=2.0, columns=COLUMNS, rules=rules
    )


def _by_chance(rng: np.random.Generator) -> np.ndarray:
    """L1 distances of independent rows to the guess."""
    counts = rng.multinomial(1000, np.full(16, 1 / 16), size=len(EVERY))
    return np.abs(counts - 1000 / 16).sum(axis=1).astype(np.float64)


def test_every_pair_once_and_in_order() -> None:
    assert all_pairs(4) == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    assert all_pairs(1) == ()


def test_nothing_is_asked_of_narrow_tables() -> None:
    rules = SelectionRules(all_up_to=5)
    assert not rules.asks(5)
    assert rules.asks(6)


def test_strong_pairs_are_kept_and_independent_ones_dropped() -> None:
    """At little noise: 20 of 66 pairs lie 300 rows beyond chance, the others are independent.

    A distance by chance has a deviation below 25 rows, so 300 are 12 of them.
    """
    rng = np.random.default_rng(1)
    strong = np.sort(rng.choice(len(EVERY), 20, replace=False))
    distances = _by_chance(rng)
    distances[strong] += 300.0
    noisy = distances + rng.normal(0, 40.0, len(EVERY))
    assert _chosen(noisy, std=40.0) == tuple(EVERY[k] for k in strong)


def test_independent_columns_keep_the_least_number() -> None:
    rng = np.random.default_rng(2)
    noisy = _by_chance(rng) + rng.normal(0, 60.0, len(EVERY))
    assert len(_chosen(noisy, std=60.0)) == COLUMNS


@QUICK
@given(
    distances=distances_of,
    std=st.floats(0.1, 1e4),
    least=st.floats(0.1, 4.0),
    extra=st.floats(0.0, 20.0),
)
def test_the_number_of_pairs_is_within_its_bounds(
    distances: np.ndarray, std: float, least: float, extra: float
) -> None:
    rules = SelectionRules(least=least, most=least + extra)
    found = _chosen(distances, std=std, rules=rules)
    assert np.ceil(least * COLUMNS) <= len(found) or len(found) == len(EVERY)
    assert len(found) <= np.ceil((least + extra) * COLUMNS)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(EVERY)


@QUICK
@given(distances=distances_of)
def test_no_pair_left_out_is_further_than_one_that_is_kept(distances: np.ndarray) -> None:
    """All guesses are alike here, so chance explains the same of each."""
    found = set(_chosen(distances))
    kept = [d for d, pair in zip(distances, EVERY, strict=True) if pair in found]
    left = [d for d, pair in zip(distances, EVERY, strict=True) if pair not in found]
    assert not left or max(left) <= min(kept)


@QUICK
@given(distances=distances_of)
def test_the_choice_is_a_function_of_its_arguments(distances: np.ndarray) -> None:
    before = distances.copy()
    assert _chosen(distances) == _chosen(distances.copy())
    assert np.array_equal(distances, before)


def test_few_columns_have_no_more_pairs_than_there_are() -> None:
    guesses = (np.full((2, 2), 5.0),)
    found = chosen_pairs(
        np.array([3.0]), std=1.0, guesses=guesses, guess_std=1.0, columns=2, rules=RULES
    )
    assert found == ((0, 1),)


@pytest.mark.parametrize("size", [4, 12])
def test_distance_by_chance_is_about_right(size: int) -> None:
    """What independence explains, against the mean of 300 simulated distances; within a fifth.

    The rule is approximate by design; it must not be off by a factor.
    """
    rng, rows, std = np.random.default_rng(4), 20_000, 30.0
    p = rng.dirichlet(np.full(size, 3.0))
    q = rng.dirichlet(np.full(size, 3.0))
    found = []
    for _ in range(300):
        counts = rng.multinomial(rows, np.outer(p, q).ravel()).reshape(size, size)
        noisy = [s + rng.normal(0, std / rows, size) for s in (p, q)]
        found.append(np.abs(counts - rows * np.outer(*noisy)).sum())
    expected = _distance_by_chance(rows * np.outer(p, q), std)
    assert expected == pytest.approx(np.mean(found), rel=0.2)
