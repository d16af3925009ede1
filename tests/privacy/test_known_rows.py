"""Rows of earlier releases are known again, and honest rows are not taken for them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.errors import InputError
from dpsynth.privacy.known_rows import FALSE_ALARM, Comparison, comparison_of, recognize
from dpsynth.privacy.ledger_releases import KnownRelease
from dpsynth.privacy.lineage_record import LineageRecord, Parent, Share
from dpsynth.privacy.queries import KnownRows
from dpsynth.privacy.rows import PrivateRows
from dpsynth.privacy.sketch import RowSketch, sketch_of
from dpsynth.table import Table

QUICK = settings(derandomize=True, deadline=None, max_examples=30)
STD = 75.0
"""About the noise of the answer at epsilon 1, delta 1e-5."""

row_of = st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", None]))


def frame_of(rows: list[tuple[int, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b"]).astype({"a": float, "b": object})


def private(frame: pd.DataFrame, *, unit: str | None = None, cap: int = 1) -> PrivateRows:
    rng = np.random.default_rng(0)
    return PrivateRows(Table.from_frame(frame), unit=unit, max_rows_per_unit=cap, rng=rng)


def sketch(frame: pd.DataFrame) -> RowSketch:
    return sketch_of(Table.from_frame(frame), [str(name) for name in frame.columns])


def release(table: pd.DataFrame, name: str = "r", generation: int = 1) -> KnownRelease:
    return KnownRelease("people", name, generation, "ab" * 32, sketch(table))


@QUICK
@given(
    data=st.lists(row_of, min_size=2, max_size=25),
    released=st.lists(st.lists(row_of, min_size=1, max_size=12), min_size=1, max_size=3),
)
def test_one_row_moves_the_answer_by_at_most_its_bound(
    data: list[tuple[int, str | None]], released: list[list[tuple[int, str | None]]]
) -> None:
    query = KnownRows(tuple(sketch(frame_of(rows)) for rows in released))
    whole = query.sum(private(frame_of(data)))
    without = query.sum(private(frame_of(data[1:])))
    assert query.row_bound == 1.0
    assert np.linalg.norm(whole - without) <= 1.0
    assert whole.shape == (len(released) + 1,)


@QUICK
@given(
    data=st.lists(row_of, min_size=1, max_size=25),
    units=st.lists(st.integers(0, 5), min_size=25, max_size=25),
    cap=st.integers(1, 3),
)
def test_one_unit_moves_the_answer_by_at_most_its_rows(
    data: list[tuple[int, str | None]], units: list[int], cap: int
) -> None:
    """All rows of one unit go; which rows the others keep is fixed by keeping at most `cap`."""
    frame = frame_of(data).assign(id=units[: len(data)]).groupby("id").head(cap)
    query = KnownRows((sketch(frame_of(data[::2])),))
    rest = frame[frame["id"] != frame["id"].iloc[0]]
    whole = query.sum(private(frame, unit="id", cap=cap))
    without = query.sum(private(rest, unit="id", cap=cap)) if len(rest) else np.zeros(2)
    assert np.linalg.norm(whole - without) <= cap


def test_the_answer_counts_what_it_says() -> None:
    first = frame_of([(0, "x"), (1, "x"), (2, "x"), (2, "x")])
    second = frame_of([(1, "x"), (3, "y")])
    rows = private(frame_of([(1, "x"), (1, "x"), (3, "y"), (0, None), (2, "x"), (0, None)]))
    answer = KnownRows((sketch(first), sketch(second))).sum(rows)
    # (1, x) is counted at the first release; (2, x) is no single of it; two values repeat.
    assert answer.tolist() == [1.0, 1.0, 2.0]


def test_sketches_of_other_columns_are_not_asked_about_together() -> None:
    one = frame_of([(0, "x")])
    with pytest.raises(InputError, match="same columns"):
        KnownRows((sketch(one), sketch(one[["a"]])))
    with pytest.raises(InputError, match="at least one"):
        KnownRows(())


def test_the_largest_set_of_columns_is_chosen() -> None:
    wide, narrow = people(400, 1), people(400, 2)[["age", "income"]]
    coin = pd.DataFrame({"age": [1, 2] * 200})
    known = [
        release(narrow, "narrow"),
        release(wide, "wide"),
        release(coin, "coin"),
        release(wide.rename(columns={"age": "years"}), "other"),
        KnownRelease("people", "old", 1, None, None),
    ]
    chosen = comparison_of(known, ["age", "income", "height", "town", "id"])
    assert [found.release for found, _ in chosen.releases] == ["wide"]
    assert chosen.others == 4
    assert comparison_of(known, ["years"]) == Comparison((), 5)


def people(rows: int, seed: int, *, columns: int = 4) -> pd.DataFrame:
    """Draws of one source; a generator that knows it perfectly makes the same."""
    rng = np.random.default_rng([33, seed])
    frame = pd.DataFrame(
        {
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], rows, p=[0.6, 0.3, 0.1]),
            "age": rng.integers(0, 100, rows),
            "income": np.round(rng.gamma(2, 300, rows), 1),
            "height": np.round(rng.normal(170, 10, rows), 1),
        }
    )
    return frame[frame.columns[:columns]]


def asked(
    table: pd.DataFrame, released: list[pd.DataFrame], seed: int, *, std: float = STD
) -> LineageRecord:
    """The recognition of a table, with noise as the curator would add it."""
    known = [release(frame, str(i), i + 1) for i, frame in enumerate(released)]
    found = comparison_of(known, list(table.columns))
    exact = KnownRows(found.sketches).sum(private(table))
    noise = np.random.default_rng([34, seed])
    return recognize(
        exact + noise.normal(0, std, exact.size),
        std=std,
        rows=(len(table) + noise.normal(0, std), std),
        comparison=found,
    )


def mixed(released: pd.DataFrame, share: float, rows: int, seed: int) -> pd.DataFrame:
    """So many rows of a release among real ones, shuffled."""
    made = released.sample(round(share * rows), random_state=seed)
    real = people(rows - len(made), 1000 + seed)
    return pd.concat([made, real]).sample(frac=1.0, random_state=seed, ignore_index=True)


@pytest.mark.parametrize(("rows", "share"), [(3000, 0.5), (3000, 1.0), (12_000, 0.5), (9000, 0.2)])
def test_fed_back_rows_are_recognized_with_their_share(rows: int, share: float) -> None:
    """10 seeds: none is missed (power is far above 95 % here) and the bounds hold the share."""
    held = 0
    for seed in range(10):
        released = people(max(4000, round(rows * share)), seed)
        found = asked(mixed(released, share, rows, seed), [released], seed)
        (parent,) = found.made_from
        assert parent.known_by == "rows"
        held += parent.share.lower <= share <= parent.share.upper
        assert found.noticeable_share is not None
        assert found.noticeable_share < share
    assert held == 10


def test_each_release_is_recognized_by_itself() -> None:
    first, second, third = (people(4000, seed) for seed in (1, 2, 3))
    table = pd.concat([first[:1500], third[:1500], people(3000, 9)])
    found = asked(table, [first, second, third], 0)
    assert [parent.generation for parent in found.made_from] == [1, 3]
    assert found.generation == 3
    assert found.compared == 3
    assert found.real_share.lower <= 0.5 <= found.real_share.upper


def forced(made: RowSketch) -> Comparison:
    """The comparison with a release, however little its rows tell."""
    return Comparison(((KnownRelease("p", "r", 1, None, made), made),))


def alarms(table: pd.DataFrame, released: pd.DataFrame, *, std: float, seed: int) -> int:
    """In 5 draws of the noise, how often a table is taken for one with rows of a release."""
    comparison = forced(sketch(released))
    exact = KnownRows(comparison.sketches).sum(private(table))
    noisy = exact + np.random.default_rng([35, seed]).normal(0, std, (5, 2))
    found = (recognize(v, std=std, rows=(len(table), 0.0), comparison=comparison) for v in noisy)
    return sum(bool(record.made_from) for record in found)


@pytest.mark.parametrize(
    ("columns", "rows", "released"), [(4, 800, 800), (3, 1500, 700), (2, 500, 900), (1, 400, 400)]
)
def test_honest_tables_are_not_taken_for_synthetic(columns: int, rows: int, released: int) -> None:
    """40 seeds of tables times 5 of noise, at noise of 1 and of 30 rows: 1,600 draws in all.

    The release comes from a perfect generator of the same source. At the stated rate of 0.001 more
    than 3 alarms among the 400 of a cell have a chance of 8e-4; a rate of 0.05 would give 20.
    """
    assert FALSE_ALARM == 1e-3
    found = 0
    for seed in range(40):
        table = people(rows, 2 * seed, columns=columns)
        made = people(released, 2 * seed + 1, columns=columns)
        found += sum(alarms(table, made, std=std, seed=seed) for std in (1.0, 30.0))
    assert found <= 3


def test_a_table_that_enters_each_value_once_is_not_taken_for_synthetic() -> None:
    """Every cell of a 40 x 40 design once, and a generator that knows the design: 300 draws."""
    cells = pd.DataFrame([(i, j) for i in range(40) for j in range(40)], columns=["a", "b"])
    found = 0
    for seed in range(60):
        rng = np.random.default_rng([36, seed])
        made = pd.DataFrame(rng.integers(0, 40, (1600, 2)), columns=["a", "b"])
        found += alarms(cells, made, std=5.0, seed=seed)
    assert found <= 3


def test_control_without_the_repeats_honest_tables_would_be_accused() -> None:
    """The bound on coincidences is needed: with the repeats left out, every narrow one alarms."""
    made = sketch(people(900, 1, columns=2))
    blind = RowSketch(made.columns, made.rows, made.singles, 0, made.hashes)
    comparison = forced(blind)
    exact = KnownRows((made,)).sum(private(people(3000, 2, columns=2)))
    found = recognize(np.array([exact[0], 0.0]), std=1.0, rows=(3000.0, 0.0), comparison=comparison)
    assert found.made_from


def test_chance_is_bounded_by_repeats_for_any_two_frequencies() -> None:
    """The inequality of the module's docstring, on a grid of frequencies from rare to certain."""
    a, b = np.meshgrid(np.geomspace(1e-4, 50, 300), np.geomspace(1e-4, 50, 300))
    met = -np.expm1(-a) * b * np.exp(-b)
    repeated = -np.expm1(-a) - a * np.exp(-a) + b**2 / 2 * np.exp(-b)
    assert np.all(met <= repeated * (1 + 1e-6))
    assert np.any(met > 0.9 * repeated)  # and no slacker than it must be


def test_a_narrow_table_says_that_it_cannot_know() -> None:
    coins = pd.DataFrame(np.random.default_rng(1).integers(0, 2, (2000, 4)), columns=list("abcd"))
    chosen = comparison_of([release(coins)], list("abcd"))
    assert chosen == Comparison((), 1)


def test_a_small_table_says_how_little_it_would_notice() -> None:
    released = people(400, 1)
    found = asked(people(300, 2), [released], 0, std=500.0)
    assert found.noticeable_share == 1.0
    assert not found.made_from


def test_counts_must_fit_the_releases() -> None:
    found = Comparison(((release(people(200, 1)), sketch(people(200, 1))),))
    with pytest.raises(InputError, match="1 counts for 1 releases"):
        recognize(np.zeros(1), std=1.0, rows=(10.0, 1.0), comparison=found)


def test_shares_add_up_and_are_bounded() -> None:
    part = Share(value=0.6, lower=0.5, upper=0.7)
    record = LineageRecord(
        made_from=tuple(Parent(known_by="rows", generation=g, share=part) for g in (1, 4))
    )
    assert record.generation == 4
    assert record.stated_generation == 0
    assert record.synthetic_share == Share(value=1.0, lower=1.0, upper=1.0)
    one = record.model_copy(update={"made_from": record.made_from[:1]})
    assert one.real_share == Share(value=0.4, lower=0.3, upper=0.5)
    whole = Parent(known_by="manifest", generation=2, manifest_sha256="ab" * 32)
    same = record.made_from[0].model_copy(update={"manifest_sha256": "ab" * 32})
    joined = LineageRecord(made_from=(same,)).known_before([whole])
    assert joined.made_from == (whole,)
    assert joined.stated_generation == 2


def test_a_share_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Share(value=0.5, lower=0.6, upper=0.7)
