"""Replicates scatter as repeated private fits do, and the errors they foresee are those seen."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dpsynth.errors import InputError, IntegrityError
from dpsynth.fitted import FittedModel
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.simulated import counts, simulated
from dpsynth.replicates import count_std, make_replicates


def weights(models: tuple[FittedModel, ...]) -> list[torch.Tensor]:
    return [torch.cat([v.flatten() for v in m.model.state_dict().values()]) for m in models]


@pytest.mark.usefixtures("fewer_drawn_rows")
class TestReplicates:
    def test_one_seed_gives_one_result(self, fitted):
        first = weights(fitted.replicates(2, seed=3))
        again = weights(fitted.replicates(2, seed=3))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], first[1])
        assert not torch.equal(first[0], weights(fitted.replicates(1, seed=4))[0])

    def test_the_first_ones_do_not_depend_on_how_many_follow(self, fitted):
        assert torch.equal(
            weights(fitted.replicates(1, seed=5))[0], weights(fitted.replicates(2, seed=5))[0]
        )

    def test_a_replicate_is_a_model_like_any(self, fitted, tmp_path):
        (one,) = fitted.replicates(1, seed=1)
        frame = one.sample(50, seed=2)
        assert list(frame.columns) == list(fitted.names)
        assert one.statement() == fitted.statement()
        one.save(tmp_path / "one")
        loaded = FittedModel.load(tmp_path / "one")
        pd.testing.assert_frame_equal(loaded.sample(50, seed=2), frame)

    def test_the_model_and_its_hidden_branch_stay_as_they_are(self, fitted):
        before = {k: v.clone() for k, v in fitted.model.state_dict().items()}
        (one,) = fitted.replicates(1, seed=1)
        after, other = fitted.model.state_dict(), one.model.state_dict()
        assert all(torch.equal(before[k], after[k]) for k in before)
        for name in before:
            kept = name.startswith(("inner", "outer"))
            assert torch.equal(before[name], other[name]) == kept or "mask" in name, name

    def test_progress_is_told(self, fitted):
        told = []
        fitted.replicates(2, seed=1, progress=lambda done, total: told.append((done, total)))
        assert told == [(0, 2), (1, 2), (2, 2)]

    @pytest.mark.parametrize("count", [0, -1, 1001])
    def test_a_count_out_of_range_is_refused(self, fitted, count):
        with pytest.raises(InputError, match="ask for 1 to 1000"):
            fitted.replicates(count, seed=1)

    def test_a_model_without_measured_pairs_is_refused(self, fit, population):
        rng = np.random.default_rng(1)
        plain = fit(population(500, rng), rng=rng, training=None, generator="independent")
        with pytest.raises(InputError, match="fitted without measured pairs"):
            plain.replicates(2, seed=1)
        with pytest.raises(InputError, match="fitted without measured pairs"):
            plain.expected_errors(replicates=2, seed=1)


def test_the_noise_of_the_count_is_that_of_the_statement(fitted):
    (record,) = [r for r in fitted.privacy.events if r.label == "count: rows"]
    assert count_std(fitted) == record.event["noise_multiplier"] > 1
    assert count_std(replace(fitted, max_rows_per_unit=3)) == 3 * count_std(fitted)


def test_answers_about_a_simulated_table_have_the_noise_that_is_stated():
    world = np.array([[0, 0], [1, 1], [1, 0]])
    shares = (np.array([1 / 3, 2 / 3]), np.array([2 / 3, 1 / 3]))
    measured = Measured(
        rows=1000.0,
        one_way=shares,
        one_way_std=1e6,
        pairs=((0, 1),),
        tables=(np.zeros((2, 2)),),
        std=20.0,
    )
    rng = np.random.default_rng(5)
    off, rows = [], []
    for _ in range(500):
        made = simulated(world, measured, count_std=7.0, rng=rng)
        assert made.codes.shape == (1000, 2)
        off.append(made.measured.tables[0] - counts(made.codes, (0, 1), (2, 2)))
        rows.append(made.measured.rows - 1000)
    # 2,000 and 500 normal numbers: a deviation is off by more than 8 % or 16 % less than once in a
    # million runs.
    assert np.std(off) == pytest.approx(20.0, rel=0.08)
    assert np.std(rows) == pytest.approx(7.0, rel=0.16)


def test_without_noise_the_simulated_answers_are_exact():
    rng = np.random.default_rng(5)
    world = rng.integers(0, 3, (500, 2))
    measured = Measured(
        rows=800.0,
        one_way=(np.full(3, 1 / 3), np.full(3, 1 / 3)),
        one_way_std=1e-9,
        pairs=((0, 1),),
        tables=(np.zeros((3, 3)),),
        std=1e-9,
    )
    made = simulated(world, measured, count_std=0.0, rng=rng)
    np.testing.assert_allclose(made.measured.tables[0], counts(made.codes, (0, 1), (3, 3)))
    np.testing.assert_allclose(
        made.measured.one_way[1], np.bincount(made.codes[:, 1], minlength=3) / 800
    )


class TestSavedModels:
    def test_what_was_measured_comes_back_bit_by_bit(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        loaded = FittedModel.load(tmp_path / "model")
        old, new = fitted.measured, loaded.measured
        assert (old.rows, old.one_way_std, old.std, old.pairs) == (
            new.rows,
            new.one_way_std,
            new.std,
            new.pairs,
        )
        for mine, other in zip(old.tables + old.one_way, new.tables + new.one_way, strict=True):
            np.testing.assert_array_equal(mine, other)
        assert loaded.to_files() == fitted.to_files()

    @pytest.mark.parametrize("harm", ["cut", "change", "remove", "remove both"])
    def test_damaged_tables_are_found(self, fitted, tmp_path, harm):
        fitted.save(tmp_path / "model")
        path = tmp_path / "model" / "measured.safetensors"
        data = path.read_bytes()
        if harm == "cut":
            path.write_bytes(data[:-8])
        elif harm == "change":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        else:
            path.unlink()
        if harm == "remove both":
            unlist(path.parent / "checksums.json")
        with pytest.raises(IntegrityError):
            FittedModel.load(tmp_path / "model")


def unlist(sums: Path) -> None:
    lines = [line for line in sums.read_text().splitlines() if "measured" not in line]
    sums.write_text("\n".join(lines).replace(",\n}", "\n}"))


@pytest.mark.slow
@pytest.mark.usefixtures("fewer_drawn_rows")
def test_replicates_scatter_as_repeated_private_fits_do(fit, population):
    """The tables of all repeated fits are new ones, as the simulated tables are.

    24 deviations on each side are known to about 1 / sqrt(2 * 23) = 15 % each; the mean of log
    ratios over 9 codes, which go together by threes or so, to about 0.12. So a ratio outside
    0.6 .. 1.67 comes by chance less than once in 10,000 runs.
    """
    rng = np.random.default_rng(77)
    times = 24
    real = [shares(fit(population(2000, rng), rng=rng).sample(rng=rng)) for _ in range(times)]
    model = fit(population(2000, rng), rng=rng)
    made = [shares(one.sample(rng=rng)) for one in model.replicates(times, rng=rng)]
    ratios = np.std(made, axis=0) / np.std(real, axis=0)
    assert 0.6 < np.exp(np.log(ratios).mean()) < 1.67
    # The control: the synthetic tables of one model scatter far less.
    same = [shares(model.sample(rng=rng)) for _ in range(times)]
    assert np.exp(np.log(np.std(same, axis=0) / np.std(real, axis=0)).mean()) < 0.4


def shares(frame: pd.DataFrame) -> np.ndarray:
    """Shares of some codes and pairs of codes."""
    singles = [(frame[n] == c).mean() for n, c in (("a", "0"), ("b", "1"), ("d", "1"))]
    pairs = [
        ((frame["a"] == p) & (frame["b"] == q)).mean() for p, q in itertools.product("01", "012")
    ]
    return np.array([*singles, *pairs])


def test_make_replicates_gives_the_table_that_played_the_private_one(fitted, fewer_drawn_rows):
    (one,) = make_replicates(fitted, 1, rng=np.random.default_rng(2))
    assert one.simulated.codes.shape == (fitted.rows, 4)
    assert one.model.measured is one.simulated.measured
