"""What every registered generator's training must keep to be gone on with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpsynth.errors import IntegrityError
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.training.checkpoint import Saved
from dpsynth.training.descent import Descent
from dpsynth.training.objective import objective
from dpsynth.training.options import TrainingOptions
from dpsynth.training.state_files import STATE, StateFiles

SIZES = (3, 4, 2)
OPTIONS = TrainingOptions(steps=6, units=8, hidden=4, critic_steps=2)
NAMES = registry.names()


class _Channel:
    """Sums that are the same for whoever asks at the same step."""

    steps = 6
    sample_rate = 1.0
    scale = 1.0

    def __init__(self, model: nn.Module, taken: int = 0) -> None:
        self._shapes = [p.shape for p in model.parameters() if p.requires_grad]
        self.taken = taken

    def ask(self) -> list[Tensor]:
        stream = torch.Generator().manual_seed(self.taken)
        self.taken += 1
        return [torch.randn(shape, generator=stream).double() for shape in self._shapes]


def _started(name: str, seed: int, taken: int = 0) -> tuple[nn.Module, Descent, _Channel]:
    rng = np.random.default_rng(seed)
    one_way = tuple(np.random.default_rng(0).dirichlet(np.ones(s)) for s in SIZES)
    layout = Layout(SIZES, one_way, 500.0)
    generator = registry.load(name)
    model = generator.build(layout, options=OPTIONS.generator_options, rng=rng)
    channel = _Channel(model, taken)
    stream = np.random.default_rng(99)  # the public draws of a step: alike in both trainings
    descent = Descent(generator, model, rows=500.0, channel=channel, options=OPTIONS, rng=stream)
    return model, descent, channel


def _losses(name: str, model: nn.Module) -> Tensor:
    rng = np.random.default_rng(4)
    codes = torch.from_numpy(np.stack([rng.integers(0, s, 20) for s in SIZES], axis=1))
    return objective(registry.load(name), rng=rng)(model, codes).detach()


def _saved(folder: Path) -> Saved:
    saved = StateFiles(folder, begun=3).saved
    assert saved is not None
    return saved


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_training_takes_the_same_steps(name: str, tmp_path: Path) -> None:
    """Another start, the same state: weights, averages, moments, step and rate all come back."""
    model, descent, channel = _started(name, seed=1)
    files = StateFiles(tmp_path)
    files.fix(max_grad_norm=0.5)
    for _ in range(3):
        descent.step(channel.ask())
    files.save(descent, None)
    fresh, going_on, later = _started(name, seed=2, taken=3)
    saved = _saved(tmp_path)
    going_on.restore(saved.descent)
    assert (saved.max_grad_norm, saved.taken, going_on.step_number) == (0.5, 3, 3)
    torch.testing.assert_close(going_on.state(), descent.state(), rtol=0, atol=0)
    torch.testing.assert_close(_losses(name, fresh), _losses(name, model), rtol=0, atol=0)
    # Public draws go on from where the stream is: both streams start anew here.
    for one in (descent, going_on):
        if one._rival is not None:
            one._rival._rng = np.random.default_rng(7)
    for _ in range(2):
        descent.step(channel.ask())
        going_on.step(later.ask())
    torch.testing.assert_close(going_on.state(), descent.state(), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_starts_anew_takes_other_steps(name: str) -> None:
    """Control: without the state, the same sums lead elsewhere."""
    _, descent, channel = _started(name, seed=1)
    for _ in range(3):
        descent.step(channel.ask())
    _, anew, later = _started(name, seed=1, taken=3)
    anew.skip_to(3)
    descent.step(channel.ask())
    anew.step(later.ask())
    one, other = descent.state(), anew.state()
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_another_shape_is_refused(name: str) -> None:
    _, descent, _ = _started(name, seed=1)
    state = descent.state()
    state["model.other"] = torch.zeros(2)
    with pytest.raises(IntegrityError, match="a network of another shape"):
        descent.restore(state)


def _kept(folder: Path) -> StateFiles:
    _, descent, channel = _started("independent", seed=1)
    files = StateFiles(folder)
    files.fix(max_grad_norm=0.5)
    for _ in range(2):
        descent.step(channel.ask())
        files.save(descent, None)
    return files


def test_one_state_is_kept_and_no_half_written_file(tmp_path: Path) -> None:
    _kept(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-2.safetensors", STATE]


def test_a_state_that_was_cut_off_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends between the new state and the file that points to it."""
    _, descent, channel = _started("independent", seed=1)
    files = StateFiles(tmp_path)
    files.fix(max_grad_norm=0.5)
    descent.step(channel.ask())
    files.save(descent, None)
    expected = descent.state()
    descent.step(channel.ask())
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.name == STATE:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.save(descent, None)
    monkeypatch.undo()
    torch.testing.assert_close(dict(_saved(tmp_path).descent), expected, rtol=0, atol=0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("state-2.safetensors", Path.unlink),
        ("state-2.safetensors", _cut),
        ("state-2.safetensors", _flip),
        (STATE, _cut),
        (STATE, lambda path: path.write_text("[]")),
        (STATE, lambda path: path.write_text('{"step": 2, "state": "../x.safetensors"}')),
        (STATE, lambda path: path.write_text(path.read_text().replace("max_grad_norm", "norm"))),
        (STATE, lambda path: path.write_text(path.read_text().replace("[]", '[{"step": 1}]'))),
    ],
)
def test_a_harmed_state_is_refused_by_name(
    name: str, harm: Callable[[Path], object], tmp_path: Path
) -> None:
    _kept(tmp_path)
    harm(tmp_path / name)
    with pytest.raises(IntegrityError, match=r"(state-2\.safetensors|training\.json): .*unchanged"):
        StateFiles(tmp_path)
