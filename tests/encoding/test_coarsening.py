"""Coarser codes: never more than asked, inside the public domain, and no column's shares lost."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dpsynth.cells import Cells
from dpsynth.encoding.binning import Intervals
from dpsynth.encoding.coarsening import (
    ResolutionRules,
    _groups,
    _runs,
    coarsened,
    independent_guesses,
)
from dpsynth.encoding.codec import CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.encoding.domain import Domain
from dpsynth.privacy.queries import Grid
from dpsynth.schema import Column

QUICK = settings(derandomize=True, deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
limits = st.integers(2, 20)


def _number(rng: np.random.Generator, *, missing: bool) -> NumberCodec:
    """Random intervals on a grid of 60 values; some codes hold several of them."""
    starts = np.unique(np.r_[0, rng.integers(0, 60, int(rng.integers(0, 25)))]).astype(np.int64)
    codes = np.unique(rng.integers(0, len(starts), len(starts)), return_inverse=True)[1]
    raw = rng.random(len(starts)) + 0.01
    top = int(codes.max()) + 1
    return NumberCodec(
        column=Column(name="n", kind="integer", lower=-10, upper=49),
        grid=Grid(-10.0, 1.0, 60),
        intervals=Intervals(starts, codes.astype(np.int64), raw / np.bincount(codes, raw)[codes]),
        missing=top if missing else None,
        fallback=int(rng.integers(top)),
    )


def _category(rng: np.random.Generator, *, missing: bool) -> CategoryCodec:
    names = tuple(f"v{k}" for k in range(int(rng.integers(1, 30))))
    codes = np.unique(rng.integers(0, len(names), len(names)), return_inverse=True)[1]
    raw = rng.random(len(names)) + 0.01
    top = int(codes.max()) + 1
    return CategoryCodec(
        column=Column(name="c", kind="categorical", categories=names),
        categories=names,
        codes=codes.astype(np.int64),
        weights=raw / np.bincount(codes, raw)[codes],
        other=None,
        missing=top if missing else None,
        fallback=int(rng.integers(top)),
    )


def _shares(part: ColumnCodec, rng: np.random.Generator, *, holes: bool) -> np.ndarray:
    """Skewed shares of the codes; with holes about half of them are zero."""
    raw = rng.gamma(0.3, 1.0, part.size) + 1e-9
    if holes:
        raw[rng.random(part.size) < 0.5] = 0.0
        raw[int(rng.integers(part.size))] += 1.0
    return np.asarray(raw / raw.sum())


def _domain(seed: int) -> Domain:
    rng = np.random.default_rng(seed)
    missing, holes = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    parts = (_number(rng, missing=missing), _category(rng, missing=missing))
    shares = tuple(_shares(part, rng, holes=holes) for part in parts)
    return Domain(TableCodec(parts), shares, ("n: clamped", "c: named"))


def _fine_members(part: ColumnCodec) -> np.ndarray:
    return part.intervals.codes if isinstance(part, NumberCodec) else part.codes


def _weights(part: ColumnCodec) -> np.ndarray:
    return part.intervals.weights if isinstance(part, NumberCodec) else part.weights


@QUICK
@given(seed=seeds, limit=limits)
def test_at_most_so_many_codes_and_none_without_a_meaning(seed: int, limit: int) -> None:
    fine = _domain(seed)
    coarse = coarsened(fine, limit)
    for before, after, shares in zip(
        fine.codec.parts, coarse.codec.parts, coarse.one_way, strict=True
    ):
        assert after.size <= max(limit, 2) or after.size == before.size <= limit
        used = set(_fine_members(after).tolist()) | ({after.missing} - {None})
        assert used == set(range(after.size))
        assert shares.shape == (after.size,)
        assert shares.sum() == pytest.approx(1.0)
        assert 0 <= after.fallback < after.size
    assert coarse.notes == fine.notes


@QUICK
@given(seed=seeds, limit=limits)
def test_a_missing_code_stays_on_its_own(seed: int, limit: int) -> None:
    fine = _domain(seed)
    coarse = coarsened(fine, limit)
    for j, (before, after) in enumerate(zip(fine.codec.parts, coarse.codec.parts, strict=True)):
        assert (before.missing is None) == (after.missing is None)
        if after.missing is not None:
            assert after.missing == after.size - 1
            assert after.missing not in _fine_members(after)
            share = coarse.one_way[j][after.missing]
            assert share == pytest.approx(fine.one_way[j][before.missing])


@QUICK
@given(seed=seeds, limit=limits)
def test_shares_inside_a_code_add_up_and_give_back_the_fine_marginal(seed: int, limit: int) -> None:
    """Exactly: share of the coarse code times share within it, summed over each fine code."""
    fine = _domain(seed)
    coarse = coarsened(fine, limit)
    for j, (before, after) in enumerate(zip(fine.codec.parts, coarse.codec.parts, strict=True)):
        members, weights = _fine_members(after), _weights(after)
        assert np.bincount(members, weights) == pytest.approx(1.0)
        mass = coarse.one_way[j][members] * weights
        again = np.bincount(_fine_members(before), mass, minlength=before.size)
        expected = fine.one_way[j].copy()
        if before.missing is not None:
            again[before.missing] = expected[before.missing]
        assert again == pytest.approx(expected, abs=1e-12)


@QUICK
@given(seed=seeds, limit=limits)
def test_values_decode_into_the_public_domain_and_back_to_their_code(seed: int, limit: int) -> None:
    coarse, rng = coarsened(_domain(seed), limit), np.random.default_rng(seed)
    number, category = coarse.codec.parts
    codes = rng.integers(0, number.size, 80)
    values = number.decode(codes, rng=rng)
    assert values.dropna().between(-10, 49).all()
    absent = values.isna().to_numpy()
    plain = Cells(values.astype("Float64").fillna(0).to_numpy(dtype=np.float64), absent)
    assert number.encode(plain).tolist() == codes.tolist()
    codes = rng.integers(0, category.size, 80)
    texts = category.decode(codes, rng=rng)
    assert isinstance(category, CategoryCodec)
    assert set(texts.dropna()) <= set(category.categories)
    cells = Cells(texts.fillna("").to_numpy(dtype=object), texts.isna().to_numpy())
    assert category.encode(cells).tolist() == codes.tolist()


@QUICK
@given(seed=seeds)
def test_nothing_changes_where_the_codes_are_few_enough(seed: int) -> None:
    fine = _domain(seed)
    same = coarsened(fine, max(fine.codec.sizes))
    for j, (before, after) in enumerate(zip(fine.codec.parts, same.codec.parts, strict=True)):
        assert _fine_members(after).tolist() == _fine_members(before).tolist()
        assert _weights(after) == pytest.approx(_weights(before))
        assert same.one_way[j] == pytest.approx(fine.one_way[j])


@QUICK
@given(seed=seeds, limit=limits)
def test_coarsening_again_changes_nothing(seed: int, limit: int) -> None:
    once = coarsened(_domain(seed), limit)
    twice = coarsened(once, limit)
    assert twice.codec.sizes == once.codec.sizes
    for a, b in zip(once.codec.parts, twice.codec.parts, strict=True):
        assert _fine_members(a).tolist() == _fine_members(b).tolist()


def test_decoded_values_follow_the_fine_marginal() -> None:
    """Chi-square of 20,000 values of 60 grid points; passed by chance 1 - 1e-6 of the time."""
    rng = np.random.default_rng(3)
    chances = rng.dirichlet(np.ones(60))
    starts = np.arange(60)
    part = NumberCodec(
        column=Column(name="n", kind="integer", lower=0, upper=59),
        grid=Grid(0.0, 1.0, 60),
        intervals=Intervals(starts, starts, np.ones(60)),
        missing=None,
        fallback=0,
    )
    coarse = coarsened(Domain(TableCodec((part,)), (chances,), ("",)), 8)
    assert coarse.codec.sizes[0] <= 8
    codes = rng.choice(coarse.codec.sizes[0], size=20_000, p=coarse.one_way[0])
    values = coarse.codec.parts[0].decode(codes, rng=rng).to_numpy()
    found = np.bincount(values, minlength=60)
    limit = stats.chi2.isf(1e-6, 59)
    assert stats.chisquare(found, 20_000 * chances).statistic < limit
    assert stats.chisquare(found, np.full(60, 20_000 / 60)).statistic > limit  # control


def test_light_codes_of_a_number_are_merged_with_their_neighbours() -> None:
    """Runs are in order: a light code never joins one that lies beyond another light run."""
    shares = np.random.default_rng(0).dirichlet(np.full(40, 0.5))
    runs = _runs(shares, 10)
    light = [runs[k] for k in range(40) if shares[k] <= 0.1]
    assert len([g for g, _ in itertools.groupby(light)]) == len(set(light))


@pytest.mark.parametrize("limit", [2, 3, 7])
def test_equal_heavy_codes_do_not_overrun_the_limit(limit: int) -> None:
    """Shares that are `limit` times a little more than 1 / limit after rounding, and light ones."""
    heavy = np.full(limit, np.nextafter(1 / limit, 1))
    for shares in (np.r_[heavy, 0.0, 0.0], np.r_[0.0, heavy, 0.0]):
        assert len(set(_runs(shares, limit).tolist())) <= limit


def test_the_commonest_categories_keep_codes_of_their_own() -> None:
    part = _category(np.random.default_rng(1), missing=False)
    shares = np.linspace(1, 2, part.size) / np.linspace(1, 2, part.size).sum()
    groups = _groups(part, shares, limit=4)
    assert len(set(groups[-3:].tolist())) == 3
    assert set(groups[:-3].tolist()) == {3}


@pytest.mark.parametrize(("rows", "std"), [(0.0, 1.0), (1e3, 1e9), (1e12, 1e-3), (5e4, 80.0)])
def test_resolution_stays_within_its_bounds_and_falls_with_noise(rows: float, std: float) -> None:
    rules = ResolutionRules(least=3, most=50, sigmas=2.0)
    assert 3 <= rules.codes(rows=rows, std=std) <= 50
    assert rules.codes(rows=rows, std=2 * std) <= rules.codes(rows=rows, std=std)


def test_guesses_are_products_of_shares() -> None:
    one_way = (np.array([0.25, 0.75]), np.array([0.5, 0.5]), np.array([1.0]))
    first, second = independent_guesses(one_way, ((0, 1), (1, 2)), rows=80.0)
    assert first.tolist() == [[10, 10], [30, 30]]
    assert second.tolist() == [[40], [40]]
