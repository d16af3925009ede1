"""The kernel density and the ratio made of it, against scipy's and against its own definition."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audits.attacks import density_ratio
from audits.errors import AuditInputError
from audits.measures import density, pairs
from audits.measures.density import log_density
from audits.records import encode


def numeric(n, seed, columns=4):
    """Correlated numbers of unlike scales."""
    rng = np.random.default_rng([30, seed])
    mix = np.random.default_rng(31).normal(size=(columns, columns))
    values = (rng.normal(size=(n, columns)) @ mix) * 10.0 ** np.arange(columns)
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(columns)])


@pytest.mark.parametrize("columns", [1, 2, 6])
def test_density_ratio_is_the_published_one_on_continuous_data(columns):
    """DOMIAS with kernel densities: log of two scipy.stats.gaussian_kde, tolerance 2e-3 nats."""
    train, holdout, made, known = (
        numeric(size, seed, columns) for seed, size in enumerate((300, 200, 500, 400))
    )
    tables = encode(train, holdout, made, reference=known)
    scores = density_ratio.score(
        tables.train, synthetic=tables.synthetic, reference=tables.reference
    )
    # No synthetic value is cut off, or the two would differ by design.
    assert np.abs(tables.synthetic.scaled - 0.5).max() < 1.5
    published = stats.gaussian_kde(made.to_numpy().T).logpdf(train.to_numpy().T)
    published -= stats.gaussian_kde(known.to_numpy().T).logpdf(train.to_numpy().T)
    np.testing.assert_allclose(scores, published, atol=2e-3)
    # Another bandwidth is another attack: the agreement above is not for lack of a difference.
    factor = 0.9 * stats.gaussian_kde(made.to_numpy().T).factor
    other = stats.gaussian_kde(made.to_numpy().T, factor).logpdf(train.to_numpy().T)
    other -= stats.gaussian_kde(known.to_numpy().T, factor).logpdf(train.to_numpy().T)
    assert np.abs(scores - other).max() > 0.02


def test_density_over_several_blocks_of_the_sample_is_scipys():
    train, made = numeric(40, 1, 3), numeric(pairs.OTHER_BLOCK + 900, 2, 3)
    tables = encode(train, train, made)
    ours = log_density(tables.train, tables.synthetic)
    theirs = stats.gaussian_kde(made.to_numpy().T).logpdf(train.to_numpy().T)
    # Up to one constant: the unit, and the power of 2 pi.
    gap = ours - theirs
    assert np.ptp(gap) < 2e-3


def density_by_loops(targets, sample, smoothing):
    """The definition, pair by pair, on units of the real range."""
    gaps, told = np.isnan(sample.numbers), np.isnan(targets.numbers)
    mean = np.array(
        [column[~gap].mean() for column, gap in zip(sample.scaled.T, gaps.T, strict=True)]
    )
    filled, asked = np.where(gaps, mean, sample.scaled), np.where(told, mean, targets.scaled)
    factor = len(sample) ** (-1 / (len(mean) + 4))
    inverse = np.linalg.inv(np.cov(filled, rowvar=False) * factor**2)
    result = np.zeros(len(targets))
    for i in range(len(targets)):
        total = 0.0
        for k in range(len(sample)):
            gap = asked[i] - filled[k]
            kernel = np.exp(-0.5 * gap @ inverse @ gap)
            for j, labels in enumerate(sample.layout.levels):
                if targets.categories[i, j] != sample.categories[k, j]:
                    kernel *= smoothing / (1 - smoothing) / (len(labels) - 1)
            kernel *= (smoothing / (1 - smoothing)) ** (told[i] != gaps[k]).sum()
            total += kernel
        result[i] = np.log(total)
    return result - np.log(len(sample)) + 0.5 * np.linalg.slogdet(inverse)[1]


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.5])
def test_density_of_mixed_tables_equals_its_definition(smoothing, mixed_table):
    tables = encode(mixed_table(30, 1), mixed_table(30, 2), mixed_table(80, 3))
    ours = log_density(tables.train, tables.synthetic, smoothing=smoothing)
    twin = density_by_loops(tables.train, tables.synthetic, smoothing)
    np.testing.assert_allclose(ours, twin, atol=1e-4)


def test_density_integrates_to_the_same_whatever_the_sample():
    """The unit does not depend on the sample: both integrate to the same over a fine grid."""
    grid = pd.DataFrame({"x": np.linspace(-60.0, 60.0, 4001)})
    rng = np.random.default_rng(4)
    narrow, wide = (pd.DataFrame({"x": rng.normal(0, sd, 200)}) for sd in (1.0, 8.0))
    masses = []
    for made in (narrow, wide):
        tables = encode(grid, grid, made)
        masses.append(np.exp(log_density(tables.train, tables.synthetic)).sum())
    assert masses[0] == pytest.approx(masses[1], rel=1e-3)


def test_equal_rows_have_equal_bits_wherever_they_stand():
    frame = numeric(200, 5, 7)
    doubled = pd.concat([frame, frame.iloc[::-1], frame.iloc[:37]])
    tables = encode(doubled, frame, numeric(333, 6, 7))
    scores = log_density(tables.train, tables.synthetic)
    assert scores[:200].tobytes() == scores[200:400][::-1].tobytes()
    assert scores[400:].tobytes() == scores[:37].tobytes()


def test_threads_change_no_bit():
    tables = encode(numeric(700, 7), numeric(10, 8), numeric(500, 9))
    plain = log_density(tables.train, tables.synthetic)
    with joblib.parallel_config(backend="threading", n_jobs=3):
        assert log_density(tables.train, tables.synthetic).tobytes() == plain.tobytes()


def test_far_targets_and_repeated_columns_are_finite():
    made = numeric(100, 1, 2).assign(copy=lambda t: t["x0"] * 3, fixed=7.0)
    far = made.iloc[:5].assign(x0=[0.0, 1e6, -1e6, 1e12, np.nan])
    tables = encode(far, made, made)
    found = log_density(tables.train, tables.synthetic)
    assert np.isfinite(found).all()
    # The real range ends at 1e12, which is where the units come from.
    assert found[0] > found[3]


def test_a_sample_of_one_row_and_an_empty_column_are_finite():
    one = pd.DataFrame({"x": [1.0], "gone": [np.nan], "c": ["a"]})
    tables = encode(one, one, one)
    assert np.isfinite(log_density(tables.train, tables.synthetic)).all()


def test_closer_categories_and_gaps_count():
    train = pd.DataFrame({"x": [1.0, 1.0, np.nan], "c": ["a", "b", "a"]})
    made = pd.DataFrame({"x": [1.0, 1.1, 0.9, 1.05], "c": "a"})
    tables = encode(train, train, made)
    same, other, gap = log_density(tables.train, tables.synthetic)
    # Two labels, so an unequal one costs log((1 - s) / s); a gap costs the same.
    assert same - other == pytest.approx(np.log(0.9 / 0.1), abs=1e-5)
    assert same > gap


def test_wrong_arguments_are_refused(mixed_table):
    tables = encode(mixed_table(20, 1), mixed_table(20, 2), mixed_table(20, 3))
    with pytest.raises(AuditInputError, match="sample has no rows"):
        log_density(tables.train, tables.synthetic.take(np.arange(0)))
    for smoothing in (0.0, 0.6, -1.0, float("nan")):
        with pytest.raises(AuditInputError, match="smoothing is"):
            log_density(tables.train, tables.synthetic, smoothing=smoothing)


def test_cholesky_is_numpys_and_survives_a_repeated_column():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(50, 5))
    matrix = values.T @ values
    np.testing.assert_allclose(density._cholesky(matrix), np.linalg.cholesky(matrix), rtol=1e-10)
    twice = np.ones((2, 2))
    assert np.isfinite(density._cholesky(twice)).all()


@pytest.mark.parametrize(("rows", "size"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_blocks_cover_every_row_once(rows, size):
    covered = [i for block in pairs.blocks(rows, size) for i in range(block.start, block.stop)]
    assert covered == list(range(rows))
    assert all(block.stop - block.start <= size for block in pairs.blocks(rows, size))


def test_by_target_keeps_the_order_of_rows():
    rows = 64 * 33 + 5
    found = pairs.by_target(rows, lambda block: np.arange(block.start, block.stop) * 1.0)
    np.testing.assert_array_equal(found, np.arange(rows))
    assert pairs.by_target(0, lambda block: np.empty(0)).shape == (0,)
