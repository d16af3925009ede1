"""Shadow runs: who trains what, order, threads, the store, and the controls of both attacks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.attacks import lira, shadow
from audits.black_box import shadow_models
from audits.black_box.refit import BlackBox, Refit, ShadowPlan, blind, leaky
from audits.black_box.shadow_models import coins, digest, shadow_runs
from audits.errors import AttackError
from audits.records import Encoded, Records, concatenate, encode
from audits.statistics import auroc, auroc_p_value
from audits.tables.sampling import subsample

Table = Callable[[int, int], pd.DataFrame]
ATTACKS = (lira, shadow)


@pytest.fixture(scope="module")
def tables(mixed_table: Table) -> Encoded:
    return encode(
        mixed_table(120, 1), mixed_table(120, 2), mixed_table(100, 3), mixed_table(300, 4)
    )


def targets_of(tables: Encoded, each: int) -> Records:
    sides = (tables.train, tables.holdout)
    return concatenate([side.take(np.arange(each)) for side in sides])


def box(refit: Refit, **options: object) -> BlackBox:
    plan = {"models": 8, "seed": 3, "train_rows": 120, **options}
    return BlackBox(refit=refit, plan=ShadowPlan(**plan))


def run(attack: object, tables: Encoded, refit: Refit, each: int = 20) -> np.ndarray:
    return attack.score(
        targets_of(tables, each),
        synthetic=tables.synthetic,
        reference=tables.reference,
        refit=refit,
        rng=np.random.default_rng(1),
    )


# The runs.


@given(st.integers(2, 20).map(lambda half: 2 * half), st.integers(1, 30), st.integers(0, 99))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_every_target_is_in_half_of_the_models(models: int, targets: int, seed: int) -> None:
    included = coins(models, targets, seed=seed)
    np.testing.assert_array_equal(included.sum(axis=0), models // 2)


def test_coins_of_different_targets_are_independent() -> None:
    """4,950 correlations of 99 targets; their mean has a standard error below 0.002."""
    pairs = np.corrcoef(coins(100, 99, seed=1).T)[np.triu_indices(99, 1)]
    assert abs(pairs.mean()) < 0.008
    assert abs(pairs.std() - 0.1) < 0.01


def test_models_are_trained_on_their_targets_and_as_many_rows_as_the_real_one(
    tables: Encoded,
) -> None:
    seen: list[Records] = []

    def spy(rows: Records, *, rng: np.random.Generator) -> Records:
        seen.append(rows)
        return leaky(rows, rng=rng)

    targets = targets_of(tables, 20)
    runs = shadow_runs(
        targets,
        synthetic=tables.synthetic,
        reference=tables.reference,
        refit=box(spy),
        rng=np.random.default_rng(1),
    )
    known = {tuple(row) for row in np.nan_to_num(targets.numbers, nan=-1.0).tolist()}
    for model, rows in enumerate(seen):
        assert len(rows) == 120
        inside = [tuple(row) in known for row in np.nan_to_num(rows.numbers, nan=-1.0).tolist()]
        assert sum(inside) == runs.included[model].sum()
        # Shuffled: the targets do not come first.
        assert not all(inside[: sum(inside)])
    # The nearest shadow row of an included target is its own near copy, unless it was among the
    # 20 of 120 rows cut off to match the 100 of the synthetic table.
    near = -runs.shadow[:, :, 0] < 0.005
    assert 0.7 < near[runs.included].mean() < 0.95
    assert near[~runs.included].mean() < 0.3


def test_no_more_rows_than_there_are(tables: Encoded) -> None:
    sizes: list[int] = []

    def spy(rows: Records, *, rng: np.random.Generator) -> Records:
        sizes.append(len(rows))
        return subsample(rows, 30 + len(sizes), rng=rng)

    run(lira, tables, box(spy, train_rows=10_000))
    assert all(310 <= size <= 330 for size in sizes)
    sizes.clear()
    # Without a stated size the attacker takes that of the synthetic table.
    run(lira, tables, box(spy, train_rows=None))
    assert sizes == [100] * 8


@pytest.mark.parametrize("attack", ATTACKS)
def test_order_of_rows_and_threads_change_nothing(attack: object, tables: Encoded) -> None:
    plain = run(attack, tables, box(leaky))
    rng = np.random.default_rng(9)
    mixed = tables.map(lambda records: records.take(rng.permutation(len(records))))
    targets = targets_of(tables, 20)
    order = rng.permutation(len(targets))
    again = attack.score(
        targets.take(order),
        synthetic=mixed.synthetic,
        reference=mixed.reference,
        refit=box(leaky, n_jobs=2),
        rng=np.random.default_rng(77),
    )
    np.testing.assert_array_equal(again, plain[order])
    assert (run(attack, tables, box(leaky, seed=4)) != plain).any()


def test_every_part_of_a_large_synthetic_table_is_looked_at(tables: Encoded) -> None:
    """Shadow tables of 80 rows against 240 synthetic ones. Were only 80 of those looked at, a third
    of the copies would be seen, and no score could pass an AUROC of 1/3 + 2/3 * 1/2 = 0.67."""
    copies = leaky(
        concatenate([tables.train, tables.reference.take(np.arange(120))]),
        rng=np.random.default_rng(5),
    )
    scores = run(lira, replace(tables, synthetic=copies), box(leaky, train_rows=80), each=30)
    assert auroc(scores[:30], scores[30:], confidence=0.95).value > 0.9


def test_scores_of_parts_are_averaged_as_ratios() -> None:
    runs = shadow_models.ShadowRuns(
        included=np.zeros((2, 3), dtype=bool),
        shadow=np.zeros((2, 3, 1)),
        real=np.log([[[1.0], [2.0], [4.0]], [[3.0], [2.0], [8.0]]]),
        places=np.array([2, 0, 0, 1]),
    )
    found = runs.scores(lambda real, shadow, included: real[:, 0])
    np.testing.assert_allclose(found, np.log([6.0, 2.0, 2.0, 2.0]), atol=1e-8)


def test_equal_targets_score_equally(tables: Encoded) -> None:
    targets = targets_of(tables, 10)
    twice = concatenate([targets, targets.take(np.array([3]))])
    for attack in ATTACKS:
        scores = attack.score(
            twice,
            synthetic=tables.synthetic,
            reference=tables.reference,
            refit=box(leaky),
            rng=np.random.default_rng(1),
        )
        assert scores.shape == (21,)
        assert scores[3] == scores[20]


def test_both_attacks_share_one_set_of_runs(tables: Encoded) -> None:
    calls: list[int] = []

    def count(rows: Records, *, rng: np.random.Generator) -> Records:
        calls.append(len(rows))
        return leaky(rows, rng=rng)

    told: list[tuple[str, int, int]] = []
    refit = box(count, progress=lambda *step: told.append(step))
    for attack in ATTACKS:
        run(attack, tables, refit)
    assert len(calls) == 8
    assert told == [("shadow models", done, 8) for done in range(1, 9)]
    # Other targets are other runs.
    run(lira, tables, refit, each=19)
    assert len(calls) == 16


def test_a_failing_model_is_named(tables: Encoded) -> None:
    def sometimes(rows: Records, *, rng: np.random.Generator) -> Records:
        if rng.random() < 0.3:
            raise ValueError("diverged")
        return leaky(rows, rng=rng)

    with pytest.raises(AttackError, match=r"shadow model \d of 8: refit raised ValueError"):
        run(lira, tables, box(sometimes))


# The store.


class Counting:
    """A refit that counts, and that dies after so many models."""

    def __init__(self, dies_after: int = 10**6) -> None:
        self.calls, self.dies_after = 0, dies_after

    def __call__(self, rows: Records, *, rng: np.random.Generator) -> Records:
        if self.calls == self.dies_after:
            raise KeyboardInterrupt
        self.calls += 1
        return leaky(rows, rng=rng)


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(tables: Encoded, tmp_path: Path) -> None:
    store = tmp_path / "models"
    first = Counting(dies_after=5)
    with pytest.raises(KeyboardInterrupt):
        run(lira, tables, box(first, store=store, label="copy"))
    kept = sorted(path.name for path in store.iterdir())
    assert len(kept) == 5
    second = Counting()
    scores = run(lira, tables, box(second, store=store, label="copy"))
    assert second.calls == 3
    np.testing.assert_array_equal(scores, run(lira, tables, box(leaky)))
    assert all(path.suffix == ".npz" for path in store.iterdir())


@pytest.mark.parametrize(
    "change", [{"label": "other"}, {"seed": 4}, {"train_rows": 110}, {"models": 10}]
)
def test_models_of_other_inputs_are_never_taken(
    tables: Encoded, tmp_path: Path, change: dict[str, object]
) -> None:
    options = {"store": tmp_path, "label": "copy"}
    run(lira, tables, box(leaky, **options))
    other = Counting()
    run(lira, tables, box(other, **{**options, **change}))
    assert other.calls == change.get("models", 8)


def test_other_rows_are_other_models(tables: Encoded, tmp_path: Path) -> None:
    options = {"store": tmp_path, "label": "copy"}
    run(lira, tables, box(leaky, **options))
    moved = replace(tables.reference, numbers=tables.reference.numbers + 1e-9)
    other = Counting()
    run(lira, replace(tables, reference=moved), box(other, **options))
    assert other.calls == 8


def test_damaged_or_swapped_files_are_made_again(tables: Encoded, tmp_path: Path) -> None:
    options = {"store": tmp_path, "label": "copy"}
    scores = run(lira, tables, box(leaky, **options))
    files = sorted(tmp_path.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    files[2].write_bytes(files[3].read_bytes())
    with files[4].open("wb") as file:
        np.savez(file, key=np.array(files[4].stem), numbers=np.zeros((3, 1)))
    with files[5].open("wb") as file:
        np.savez(
            file,
            key=np.array(files[5].stem),
            numbers=np.zeros((3, 1)),
            categories=np.zeros((3, 1), dtype=np.int32),
        )
    again = Counting()
    np.testing.assert_array_equal(run(lira, tables, box(again, **options)), scores)
    assert again.calls == 5


def test_a_store_that_is_a_file_is_said(tables: Encoded, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("x")
    with pytest.raises(AttackError, match="cannot be written"):
        run(lira, tables, box(leaky, store=tmp_path / "models", label="copy"))


def test_the_digest_sees_every_part(tables: Encoded) -> None:
    base = tables.train.take(np.arange(10))
    codes = base.categories.copy()
    codes[0, 0] = -1
    layout = replace(base.layout, lower=tuple(low + 1 for low in base.layout.lower))
    others = [
        digest([base], "a", "bc"),
        digest([base], "ab", "c"),
        digest([base.take(np.arange(9))]),
        digest([base.take(np.arange(9)), base.take(np.array([9]))]),
        digest([replace(base, categories=codes)]),
        digest([replace(base, layout=layout)]),
        digest([base]),
    ]
    assert len(set(others)) == len(others)
    assert digest([base]) == digest([replace(base, rows=base.rows + 1)])
    assert shadow_models.digest([base]) == others[-1]


# Controls: what must be found, is; what must not, is not.


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_copying_generator_is_caught(attack: object, tables: Encoded) -> None:
    copied = replace(tables, synthetic=leaky(tables.train, rng=np.random.default_rng(5)))
    scores = run(attack, copied, box(leaky, models=16), each=60)
    assert auroc(scores[:60], scores[60:], confidence=0.95).lower > 0.9


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_generator_that_ignores_its_rows_is_not(attack: object, mixed_table: Table) -> None:
    """40 seeds at level 0.05, both sides: binomial(40, 0.05) exceeds 6 with probability 0.3 %."""
    alarms = 0
    for seed in range(40):
        train, holdout, pool = (mixed_table(40, 100 + 3 * seed + i) for i in range(3))
        tables = encode(train, holdout, pool, mixed_table(60, 4))
        # On every other seed the synthetic table has two parts.
        refit = blind(tables.synthetic.take(np.arange(20 + 20 * (seed % 2))))
        scores = run(attack, tables, box(refit, models=4, seed=seed), each=40)
        inside, outside = scores[:40], scores[40:]
        low = min(auroc_p_value(inside, outside), auroc_p_value(outside, inside))
        alarms += 2.0 * low <= 0.05
    assert alarms <= 6
