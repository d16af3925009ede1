"""The optimizer written out does what torch's does."""

import numpy as np
import pytest
import torch

from dpsynth.training.adam import Adam


@pytest.mark.parametrize("floor", [1e-8, 0.3])
def test_steps_are_those_of_torch(floor: float) -> None:
    """Thirty steps of two parameters under a falling learning rate, to 1e-5."""
    rng = np.random.default_rng(0)
    start = [torch.from_numpy(rng.normal(0, 1, s).astype(np.float32)) for s in ((3, 4), (5,))]
    mine = [p.clone() for p in start]
    theirs = [torch.nn.Parameter(p.clone()) for p in start]
    ours = Adam(mine, betas=(0.9, 0.99), floor=floor)
    reference = torch.optim.Adam(theirs, lr=0.1, betas=(0.9, 0.99), eps=floor)
    for step in range(30):
        rate = 0.1 * (1 - step / 30)
        gradients = [torch.from_numpy(rng.normal(0, 1, p.shape).astype(np.float32)) for p in start]
        ours.step(gradients, learning_rate=rate)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-5, atol=1e-5)
    moved = max(float((a - b).abs().max()) for a, b in zip(mine, start, strict=True))
    assert moved > 0.1  # control: there was something to compare
