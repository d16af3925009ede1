"""The monitor raises an alarm where diversity is lost, and hardly ever where it is not.

Tables of counts get Gaussian noise and are projected, as in practice; a generator is a law that
codes are drawn from. Rates are over 200 seeds or more; a test says what it allows by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dpsynth.encoding.estimate import nonnegative
from dpsynth.refinement.measured import Measured, pooled
from dpsynth.training.monitor import Monitor, MonitorSettings
from dpsynth.training.monitoring.public_answers import KnownNoise
from dpsynth.training.monitoring.readings import Reading

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Law = tuple[FloatArray, ...]

SEEDS = 200
ROWS, LOOKED_AT = 20_000, 4_000
X = np.linspace(-3.0, 3.0, 21)


def _shares(weights: Sequence[float] | FloatArray) -> FloatArray:
    found = np.asarray(weights, dtype=np.float64)
    return np.asarray(found / found.sum())


LAW: Law = (
    _shares(1 / np.arange(1, 11) ** 1.5),
    _shares(np.exp(-0.5 * X**2)),
    np.full(40, 1 / 40),
    _shares([0.5, 0.5, *np.zeros(30)]),
    _shares([0.92, *np.full(10, 0.008)]),
    _shares([0.6, 0.4]),
    np.ones(1),
    _shares([0.45, 0.05, 0.05, 0.35, 0.1]),
)
"""Skewed, bell-shaped, even, mostly empty, one heavy code with a long tail, two codes, one code,
and two humps with missing values."""
VALUES = (
    None,
    X,
    np.arange(40.0),
    None,
    np.r_[0.0, np.geomspace(100.0, 1e5, 10)],
    None,
    None,
    np.array([0.0, 1.0, 2.0, 3.0, np.nan]),
)
NAMES = tuple(f"c{j}" for j in range(len(LAW)))
PAIRS = ((0, 1), (0, 7), (3, 5))


@dataclass(frozen=True)
class World:
    """How noisy the answers are.

    Attributes:
        std: noise in one one-way cell, in rows.
        pairs: whether pairs were measured and pooled.
        rows_std: noise in the row count.
    """

    std: float
    pairs: bool
    rows_std: float = 0.0


WORLDS = (World(40.0, False), World(40.0, True), World(2.0, False), World(20.0, False, 90.0))


def _draw(law: Law, rows: int, rng: np.random.Generator) -> IntArray:
    return np.stack([rng.choice(len(p), size=rows, p=p) for p in law], axis=1)


def _counts(law: Law, rows: int, rng: np.random.Generator) -> IntArray:
    """Only the one-way counts of a sample of rows, as rows with as many of each code."""
    columns = [np.repeat(np.arange(len(p)), rng.multinomial(rows, p)) for p in law]
    return np.stack(columns, axis=1)


def _measured(table: IntArray, world: World, rng: np.random.Generator) -> Measured:
    sizes = tuple(len(p) for p in LAW)
    rows = len(table) + world.rows_std * rng.standard_normal()

    def noisy(code: IntArray, size: int, std: float) -> FloatArray:
        return np.bincount(code, minlength=size) + rng.normal(0, std, size)

    one_way = tuple(
        nonnegative(noisy(table[:, j], size, world.std), rows) / rows
        for j, size in enumerate(sizes)
    )
    found = Measured(rows, one_way, world.std, (), (), 3 * world.std)
    if not world.pairs:
        return found
    tables = tuple(
        noisy(table[:, i] * sizes[j] + table[:, j], sizes[i] * sizes[j], found.std).reshape(
            sizes[i], sizes[j]
        )
        for i, j in PAIRS
    )
    return pooled(replace(found, pairs=PAIRS, tables=tables))


def _uniform(share: float) -> Law:
    return tuple((1 - share) * p + share / len(p) for p in LAW)


def _monitor(measured: Measured, world: World, *, alpha: float, looks: int = 1) -> Monitor:
    return Monitor(
        measured,
        NAMES,
        positions=VALUES,
        settings=MonitorSettings(alpha=alpha, looks=looks),
        noise=KnownNoise(rows=world.rows_std),
    )


def _alarmed(
    world: World,
    generator: Law,
    *,
    alpha: float,
    looks: int = 1,
    change: Callable[[Measured], Measured] = lambda measured: measured,
) -> int:
    """Trainings of which any look raised an alarm."""
    found = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        draw = _draw if world.pairs else _counts
        measured = change(_measured(draw(LAW, ROWS, rng), world, rng))
        monitor = _monitor(measured, world, alpha=alpha, looks=looks)
        found += any(
            bool(monitor.look(draw(generator, LOOKED_AT, rng), look).alarms)
            for look in range(looks)
        )
    return found


def _most(rate: float, runs: int = SEEDS) -> int:
    """A count that chance exceeds once in ten thousand."""
    return int(stats.binom.isf(1e-4, runs, rate))


@pytest.mark.parametrize(
    ("world", "uniform"),
    [
        *((world, 0.0) for world in WORLDS),
        (WORLDS[2], 0.1),
        *(pytest.param(WORLDS[k], 0.1, marks=pytest.mark.slow) for k in (0, 1, 3)),
    ],
)
def test_a_healthy_generator_raises_no_alarm(world: World, uniform: float) -> None:
    """Perfect, and slightly too uniform; at alpha = 0.5, where a level too high would show."""
    assert _alarmed(world, _uniform(uniform), alpha=0.5) <= _most(0.5)


def test_a_healthy_training_of_several_looks_raises_no_alarm() -> None:
    """At most alpha, 1 %, over all looks of a training, at the usual settings."""
    assert _alarmed(WORLDS[0], LAW, alpha=0.01, looks=3) <= _most(0.01)


def test_codes_drawn_all_alike_raise_no_alarm() -> None:
    """A generator at its start: equal shares, far from the table but not too narrow."""
    assert _alarmed(WORLDS[2], _uniform(1.0), alpha=0.5) <= _most(0.5)


def test_noise_that_is_understated_fails_the_false_alarm_test() -> None:
    """Control: with noise said to be ten times smaller, the test above would fail."""
    wrong = _alarmed(
        WORLDS[0],
        LAW,
        alpha=0.01,
        change=lambda m: replace(m, one_way_std=m.one_way_std / 10),
    )
    assert wrong > _most(0.01)


def test_the_noise_of_the_row_count_matters_where_few_codes_are_live() -> None:
    """Control: without `KnownNoise.rows` two codes share an error that nothing accounts for."""
    law = (np.array([1.0, 0.0]),)
    known, unknown = 0, 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        rows = ROWS + 400.0 * rng.standard_normal()
        noisy = np.array([ROWS, 0.0]) + rng.normal(0, 10.0, 2)
        measured = Measured(rows, (nonnegative(noisy, rows) / rows,), 10.0, (), (), 1.0)
        for told in (True, False):
            noise = KnownNoise(rows=400.0 if told else 0.0)
            monitor = Monitor(measured, ["c"], positions=[None], noise=noise)
            alarm = bool(monitor.look(_counts(law, LOOKED_AT, rng), 0).alarms)
            known, unknown = known + (alarm and told), unknown + (alarm and not told)
    assert known <= _most(0.01)
    assert unknown > _most(0.01)


def test_merged_codes_have_the_noise_of_all_their_cells() -> None:
    """Thirty empty cells in one code; control: with one cell's noise the alarm is false."""
    law = (np.r_[np.full(40, 1 / 40), 0.0],)
    false = {True: 0, False: 0}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        fine = np.r_[np.full(40, ROWS / 40), np.zeros(30)] + rng.normal(0, 30.0, 70)
        counts = nonnegative(fine, ROWS)
        shares = np.r_[counts[:40], counts[40:].sum()] / ROWS
        measured = Measured(float(ROWS), (shares,), 30.0, (), (), 1.0)
        for told in (True, False):
            noise = KnownNoise(cells=(30.0 * np.r_[np.ones(40), 30**0.5],)) if told else None
            monitor = Monitor(measured, ["c"], positions=[None], noise=noise)
            false[told] += bool(monitor.look(_counts(law, LOOKED_AT, rng), 0).alarms)
    assert false[True] <= _most(0.01)
    assert false[False] > _most(0.01)


def _flagged(lossy: Law, found: Callable[[Reading], bool], world: World) -> int:
    """Seeds at which one of 50 planned looks finds a planted loss."""
    hits = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        monitor = _monitor(
            _measured(_counts(LAW, ROWS, rng), world, rng), world, alpha=0.01, looks=50
        )
        hits += found(monitor.look(_counts(lossy, LOOKED_AT, rng), 0))
    return hits


LEAST_POWER = int(stats.binom.ppf(1e-4, SEEDS, 0.95))
"""What a test of power 0.95 would still find but once in ten thousand."""


BOTH = pytest.mark.parametrize(
    "world", [WORLDS[0], pytest.param(WORLDS[2], marks=pytest.mark.slow)]
)
"""Much noise, and hardly any."""


def _exact(world: World) -> Monitor:
    """A monitor of the true shares: what it can notice is what the noise allows."""
    exact = Measured(float(ROWS), LAW, world.std, (), (), 1.0)
    return _monitor(exact, world, alpha=0.01, looks=50)


@BOTH
def test_a_lost_mode_is_flagged_from_the_least_detectable_share_on(world: World) -> None:
    """At 1.5 times the share that `least_detectable` states; at a tenth of it hardly ever."""
    least = _exact(world).least_detectable(LOOKED_AT)[0]

    def missed(factor: float) -> int:
        share = factor * least
        law = (_shares([1 - share, share]), *LAW[1:])
        hits = 0
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            table = _counts(law, ROWS, rng)
            counts = np.bincount(table[:, 0], minlength=2) + rng.normal(0, world.std, 2)
            shares = nonnegative(counts, ROWS) / ROWS
            measured = Measured(float(ROWS), (shares, *LAW[1:]), world.std, (), (), 1.0)
            monitor = _monitor(measured, world, alpha=0.01, looks=50)
            lost = (np.array([1.0, 0.0]), *LAW[1:])
            reading = monitor.look(_counts(lost, LOOKED_AT, rng), 0)
            hits += [(mode.column, mode.code) for mode in reading.missing] == [(0, 1)]
        return hits

    assert missed(1.5) >= LEAST_POWER
    assert missed(0.1) <= _most(0.01)


def _entropy(law: FloatArray) -> float:
    return float(stats.entropy(law))


def _sharpened(law: FloatArray, power: float) -> FloatArray:
    return _shares(law**power)


def _solve(goal: float, loss: Callable[[float], float]) -> float:
    """The factor from 1 on at which a planted loss is `goal`."""
    low, high = 1.0, 64.0
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if loss(middle) < goal else (low, middle)
    return high


@BOTH
def test_entropy_that_falls_at_equal_support_is_flagged(world: World) -> None:
    """Shares raised to a power: every code stays, the frequent ones take over."""
    least, _ = _exact(world).least_losses(LOOKED_AT)[0]
    whole = _entropy(LAW[0])
    power = _solve(1.5 * least, lambda p: 1 - _entropy(_sharpened(LAW[0], p)) / whole)
    narrow = (_sharpened(LAW[0], power), *LAW[1:])
    assert _flagged(narrow, lambda r: r.narrow == (0,), world) >= LEAST_POWER
    assert min(narrow[0]) > 0


def _variance(law: FloatArray, values: FloatArray) -> float:
    return float(law @ values**2 - (law @ values) ** 2)


@BOTH
def test_variance_that_falls_at_equal_support_is_flagged(world: World) -> None:
    """A bell that shrinks by a known factor; every code stays possible."""
    least = _exact(world).least_losses(LOOKED_AT)[1][1]
    assert least is not None
    whole = _variance(LAW[1], X)
    factor = _solve(1.5 * least, lambda f: 1 - _variance(_sharpened(LAW[1], f), X) / whole)
    shrunk = (LAW[0], _sharpened(LAW[1], factor), *LAW[2:])

    def found(reading: Reading) -> bool:
        return 1 in reading.shrunk and set(reading.shrunk + reading.narrow) == {1}

    assert _flagged(shrunk, found, world) >= LEAST_POWER


def test_the_loss_of_many_codes_that_are_each_below_the_noise_is_flagged() -> None:
    """32 of 40 codes go: that of single ones is rarely sure, that of the entropy is."""
    world = World(300.0, False)
    kept = _shares([*np.ones(8), *np.zeros(32)])
    single = []
    lossy = (*LAW[:2], kept, *LAW[3:])

    def found(reading: Reading) -> bool:
        single.append(bool(reading.missing))
        return 2 in reading.narrow

    assert _flagged(lossy, found, world) >= LEAST_POWER
    assert sum(single) < 0.2 * SEEDS


def test_ratios_are_near_the_truth() -> None:
    """Of entropy and variance, in the mean over seeds, to two hundredths."""
    world = WORLDS[0]
    narrow = (_sharpened(LAW[0], 1.5), _sharpened(LAW[1], 2.0), *LAW[2:])
    true = (
        _entropy(narrow[0]) / _entropy(LAW[0]),
        _variance(narrow[1], X) / _variance(LAW[1], X),
    )
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        measured = _measured(_counts(LAW, ROWS, rng), world, rng)
        reading = _monitor(measured, world, alpha=0.01).look(_counts(narrow, LOOKED_AT, rng), 0)
        found.append((reading.entropies[0] or 0.0, reading.variances[1] or 0.0))
    assert np.abs(np.mean(found, axis=0) - true).max() < 0.02
    assert max(true) < 0.9  # control: there was something to lose


def _related(rows: int, strength: float, rng: np.random.Generator) -> IntArray:
    """Three columns of 12 codes; each agrees with the first in a share `strength` of the rows."""
    codes = rng.integers(0, 12, (rows, 3))
    same = rng.random((rows, 2)) < strength
    codes[:, 1:] = np.where(same, codes[:, :1], codes[:, 1:])
    return codes


def _related_monitor(rng: np.random.Generator, strength: float = 0.3) -> Monitor:
    rows, std = 40_000, 15.0
    table = _related(rows, strength, rng)
    pairs = ((0, 1), (0, 2), (1, 2))
    tables = tuple(
        np.bincount(table[:, i] * 12 + table[:, j], minlength=144).reshape(12, 12)
        + rng.normal(0, std, (12, 12))
        for i, j in pairs
    )
    one_way = tuple(
        nonnegative(np.bincount(table[:, j], minlength=12) + rng.normal(0, 30, 12), rows) / rows
        for j in range(3)
    )
    measured = pooled(Measured(float(rows), one_way, 30.0, pairs, tables, std))
    return Monitor(measured, ("a", "b", "c"), positions=(None, None, None))


def test_rows_that_repeat_are_flagged_and_lost_relations_are_not() -> None:
    """100 distinct rows, each column nearly right, lack combinations; independent columns do not.

    Not even where two columns are nearly one and the same in the table.
    """
    repeats, independent, healthy = 0, 0, 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        repeated = _related(100, 0.3, rng)[rng.integers(0, 100, LOOKED_AT)]
        reading = _related_monitor(rng).look(repeated, 0)
        repeats += reading.lost_pairs > 0 and any("combinations" in a for a in reading.alarms)
        unrelated = _related(LOOKED_AT, 0.0, rng)
        independent += bool(_related_monitor(rng, 0.95).look(unrelated, 0).alarms)
        healthy += bool(_related_monitor(rng).look(_related(LOOKED_AT, 0.3, rng), 0).alarms)
    assert repeats >= LEAST_POWER
    assert independent <= _most(0.01)
    assert healthy <= _most(0.01)


def test_the_best_iterate_is_picked_within_the_noise() -> None:
    """Steps are strengths of relations in percent: 30 is the truth.

    The pick is the truth where the others are far off, and one of the two nearest where they are
    nearer than a sample tells apart (30 and 31 differ by about 0.01 in total variation distance).
    """
    for seed in range(40):
        rng = np.random.default_rng(seed)
        assert _best_step((0, 10, 20, 30, 45, 60), rng) == 30
        assert _best_step((0, 15, 30, 31), rng) in (30, 31)


def _best_step(percents: Sequence[int], rng: np.random.Generator) -> int:
    monitor = _related_monitor(rng)
    for percent in rng.permutation(percents):
        monitor.look(_related(LOOKED_AT, percent / 100, rng), int(percent))
    return monitor.best.step
