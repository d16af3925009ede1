"""Every row has the model's distribution, counts vary less, threads change nothing."""

import numpy as np
import pytest
import torch

from dpsynth.generators import autoregressive
from dpsynth.sampling import drawing
from dpsynth.sampling.blocks import cut, on_threads, streams
from dpsynth.sampling.drawing import draw_rows, pick, spread_uniforms

from .conftest import CELLS, SIZES, cell_counts, chi_square, law, small_model

# Of a chi-square with 71 degrees of freedom, passed by chance once in a million.
LIMIT = 139.0


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_single_row_of_a_block_has_the_models_distribution(hidden: int) -> None:
    """The eighth row of 3,000 blocks of 12: independent draws, so chi-square; alarm rate 1e-6."""
    model = small_model(hidden)
    columns, rng = autoregressive.columns(model), np.random.default_rng(3)
    rows = [drawing._draw(columns, 12, {}, rng=s).codes[7] for s in streams(3000, rng=rng)]
    assert chi_square(cell_counts(np.array(rows)), law(model)) < LIMIT


def test_the_chi_square_sees_another_model() -> None:
    """Control: rows of a model without the hidden branch against the law of one with it."""
    columns = autoregressive.columns(small_model(0))
    codes = draw_rows(columns, 6000, rng=np.random.default_rng(3))
    assert chi_square(cell_counts(codes), law(small_model(5))) > LIMIT


def test_counts_of_pairs_vary_less_than_multinomially() -> None:
    """Mean square error of pair counts over 150 samples of 1,000 rows, as a share of n p (1 - p).

    Independent rows have 1 on average, with a standard deviation of the mean over pairs and samples
    below 0.03.
    """
    model = small_model(0)
    columns, chances = autoregressive.columns(model), law(model).reshape(SIZES)
    pair = chances.sum(axis=(1, 2))
    ratios = {"spread": [], "free": []}
    for stream in streams(150, rng=np.random.default_rng(4)):
        codes = draw_rows(columns, 1000, rng=stream)
        free = stream.choice(CELLS, 1000, p=law(model))
        for name, cells in (("spread", cell_counts(codes)), ("free", np.bincount(free))):
            whole = np.pad(cells, (0, CELLS - len(cells))).reshape(SIZES).sum(axis=(1, 2))
            ratios[name].append(np.square(whole - 1000 * pair) / (1000 * pair * (1 - pair)))
    assert np.mean(ratios["free"]) > 0.85
    assert np.mean(ratios["spread"]) < 0.5


def test_the_number_of_threads_changes_nothing() -> None:
    columns, before = autoregressive.columns(small_model(5)), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(draw_rows(columns, 140_000, rng=np.random.default_rng(1)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_stream_moves_on_and_no_rows_are_no_rows() -> None:
    columns, rng = autoregressive.columns(small_model(0)), np.random.default_rng(1)
    one, two = (draw_rows(columns, 500, rng=rng) for _ in range(2))
    assert not np.array_equal(one, two)
    assert draw_rows(columns, 0, rng=rng).shape == (0, len(SIZES))


def test_blocks_are_equal_up_to_one_row() -> None:
    assert cut(10, most=4) == [4, 3, 3]
    assert cut(4, most=4) == [4]
    assert cut(0) == []


def test_an_error_in_a_thread_is_raised_and_threads_are_put_back() -> None:
    def fails(item: int, rng: np.random.Generator) -> int:
        raise ValueError(f"item {item}")

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="item 3"):
        on_threads([3, 4], fails, rng=np.random.default_rng(0))
    assert torch.get_num_threads() == before


def test_codes_of_chance_zero_are_never_picked() -> None:
    logits = torch.tensor([[-np.inf, 0.0, -np.inf, -200.0, -np.inf]]).repeat(4, 1)
    uniforms = np.array([0.0, 0.5, 1 - 2**-53, 1 - 2**-25])
    assert pick(logits.clone(), uniforms).tolist() == [1, 1, 1, 1]
    alone = torch.full((2, 3), -np.inf)
    alone[:, 2] = -1e4
    assert pick(alone, np.array([0.0, 1 - 2**-53])).tolist() == [2, 2]


def test_rows_of_equal_keys_get_uniforms_far_apart() -> None:
    """Counts of uniforms in tenths differ by a few from their share; free ones by sqrt(n)."""
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 3, 30_000)
    uniforms = spread_uniforms([(keys, 3)], 30_000, rng=rng)
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    for key in range(3):
        mine = uniforms[keys == key]
        assert abs(np.histogram(mine, 10, (0, 1))[0] - len(mine) / 10).max() < 8
    # No order is left among equals: neighbours do not know of each other.
    assert abs(np.corrcoef(uniforms[:-1], uniforms[1:])[0, 1]) < 0.03


def test_keys_that_do_not_fit_are_left_out() -> None:
    keys = [(np.zeros(10, dtype=np.int64), 1 << 28), (np.arange(10), 1 << 20)]
    assert len(set(spread_uniforms(keys, 10, rng=np.random.default_rng(0)))) == 10
