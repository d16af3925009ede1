"""Neighbouring tables: no query moves by more than it declares; the curator keeps the door."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.cells import FORMS, Cells
from dpsynth.errors import BudgetExceeded, InputError
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import GaussianEvent, ThresholdedGaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.privacy.queries import (
    FormVotes,
    Grid,
    Magnitudes,
    Marginal,
    OneWayMarginals,
    Partitions,
    QuantileTree,
    Query,
    RowCount,
)
from dpsynth.privacy.rows import PrivateRows
from dpsynth.schema import Column
from dpsynth.table import Table

QUICK = settings(derandomize=True, deadline=None, max_examples=40)
X = Column(name="x", kind="numeric")
G = Column(name="g", kind="categorical", categories=("a", "b"))

cells_x = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e-320, 2.0**-31, 2.0**33, -1e300, 0.1]),
    st.none(),
)
rows_of = st.lists(
    st.tuples(cells_x, st.sampled_from(["a", "b", "zz", None])), min_size=1, max_size=12
)


class _Codec:
    """Two columns, three codes each: sign of x, and a / b / anything else."""

    columns = (X, G)
    sizes = (3, 3)

    def encode(self, cells: dict[str, Cells]) -> np.ndarray:
        first = np.where(cells["x"].missing, 2, (cells["x"].values > 0).astype(int))
        second = np.select([cells["g"].values == "a", cells["g"].values == "b"], [0, 1], 2)
        return np.stack([first, second], axis=1).astype(np.int64)


def _rows(data: list[tuple[float | None, str | None]]) -> PrivateRows:
    frame = pd.DataFrame(data, columns=["x", "g"]).astype({"x": float, "g": object})
    return PrivateRows(
        Table.from_frame(frame), unit=None, max_rows_per_unit=1, rng=np.random.default_rng(0)
    )


QUERIES: list[Query] = [
    RowCount(),
    FormVotes(("x", "g")),
    Magnitudes(X),
    OneWayMarginals(_Codec()),
    Marginal(_Codec(), (0, 1)),
    Marginal(_Codec(), (1,)),
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda q: type(q).__name__)
@QUICK
@given(data=rows_of)
def test_adding_a_row_moves_a_sum_by_at_most_the_declared_bound(
    query: Query, data: list[tuple[float | None, str | None]]
) -> None:
    whole, without = query.sum(_rows(data)), query.sum(_rows(data[1:] or [(None, None)]))
    if len(data) > 1:
        assert np.linalg.norm(whole - without) <= query.row_bound * (1 + 1e-12)


@QUICK
@given(data=rows_of, size=st.sampled_from([1, 2, 200, 257, 70_000, 2**40]))
def test_adding_a_row_moves_a_quantile_tree_by_at_most_its_bound(
    data: list[tuple[float | None, str | None]], size: int
) -> None:
    tree = QuantileTree(X, Grid(-3.0, 0.1, size))
    assert tree.branching**tree.levels >= size
    assert tree.branching <= tree.WIDEST
    index = tree.sorted_index(_rows(data))
    moved = 0.0
    for level in range(1, tree.levels + 1):
        parents = np.unique(index // tree.span(level - 1))
        counts = tree.child_counts(index, parents, level)
        assert counts.sum() == len(index)  # each present value is in one node a level
        one = tree.child_counts(index[:1], parents, level)
        moved += float(np.square(one).sum())
    assert np.sqrt(moved) <= tree.row_bound * (1 + 1e-12)


def test_a_grid_clamps_values_of_any_size() -> None:
    values = np.array([-1.7e308, -3.04, -2.0, 1e17, 1.7e308])
    assert Grid(-3.0, 0.1, 50).index(values).tolist() == [0, 0, 10, 49, 49]


@QUICK
@given(values=st.lists(st.floats(-1e18, 1e18), min_size=1, max_size=30))
def test_magnitude_cells_cover_the_values_that_fall_in_them(values: list[float]) -> None:
    array = np.array(values)
    cells = Magnitudes.cell_of(array)
    for value, cell in zip(array, cells, strict=True):
        lower, upper = Magnitudes.range_of(int(cell), int(cell))
        assert lower <= value <= upper or abs(value) < 2.0**Magnitudes.LOWEST


def test_every_form_is_voted_on() -> None:
    votes = FormVotes(("x", "g")).sum(_rows([(1.0, "a"), (1.5, None), (None, "true")]))
    assert votes.shape == (2, len(FORMS))
    assert votes.sum() == 6
    assert votes[1, FORMS.index("missing")] == 1


@pytest.mark.parametrize("columns", [(), (2,), (-1,)])
def test_a_marginal_of_unknown_columns_is_refused(columns: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="marginal"):
        Marginal(_Codec(), columns)


def test_a_marginal_too_wide_to_hold_is_refused() -> None:
    class Wide(_Codec):
        sizes = (4000, 4000)

    with pytest.raises(InputError, match="use fewer columns"):
        Marginal(Wide(), (0, 1))


def _unit_rows(units: list[int | None], cap: int) -> PrivateRows:
    frame = pd.DataFrame({"id": pd.array(units, dtype="Int64"), "x": np.arange(len(units)) * 1.0})
    return PrivateRows(
        Table.from_frame(frame), unit="id", max_rows_per_unit=cap, rng=np.random.default_rng(1)
    )


@QUICK
@given(
    units=st.lists(st.one_of(st.integers(0, 4), st.none()), min_size=1, max_size=40),
    cap=st.integers(1, 4),
)
def test_no_unit_keeps_more_rows_than_the_cap(units: list[int | None], cap: int) -> None:
    rows = _unit_rows(units, cap)
    expected = sum(min(cap, units.count(u)) for u in set(units) if u is not None)
    assert rows.count == expected + units.count(None)  # a missing id is a unit of its own


def test_surplus_rows_of_a_unit_are_dropped_at_random() -> None:
    """Each of 4 rows of a unit survives a cap of 1 about equally often; alarm rate about 1e-6."""
    frame = pd.DataFrame({"id": [7] * 4, "x": [0.0, 1.0, 2.0, 3.0]})
    rng = np.random.default_rng(5)
    kept = [
        int(
            PrivateRows(Table.from_frame(frame), unit="id", max_rows_per_unit=1, rng=rng)
            .cells(X)
            .values[0]
        )
        for _ in range(400)
    ]
    assert all(60 < kept.count(i) < 140 for i in range(4))


def _curator(rows: PrivateRows, *charges: Charge, seed: int = 0) -> Curator:
    book = Ledger.open("sqlite://", dataset="t", epsilon=1e6, delta=0.5)
    return Curator(rows, reservation=book.reserve(charges, release="r"), noise=seeded_noise(seed))


def test_a_question_needs_its_charge_and_uses_it_up() -> None:
    curator = _curator(_rows([(1.0, "a")]), Charge("count", GaussianEvent(noise_multiplier=1.0)))
    curator.ask(RowCount(), label="count")
    with pytest.raises(BudgetExceeded):
        curator.ask(RowCount(), label="count")
    with pytest.raises(BudgetExceeded):
        curator.ask(RowCount(), label="never reserved")


def test_a_charge_pays_only_for_its_own_kind_of_question() -> None:
    rows = _rows([(1.0, "a")])
    many = Charge("many", GaussianEvent(noise_multiplier=1.0, steps=3))
    with pytest.raises(BudgetExceeded, match="one Gaussian answer"):
        _curator(rows, many).ask(RowCount(), label="many")
    plain = Charge("plain", GaussianEvent(noise_multiplier=1.0))
    with pytest.raises(BudgetExceeded, match="reserves no delta"):
        _curator(rows, plain).name_partitions(Partitions(G), label="plain")


@pytest.mark.parametrize("cap", [1, 3])
def test_noise_scales_with_the_unit_and_the_bound(cap: int) -> None:
    """Standard deviation of 4,000 answers within 5 %; 2/3 and 3/2 of it would be far outside."""
    charges = [Charge(f"c{i}", GaussianEvent(noise_multiplier=7.0)) for i in range(4000)]
    curator = _curator(_unit_rows([1, 1, 1, 1, 2], cap), *charges)
    answers = [curator.ask(RowCount(), label=c.label) for c in charges]
    assert answers[0].std == pytest.approx(7.0 * cap, rel=1e-6)
    spread = np.std([a.values[0] for a in answers])
    assert spread == pytest.approx(7.0 * cap, rel=0.05)


@pytest.mark.parametrize("cap", [1, 3])
def test_values_of_one_unit_stay_hidden(cap: int) -> None:
    """2,000 releases of a value that one unit alone holds, at delta 1e-2: at most delta + 5 s.e."""
    delta, runs = 1e-2, 2000
    frame = pd.DataFrame(
        {"id": [1] * 3 + list(range(2, 400)), "g": ["secret"] * 3 + ["common"] * 398}
    )
    rows = PrivateRows(
        Table.from_frame(frame), unit="id", max_rows_per_unit=cap, rng=np.random.default_rng(0)
    )
    event = ThresholdedGaussianEvent(noise_multiplier=2.0, delta=delta)
    charges = [Charge(f"c{i}", event) for i in range(runs)]
    book = Ledger.open("sqlite://", dataset="t", epsilon=1e9, delta=0.999)
    curator = Curator(rows, reservation=_forced(book, charges), noise=seeded_noise(2))
    opened = Column(name="g", kind="categorical")
    named = [curator.name_partitions(Partitions(opened), label=c.label).values for c in charges]
    leaked = np.mean(["secret" in values for values in named])
    assert leaked <= delta + 5 * np.sqrt(delta / runs)
    assert all("common" in values for values in named)


def _forced(book: Ledger, charges: list[Charge]) -> object:
    """A reservation of more delta than any ledger would grant, for the frequency test above."""

    class Free:
        def take(self, label: str) -> Charge:
            return next(c for c in charges if c.label == label)

    return Free()


def test_an_explored_tree_finds_the_heavy_values() -> None:
    data = [(0.0, "a")] * 900 + [(float(i), "a") for i in range(100)]
    tree = QuantileTree(X, Grid(0.0, 1.0, 100_000))
    curator = _curator(_rows(data), Charge("t", GaussianEvent(noise_multiplier=1.0)))
    answer = curator.explore(tree, label="t", open_above=lambda std: 5 * std)
    assert len(answer.levels) == tree.levels
    last = answer.levels[-1]
    row, child = np.unravel_index(np.argmax(last.counts), last.counts.shape)
    assert last.parents[row] * tree.branching + child == 0
    assert last.counts.max() == pytest.approx(901, abs=6 * answer.std)


def test_curator_and_rows_print_nothing_private() -> None:
    rows = _rows([(123.456, "a")])
    curator = _curator(rows, Charge("count", GaussianEvent(noise_multiplier=1.0)))
    assert "123" not in repr(rows) + repr(curator)
