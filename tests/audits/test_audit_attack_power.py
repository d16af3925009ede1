"""Each attack finds the leak it is made for, and none alarms where nothing can leak."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audits.attacks import classifier, closest_record, density_ratio, local_density, near_copies
from audits.records import Encoded, concatenate, encode
from audits.statistics import auroc, auroc_p_value

ATTACKS = {
    "closest_record": closest_record,
    "local_density": local_density,
    "near_copies": near_copies,
    "density_ratio": density_ratio,
    "classifier": classifier,
}
REFERENCE = {"density_ratio", "classifier"}


def wide(n, seed):
    """Five numbers and six categories that hang together."""
    rng = np.random.default_rng([40, seed])
    hidden = rng.normal(size=(n, 3))
    table = {f"x{j}": hidden[:, j % 3] * 2 + rng.normal(size=n) for j in range(5)}
    for j, levels in enumerate((2, 3, 4, 6, 9, 12)):
        noisy = hidden[:, j % 3] + rng.normal(size=n)
        cuts = np.linspace(-2, 2, levels - 1)
        table[f"c{j}"] = np.array(list("abcdefghijkl"))[np.digitize(noisy, cuts)]
    return pd.DataFrame(table)


def copies(train, fresh, rng):
    """One row in five is a training row."""
    return pd.concat([train.iloc[: len(train) // 5], fresh.iloc[len(train) // 5 :]])


def altered(train, fresh, rng):
    """One row in five is a training row with four of its eleven columns drawn afresh."""
    count = len(train) // 5
    changed = train.iloc[:count].copy()
    redrawn = rng.permuted(np.tile(np.arange(train.shape[1]) < 4, (count, 1)), axis=1)
    for place, name in enumerate(train):
        changed[name] = changed[name].where(~redrawn[:, place], fresh[name].iloc[:count])
    return pd.concat([changed, fresh.iloc[count:]])


def smoothed(train, fresh, rng):
    """Every row is a training row with noise on numbers and a fifth of its categories redrawn."""
    made = train.iloc[rng.integers(0, len(train), len(train))].reset_index(drop=True)
    for name in made:
        if name.startswith("x"):
            made[name] += rng.normal(0, 0.4, len(made))
        else:
            made[name] = np.where(rng.random(len(made)) < 0.8, made[name], fresh[name])
    return made


def repeated(train, fresh, rng):
    """One training row in five is learned by heart and stands four times in the table."""
    learned = np.repeat(np.arange(len(train) // 5), 4)
    return pd.concat([train.iloc[learned], fresh.iloc[len(learned) :]])


def silent(train, fresh, rng):
    """Nothing of train."""
    return fresh


def made(leak, *, seed, n):
    """Tables of n rows each, the synthetic one leaking in this way."""
    train, holdout, fresh, known = (wide(n, 4 * seed + part) for part in range(4))
    synthetic = leak(train, fresh, np.random.default_rng([41, seed]))
    return encode(train, holdout, synthetic, reference=known)


def scores(name, tables, *, seed):
    """Scores of members and of non-members."""
    given = {"reference": tables.reference} if name in REFERENCE else {}
    if name == "classifier":
        given["rng"] = np.random.default_rng([42, seed])
    targets = concatenate([tables.train, tables.holdout])
    found = ATTACKS[name].score(targets, synthetic=tables.synthetic, **given)
    return found[: len(tables.train)], found[len(tables.train) :]


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("closest_record", copies),
        ("closest_record", smoothed),
        ("local_density", repeated),
        ("local_density", smoothed),
        ("near_copies", copies),
        ("near_copies", altered),
        ("near_copies", smoothed),
        ("density_ratio", copies),
        ("density_ratio", smoothed),
        ("density_ratio", repeated),
        ("classifier", copies),
        ("classifier", smoothed),
        ("classifier", repeated),
    ],
)
def test_an_attack_finds_its_leak(name, leak):
    """p below 0.001 in one run; a guesser passes with that probability."""
    tables = made(leak, seed=1, n=1000)
    assert auroc_p_value(*scores(name, tables, seed=1)) < 1e-3


def test_agreement_finds_altered_copies_that_drown_in_the_distance():
    """The same tables for both, so the draw of the rows cancels; 2 s.e. over 6 draws."""
    gain = []
    for seed in range(6):
        tables = made(altered, seed=seed, n=800)
        near, far = (
            auroc(*scores(name, tables, seed=seed), confidence=0.95).value
            for name in ("near_copies", "closest_record")
        )
        gain.append(near - far)
    assert np.mean(gain) > 2 * np.std(gain, ddof=1) / np.sqrt(6)


@pytest.fixture(scope="module")
def silent_p_values():
    """p-values of all attacks on the same 30 draws of tables without a leak."""
    found = {name: [] for name in ATTACKS}
    for seed in range(1000, 1030):
        tables = made(silent, seed=seed, n=100)
        for name, p_values in found.items():
            p_values.append(auroc_p_value(*scores(name, tables, seed=seed)))
    return {name: np.array(p_values) for name, p_values in found.items()}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_alarms_where_nothing_leaks(name, silent_p_values):
    """Alarms at level 0.1: 8 or more of 30 have probability 0.8 % if the rate holds."""
    assert stats.binom.sf(7, 30, 0.1) < 0.01
    assert np.sum(silent_p_values[name] <= 0.1) < 8
    # And the p-values are not stuck near 1: half of them lie below a half, up to 3 s.e.
    assert abs(np.mean(silent_p_values[name] < 0.5) - 0.5) < 3 * 0.5 / np.sqrt(30)


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_20000_rows_takes_little_memory(name):
    """300 MB beside the tables; its time is measured by benchmarks/audit_rates.py."""
    tables = made(silent, seed=2, n=20_000)
    halves = Encoded(
        train=tables.train.take(np.arange(10_000)),
        holdout=tables.holdout.take(np.arange(10_000)),
        synthetic=tables.synthetic,
        reference=tables.reference,
    )
    tracemalloc.start()
    scores(name, halves, seed=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
