"""Questions about pairs of columns: right answers, and no row moves them by more than declared."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.cells import Cells
from dpsynth.errors import InputError
from dpsynth.privacy.queries import PairDistances, PairMarginals, Query
from dpsynth.privacy.rows import PrivateRows
from dpsynth.schema import Column
from dpsynth.table import Table

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
NAMES = ("a", "b", "c")
SIZES = (2, 3, 4)
PAIRS = ((0, 1), (0, 2), (1, 2))


class _Codec:
    """Three columns of small whole numbers, which are their own codes."""

    columns = tuple(Column(name=n, kind="integer") for n in NAMES)
    sizes = SIZES

    def encode(self, cells: dict[str, Cells]) -> np.ndarray:
        return np.stack([cells[n].values for n in NAMES], axis=1).astype(np.int64)


Row = tuple[int, int, int]
row_of = st.tuples(*[st.integers(0, s - 1) for s in SIZES])
rows_of = st.lists(row_of, min_size=1, max_size=25)
seeds = st.integers(0, 2**32 - 1)


def _rows(data: list[Row], *, units: list[int] | None = None, cap: int = 1) -> PrivateRows:
    frame = pd.DataFrame(data, columns=list(NAMES)).astype("int64")
    unit = None
    if units is not None:
        frame["id"], unit = units, "id"
    rng = np.random.default_rng(0)
    return PrivateRows(Table.from_frame(frame), unit=unit, max_rows_per_unit=cap, rng=rng)


def _guesses(seed: int, *, scale: float = 5.0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.gamma(0.3, scale, (SIZES[i], SIZES[j])) for i, j in PAIRS)


def _marginals(seed: int = 0) -> Query:
    return PairMarginals(_Codec(), PAIRS)


def _distances(seed: int = 0) -> Query:
    return PairDistances(_Codec(), PAIRS, _guesses(seed))


BOTH = pytest.mark.parametrize("make", [_marginals, _distances], ids=["tables", "distances"])


@QUICK
@given(data=rows_of)
def test_tables_are_those_of_pandas(data: list[Row]) -> None:
    frame = pd.DataFrame(data, columns=list(NAMES))
    expected = []
    for i, j in PAIRS:
        table = pd.crosstab(frame[NAMES[i]], frame[NAMES[j]])
        expected.append(table.reindex(index=range(SIZES[i]), columns=range(SIZES[j]), fill_value=0))
    found = _marginals().sum(_rows(data))
    assert found.tolist() == np.concatenate([t.to_numpy().ravel() for t in expected]).tolist()


@QUICK
@given(data=rows_of, seed=seeds)
def test_distances_are_sums_of_absolute_differences(data: list[Row], seed: int) -> None:
    """The guess is rounded to a thousandth of a row, so a table of k cells is off by k / 2048."""
    tables = np.split(_marginals().sum(_rows(data)), np.cumsum([6, 8]))
    plain = [np.abs(t - g.ravel()).sum() for t, g in zip(tables, _guesses(seed), strict=True)]
    assert np.abs(_distances(seed).sum(_rows(data)) - plain).max() <= 12 / 2048


@BOTH
@QUICK
@given(data=rows_of, row=row_of, seed=seeds)
def test_a_row_more_or_less_moves_the_answer_by_at_most_the_bound(
    make: Callable[[int], Query], data: list[Row], row: Row, seed: int
) -> None:
    query = make(seed)
    moved = query.sum(_rows([*data, row])) - query.sum(_rows(data))
    assert np.linalg.norm(moved) <= query.row_bound


@BOTH
@QUICK
@given(data=rows_of, row=row_of, copies=st.integers(1, 6), seed=seeds)
def test_a_unit_of_several_rows_moves_it_by_at_most_so_many_bounds(
    make: Callable[[int], Query], data: list[Row], row: Row, copies: int, seed: int
) -> None:
    """Equal rows, the worst case; the unit has more rows than the cap keeps."""
    cap, query = 3, make(seed)
    others = list(range(len(data)))
    whole = _rows([*data, *[row] * copies], units=[*others, *[99] * copies], cap=cap)
    moved = query.sum(whole) - query.sum(_rows(data, units=others, cap=cap))
    assert np.linalg.norm(moved) <= cap * query.row_bound


@BOTH
def test_the_bound_is_reached(make: Callable[[int], Query]) -> None:
    """Control: some row moves an answer by all of the bound, so that a smaller one is caught."""
    data: list[Row] = [(0, 0, 0)] * 50
    query = make(0)
    moved = query.sum(_rows([*data, (0, 0, 0)])) - query.sum(_rows(data))
    assert np.linalg.norm(moved) == pytest.approx(query.row_bound, rel=1e-12)


def test_rounding_adds_nothing_to_what_a_row_moves() -> None:
    """Guesses whose plain float sums are rounded (the control), over 300 draws of them."""
    data: list[Row] = [(0, 1, 2)] * 7
    before, after = _rows(data), _rows([*data, (1, 1, 1)])
    plain, tables = [], [_marginals().sum(rows) for rows in (before, after)]
    for seed in range(300):
        guesses = _guesses(seed)
        query = PairDistances(_Codec(), PAIRS, guesses)
        assert np.abs(query.sum(after) - query.sum(before)).max() <= 1.0
        first = [np.abs(table[:6] - guesses[0].ravel()).sum() for table in tables]
        plain.append(abs(first[1] - first[0]))
    assert max(plain) > 1.0


@pytest.mark.parametrize(
    "pairs", [(), ((0, 3),), ((-1, 1),), ((1, 1),), ((1, 0),), ((0, 1), (0, 1))]
)
def test_pairs_that_are_none_are_refused(pairs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InputError, match=r"different pairs \(i, j\) with 0 <= i < j <= 2"):
        PairMarginals(_Codec(), pairs)
    guesses = tuple(np.zeros((1, 1)) for _ in pairs)
    with pytest.raises(InputError, match="different pairs"):
        PairDistances(_Codec(), pairs, guesses)


@pytest.mark.parametrize("keep", [0, 2])
def test_a_guess_for_each_pair_and_of_its_shape(keep: int) -> None:
    with pytest.raises(InputError, match="one table a pair"):
        PairDistances(_Codec(), PAIRS, _guesses(0)[:keep])
    with pytest.raises(InputError, match="one table a pair"):
        PairDistances(_Codec(), ((0, 1),), (np.zeros((3, 2)),))
