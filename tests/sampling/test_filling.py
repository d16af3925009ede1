"""Gaps are filled from the exact conditional law as far as candidates go; the rest is untouched."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dpsynth.generators import autoregressive
from dpsynth.sampling import filling
from dpsynth.sampling.filling import TO_FILL, fill_codes

from .conftest import SIZES, all_rows, cell_counts, chi_square, law, small_model

ROWS = 20_000
ALL = [np.ones(size) for size in SIZES]
# Of a chi-square with 71 degrees of freedom, passed by chance once in a million.
LIMIT = 139.0


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("gaps", [(0,), (3,), (0, 2), (1, 3), (0, 1, 2), (0, 1, 2, 3)])
def test_gaps_follow_the_law_given_the_other_cells(gaps: tuple[int, ...], hidden: int) -> None:
    """Rows of the model with some columns emptied and filled again are rows of the model."""
    model = small_model(hidden)
    columns, rng = autoregressive.columns(model), np.random.default_rng(4)
    whole = all_rows()[rng.choice(len(all_rows()), ROWS, p=law(model))]
    known = whole.copy()
    known[:, gaps] = TO_FILL
    filled = fill_codes(columns, known, allowed=ALL, rng=rng)
    kept = [c for c in range(4) if c not in gaps]
    assert np.array_equal(filled.codes[:, kept], whole[:, kept])
    assert chi_square(cell_counts(filled.codes), law(model)) < LIMIT


def test_one_candidate_is_not_enough() -> None:
    """Control: the same with a single candidate, which ignores the cells that come later."""
    model = small_model(0)
    columns, rng = autoregressive.columns(model), np.random.default_rng(4)
    known = all_rows()[rng.choice(len(all_rows()), ROWS, p=law(model))]
    known[:, 0] = TO_FILL
    filled = fill_codes(columns, known, allowed=ALL, candidates=1, rng=rng)
    assert chi_square(cell_counts(filled.codes), law(model)) > 4 * LIMIT


def test_effective_candidates() -> None:
    columns, rng = autoregressive.columns(small_model(0)), np.random.default_rng(4)
    known = np.tile([1, 2, 1, 2], (50, 1))
    known[:, 3] = TO_FILL
    exact = fill_codes(columns, known, allowed=ALL, candidates=16, rng=rng)
    assert exact.effective == pytest.approx(np.full(50, 16.0))
    known[:, 0] = TO_FILL
    uneven = fill_codes(columns, known, allowed=ALL, candidates=16, rng=rng)
    assert 1 <= uneven.effective.min() < 15.9


def test_rows_whose_candidates_weigh_alike_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps after all cells that are there, or that no such cell depends on."""
    counts: list[int] = []
    monkeypatch.setattr(filling, "_fill", _counting(filling._fill, counts))
    columns, rng = autoregressive.columns(small_model(0)), np.random.default_rng(4)
    known = np.array([[1, 2, 1, TO_FILL], [1, 2, TO_FILL, TO_FILL], [TO_FILL] * 4])
    fill_codes(columns, known, allowed=ALL, rng=rng)
    assert counts == [1]
    barred = [*ALL[:3], np.array([1.0, 0.0, 1.0])]
    fill_codes(columns, known, allowed=barred, rng=rng)
    assert counts == [1, 1, 64]


def _counting(work: Callable[..., Any], counts: list[int]) -> Callable[..., Any]:
    def counted(columns: Any, known: Any, logs: Any, candidates: int, **more: Any) -> Any:
        counts.append(candidates)
        return work(columns, known, logs, candidates, **more)

    return counted


def test_codes_that_may_not_be_filled_in() -> None:
    columns, rng = autoregressive.columns(small_model(5)), np.random.default_rng(4)
    allowed = [np.array([0.0, 1.0, 0.0]), *ALL[1:]]
    filled = fill_codes(columns, np.full((300, 4), TO_FILL), allowed=allowed, rng=rng)
    assert set(filled.codes[:, 0]) == {1}
    assert set(filled.codes[:, 3]) == {0, 1, 2}


def test_no_rows_and_many_candidates() -> None:
    columns, rng = autoregressive.columns(small_model(0)), np.random.default_rng(4)
    none = fill_codes(columns, np.zeros((0, 4), dtype=np.int64), allowed=ALL, rng=rng)
    assert none.codes.shape == (0, 4)
    some = fill_codes(columns, np.full((2, 4), TO_FILL), allowed=ALL, candidates=65_536, rng=rng)
    assert some.codes.shape == (2, 4)
