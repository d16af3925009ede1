"""Rows drawn towards targets: counts come close to them, nothing impossible is drawn."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dpsynth.generators import autoregressive
from dpsynth.sampling import feedback
from dpsynth.sampling.feedback import ColumnTargets, draw_towards
from dpsynth.sampling.linear import LinearColumns

from .conftest import SIZES, cell_counts, law, small_model

ROWS = 6_000
PAIRS = [(i, j) for j in range(len(SIZES)) for i in range(j)]


def _pair(joint: NDArray[np.float64], i: int, j: int) -> NDArray[np.float64]:
    return np.asarray(joint.sum(axis=tuple(k for k in range(4) if k not in (i, j))))


def _targets(columns: LinearColumns, joint: NDArray[np.float64]) -> list[ColumnTargets]:
    found = []
    for column, layer in enumerate(columns.layers):
        alone = joint.sum(axis=tuple(k for k in range(4) if k != column))
        tables = [_pair(joint, i, column) for i in layer.seen.tolist()]
        together = np.concatenate([np.zeros((0, SIZES[column])), *tables])
        found.append(
            ColumnTargets(
                torch.from_numpy(alone.astype(np.float32)),
                torch.from_numpy(together.astype(np.float32)),
            )
        )
    return found


def _misses(codes: NDArray[np.int64], joint: NDArray[np.float64]) -> float:
    """Mean square error of the counts of all pairs, as a share of n p (1 - p)."""
    whole = cell_counts(codes).reshape(SIZES)
    found = []
    for i, j in PAIRS:
        p, n = _pair(joint, i, j), len(codes)
        found.append((np.square(_pair(whole, i, j) - n * p) / (n * p * (1 - p))).mean())
    return float(np.mean(found))


@pytest.fixture(scope="module")
def joint() -> NDArray[np.float64]:
    return law(small_model(0)).reshape(SIZES)


@pytest.fixture(scope="module")
def columns() -> LinearColumns:
    return autoregressive.columns(small_model(0))


def _mean_misses(
    columns: LinearColumns, targets: list[ColumnTargets], joint: NDArray[np.float64]
) -> float:
    streams = np.random.default_rng(1).spawn(5)
    return float(
        np.mean([_misses(draw_towards(columns, targets, ROWS, rng=r), joint) for r in streams])
    )


def test_counts_come_far_closer_to_the_targets_than_multinomial_ones(
    columns: LinearColumns, joint: NDArray[np.float64]
) -> None:
    """Over 5 samples; the multinomial share is 1, and is 1 for free draws (the control)."""
    assert _mean_misses(columns, _targets(columns, joint), joint) < 0.25
    rng = np.random.default_rng(2)
    free = [rng.choice(joint.size, ROWS, p=joint.ravel()) for _ in range(5)]
    shapes = [np.stack(np.unravel_index(f, SIZES), axis=1) for f in free]
    assert 0.7 < np.mean([_misses(codes, joint) for codes in shapes]) < 1.3


def test_without_gain_nothing_is_made_up_for(
    columns: LinearColumns, joint: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: rounds that do not look back miss by as much as rounds drawn on their own."""
    steered = _mean_misses(columns, _targets(columns, joint), joint)
    monkeypatch.setattr(feedback, "_GAIN", 0.0)
    assert _mean_misses(columns, _targets(columns, joint), joint) > 2 * steered


def test_targets_other_than_the_models_are_approached(
    columns: LinearColumns, joint: NDArray[np.float64]
) -> None:
    """Half way to independence: the sample's tables go to the targets, not to the model."""
    alone = [joint.sum(axis=tuple(k for k in range(4) if k != j)) for j in range(4)]
    product = np.einsum("a,b,c,d->abcd", *alone)
    wanted = 0.5 * joint + 0.5 * product
    codes = draw_towards(columns, _targets(columns, wanted), 40_000, rng=np.random.default_rng(1))
    whole = cell_counts(codes).reshape(SIZES) / len(codes)

    def apart(other: NDArray[np.float64]) -> float:
        return float(
            np.mean([0.5 * np.abs(_pair(whole, *p) - _pair(other, *p)).sum() for p in PAIRS])
        )

    assert apart(wanted) < 0.01
    assert apart(joint) > 0.03


def test_codes_of_no_chance_are_never_drawn(joint: NDArray[np.float64]) -> None:
    """The targets ask for a code that the model rules out: they tilt, and cannot make it."""
    model = small_model(0)
    with torch.no_grad():
        model.tables.bias[1] = -200.0
    columns = autoregressive.columns(model)
    codes = draw_towards(columns, _targets(columns, joint), 20_000, rng=np.random.default_rng(1))
    assert not (codes[:, 0] == 1).any()


def test_the_number_of_threads_changes_nothing(
    columns: LinearColumns, joint: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "CHAIN", 3_000)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rng = np.random.default_rng(1)
            found.append(draw_towards(columns, _targets(columns, joint), 10_000, rng=rng))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert _misses(found[0], joint) < 0.5


@pytest.mark.parametrize("rows", [0, 1, 7, 129])
def test_few_rows(columns: LinearColumns, joint: NDArray[np.float64], rows: int) -> None:
    codes = draw_towards(columns, _targets(columns, joint), rows, rng=np.random.default_rng(1))
    assert codes.shape == (rows, len(SIZES))
    assert (codes >= 0).all()
    assert (codes < np.array(SIZES)).all()


@pytest.mark.parametrize("sizes", [(4,), (3, 5)])
def test_columns_that_see_no_other_are_drawn_towards_their_shares(sizes: tuple[int, ...]) -> None:
    """One column, and two apart: counts within 20 rows; a free draw's deviation is over 30."""
    rng, width = np.random.default_rng(0), sum(sizes)
    shares = [rng.dirichlet(np.full(s, 5.0)).astype(np.float32) for s in sizes]
    bias = torch.from_numpy(np.log(np.concatenate(shares)))
    columns = LinearColumns(sizes, torch.zeros(width, width), bias, tuple(range(len(sizes))))
    targets = [ColumnTargets(torch.from_numpy(p), torch.zeros(0, len(p))) for p in shares]
    codes = draw_towards(columns, targets, 10_000, rng=rng)
    for column, share in enumerate(shares):
        counts = np.bincount(codes[:, column], minlength=len(share))
        assert np.abs(counts - 10_000 * share).max() < 20


def test_rows_come_in_random_order(columns: LinearColumns, joint: NDArray[np.float64]) -> None:
    """The first third has the shares of the whole, within five standard errors."""
    codes = draw_towards(columns, _targets(columns, joint), ROWS, rng=np.random.default_rng(1))
    first, p = codes[: ROWS // 3, 1], np.bincount(codes[:, 1], minlength=4) / ROWS
    found = np.bincount(first, minlength=4) / len(first)
    assert np.all(np.abs(found - p) < 5 * np.sqrt(p / len(first)))


def test_steered_columns_leave_the_model_as_it_was(columns: LinearColumns) -> None:
    tables = [layer.table.clone() for layer in columns.layers]
    moved = columns.steered([torch.ones_like(t) for t in tables], [torch.ones(s) for s in SIZES])
    for layer, other, table in zip(columns.layers, moved.layers, tables, strict=True):
        assert torch.equal(layer.table, table)
        assert torch.equal(other.table, table + 1)
        assert torch.equal(other.bias, layer.bias + 1)
    assert moved.parents(2) == columns.parents(2)
