"""The steps that step_cost.py compares do the same thing, so that their times can be compared."""

import importlib
from typing import Any

import pytest
import torch

PRIVATE = ("private", "ghost", "hooks")


@pytest.fixture
def networks() -> Any:
    return importlib.import_module("step_cost_networks")


@pytest.fixture
def gradients(networks, monkeypatch):
    """Gradients that each way hands to Adam, hardly clipped and hardly noised."""
    made: list[Any] = []
    fresh = networks.Setting.model
    monkeypatch.setattr(networks.Setting, "model", lambda s: made.append(fresh(s)) or made[-1])
    codes = torch.randint(0, 3, (40, 4), generator=torch.Generator().manual_seed(0))

    def find(generator: str, *, clip_norm: float = 1e3) -> dict[str, Any]:
        setting = networks.Setting(generator, (3, 4, 3, 5), codes, 8, clip_norm, 1e-3)
        found = {}
        for way in ("plain", *PRIVATE):
            made.clear()
            getattr(networks, way)(setting)()
            grads = [p.grad.flatten() for p in made[0].parameters() if p.requires_grad]
            found[way] = torch.cat(grads).double()
        return found

    return find


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("generator", ["vae", "gan", "diffusion"])
def test_all_ways_make_the_same_gradient(gradients, networks, monkeypatch, generator: str) -> None:
    monkeypatch.setattr(networks, "HOOKS_FLOATS", 10_000)  # several blocks of rows
    found = gradients(generator)
    assert float(found["plain"].norm()) > 1e-2
    for name in PRIVATE:
        assert torch.allclose(found[name], found["plain"], atol=3e-4), name


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_all_private_ways_clip_alike(gradients) -> None:
    found = gradients("vae", clip_norm=0.1)
    assert not torch.allclose(found["private"], found["plain"], atol=3e-3)
    for name in ("ghost", "hooks"):
        assert torch.allclose(found[name], found["private"], atol=3e-4), name
