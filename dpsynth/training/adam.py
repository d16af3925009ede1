"""Adam (Kingma and Ba, ICLR 2015, Algorithm 1), held against torch's in a test.

Written out since torch's optimizer, when the first one is made, imports its compiler: two seconds,
as long as all gradient steps on a small table.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Adam:
    """Moves tensors in place by noisy gradients.

    Args:
        parameters: what is moved.
        betas: decays of the first and second moments.
        floor: added to the root of the second moment.
    """

    def __init__(
        self, parameters: Sequence[Tensor], *, betas: tuple[float, float], floor: float
    ) -> None:
        self._parameters = tuple(parameters)
        self._betas = betas
        self._floor = floor
        self._first = [torch.zeros_like(p) for p in self._parameters]
        self._second = [torch.zeros_like(p) for p in self._parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], *, learning_rate: float) -> None:
        """One step; `gradients` are shaped as the parameters."""
        self._steps += 1
        one, two = self._betas
        first_scale = 1.0 - one**self._steps
        second_scale = 1.0 - two**self._steps
        for parameter, gradient, first, second in zip(
            self._parameters, gradients, self._first, self._second, strict=True
        ):
            first.mul_(one).add_(gradient, alpha=1.0 - one)
            second.mul_(two).addcmul_(gradient, gradient, value=1.0 - two)
            root = (second / second_scale).sqrt_().add_(self._floor)
            parameter.addcdiv_(first, root, value=-learning_rate / first_scale)

    def state(self) -> dict[str, Tensor]:
        """Moments and step count."""
        found = {"steps": torch.tensor(self._steps)}
        for name, moments in (("first", self._first), ("second", self._second)):
            found |= {f"{name}.{k}": moment for k, moment in enumerate(moments)}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` of parameters of the same shapes."""
        self._steps = int(state["steps"])
        for name, moments in (("first", self._first), ("second", self._second)):
            for k, moment in enumerate(moments):
                moment.copy_(state[f"{name}.{k}"])
