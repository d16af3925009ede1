"""From noisy trees to codes: what holds for any answer, and what planted shapes come out as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.encoding.binning import BinningRules, Intervals, cut
from dpsynth.privacy.curator import TreeAnswer, TreeLevel
from dpsynth.privacy.queries import Grid, QuantileTree
from dpsynth.schema import Column

QUICK = settings(derandomize=True, deadline=None, max_examples=50)
X = Column(name="x", kind="integer")
RULES = BinningRules()


def _tree(size: int) -> QuantileTree:
    return QuantileTree(X, Grid(0.0, 1.0, size))


def _explored(
    tree: QuantileTree, points: np.ndarray, *, std: float, rng: np.random.Generator
) -> TreeAnswer:
    """What the curator's descent would answer, with noise from `rng`."""
    index = np.sort(points)
    levels: list[TreeLevel] = []
    parents = np.zeros(1, dtype=np.int64)
    threshold = RULES.open_above(rows=len(points), std=std)
    for level in range(1, tree.levels + 1):
        exact = tree.child_counts(index, parents, level)
        noisy = exact + rng.normal(0, std, exact.shape)
        levels.append(TreeLevel(parents, noisy))
        row, child = np.nonzero(noisy > threshold)
        parents = parents[row] * tree.branching + child
        if not len(parents):
            break
    return TreeAnswer(tuple(levels), std)


def _cut(points: np.ndarray, size: int, *, std: float = 5.0, seed: int = 0) -> Intervals:
    tree = _tree(size)
    answer = _explored(tree, points, std=std, rng=np.random.default_rng(seed))
    return cut(tree, answer, rows=float(len(points)), rules=RULES)


def _check(found: Intervals, size: int) -> None:
    assert found.starts[0] == 0
    assert np.all(np.diff(found.starts) > 0)
    assert found.starts[-1] < size
    assert np.array_equal(np.unique(found.codes), np.arange(found.codes.max() + 1))
    assert np.all(found.weights >= 0)
    assert np.bincount(found.codes, weights=found.weights) == pytest.approx(1.0)


@QUICK
@given(
    size=st.sampled_from([1, 2, 7, 256, 257, 5_000, 70_000, 2**40]),
    rows=st.floats(-50.0, 1e5),
    std=st.floats(0.5, 300.0),
    seed=st.integers(0, 2**32 - 1),
    heavy=st.integers(0, 4),
)
def test_any_answer_gives_valid_intervals(
    size: int, rows: float, std: float, seed: int, heavy: int
) -> None:
    """Noise alone, with a few heavy nodes opened on each level, whether they are real or not.

    Some of them lie beyond the end of the grid, as noise opens those as well.
    """
    tree, rng = _tree(size), np.random.default_rng(seed)
    levels: list[TreeLevel] = []
    parents = np.zeros(1, dtype=np.int64)
    for _ in range(tree.levels):
        counts = rng.normal(0, std, (len(parents), tree.branching))
        levels.append(TreeLevel(parents, counts))
        if not heavy:
            break
        children = (parents[:, None] * tree.branching + np.arange(tree.branching)).ravel()
        chosen = np.sort(rng.choice(children, min(heavy, len(children)), replace=False))
        row, child = chosen // tree.branching, chosen % tree.branching
        counts[np.searchsorted(parents, row), child] += 1e4
        parents = chosen
    _check(cut(tree, TreeAnswer(tuple(levels), std), rows=rows, rules=RULES), size)


@pytest.mark.parametrize("size", [5, 257, 70_000, 100_001])
def test_a_node_beyond_the_grid_that_noise_opened_is_passed_over(size: int) -> None:
    tree = _tree(size)
    levels: list[TreeLevel] = []
    parents = np.zeros(1, dtype=np.int64)
    for _ in range(tree.levels):
        counts = np.zeros((1, tree.branching))
        counts[0, -1] = 100.0
        levels.append(TreeLevel(parents, counts))
        parents = parents * tree.branching + tree.branching - 1
    assert tree.levels == 1 or int(parents[0]) >= size
    _check(cut(tree, TreeAnswer(tuple(levels), 10.0), rows=1000.0, rules=RULES), size)


@pytest.mark.parametrize("size", [5_000, 100_000, 2**40])
@pytest.mark.parametrize("where", [0.0, 0.37, 1.0])
def test_a_planted_atom_gets_a_code_of_its_own(size: int, where: float) -> None:
    """30 % of the rows on one value in a wide range."""
    rng = np.random.default_rng(1)
    atom = int(where * (size - 1))
    points = np.where(rng.random(20_000) < 0.3, atom, rng.integers(0, size, 20_000))
    found = _cut(points, size)
    _check(found, size)
    place = int(np.searchsorted(found.starts, atom, side="right")) - 1
    assert found.starts[place] == atom
    assert (*found.starts[1:], size)[place] == atom + 1
    assert (found.codes == found.codes[place]).sum() == 1


def test_a_smooth_hump_has_no_atoms() -> None:
    """Control: a bell over 2,000 values; every code covers more than one value."""
    points = np.clip(np.random.default_rng(2).normal(1000, 40, 20_000), 0, 1999).astype(np.int64)
    found = _cut(points, 2000)
    _check(found, 2000)
    lengths = np.bincount(found.codes, weights=np.diff(np.r_[found.starts, 2000]))
    assert lengths.min() > 1
    assert len(lengths) <= RULES.bins


@pytest.mark.parametrize("size", [240, 100_000])
def test_uniform_data_get_about_equal_bins(size: int) -> None:
    points = np.random.default_rng(3).integers(0, size, 30_000)
    found = _cut(points, size)
    _check(found, size)
    codes = found.codes[np.searchsorted(found.starts, points, side="right") - 1]
    shares = np.bincount(codes) / len(points)
    assert len(shares) == RULES.bins
    assert shares.min() > 0.3 / RULES.bins
    assert shares.max() < 2.0 / RULES.bins


def test_few_values_are_a_code_each() -> None:
    points = np.random.default_rng(4).integers(0, 6, 3_000)
    found = _cut(points, 6)
    assert found.starts.tolist() == list(range(6))
    assert found.codes.tolist() == list(range(6))


def test_no_more_atoms_than_the_rules_allow() -> None:
    """80 spikes, evenly heavy but for noise, in a wide range."""
    spikes = np.arange(80) * 1_000 + 500
    points = np.random.default_rng(5).choice(spikes, 40_000)
    found = _cut(points, 80_000)
    _check(found, 80_000)
    lengths = np.diff(np.r_[found.starts, 80_000])
    alone = np.bincount(found.codes)[found.codes] == 1
    assert 30 <= int((alone & (lengths == 1)).sum()) <= RULES.atoms + RULES.bins
    assert found.codes.max() + 1 <= RULES.atoms + RULES.bins


def test_nodes_open_by_share_and_by_noise() -> None:
    assert RULES.open_above(rows=100_000, std=1.0) == pytest.approx(400.0)
    assert RULES.open_above(rows=1_000, std=10.0) == pytest.approx(35.0)
