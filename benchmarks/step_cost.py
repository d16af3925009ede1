"""What privacy costs a training step: the private step over the same step without privacy.

    python benchmarks/step_cost.py [--rows 8192] [--columns 15] [--repeats 21] [--hidden 0]

Both steps run forward, gradient, Adam on the same model and batch; the private one adds per-example
norms, clipping, fixed-point rounding and ChaCha20 noise. They are timed in turn (A B A B ...) in
one process and the median of the paired ratios is printed, since machines are noisy. Opacus's ghost
clipping on the same linear map is timed beside them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dpsynth.generators import autoregressive
from dpsynth.generators.base import Layout, column_cross_entropy
from dpsynth.privacy.clipping import clipper_for
from dpsynth.privacy.noise import add_noise, secure_noise

CODES_A_COLUMN = 14


def main() -> None:
    arguments = _arguments()
    sizes = (CODES_A_COLUMN,) * arguments.columns
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, size, arguments.rows) for size in sizes]
    codes = torch.from_numpy(np.stack(columns, axis=1))
    layout = Layout(sizes, tuple(np.full(s, 1 / s) for s in sizes), float(arguments.rows))
    options = {"hidden": float(arguments.hidden)}
    plain = _plain_step(autoregressive.build(layout, options=options, rng=rng), codes)
    private = _private_step(autoregressive.build(layout, options=options, rng=rng), codes)
    steps: dict[str, Callable[[], None]] = {"plain": plain, "private": private}
    if arguments.opacus:
        steps["opacus ghost"] = _ghost_step(sizes, codes)
    print(json.dumps(_measure(steps, repeats=arguments.repeats), indent=1))


def _plain_step(model: autoregressive.Autoregressive, codes: Tensor) -> Callable[[], None]:
    """The same step without privacy: summed loss, autograd, Adam, in the same blocks of rows."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        for rows in torch.split(codes, 1024):
            autoregressive.per_example_loss(model, rows).sum().backward()
        optimizer.step()

    return step


def _private_step(model: autoregressive.Autoregressive, codes: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=7.0)
    noise = secure_noise()

    def step() -> None:
        sums = clipper.clipped_sum(codes)
        for parameter, total, mask in zip(model.parameters(), sums, clipper.masks(), strict=True):
            noisy = torch.zeros(total.shape, dtype=torch.float64)
            values = add_noise(total[mask].numpy(), scale=300.0, noise=noise)
            noisy[mask] = torch.from_numpy(values)
            parameter.grad = (noisy / len(codes)).float()
        optimizer.step()

    return step


def _ghost_step(sizes: tuple[int, ...], codes: Tensor) -> Callable[[], None]:
    """Opacus's ghost clipping of one dense linear layer over the same one-hot codes."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    width = sum(sizes)
    model = GradSampleModuleFastGradientClipping(
        nn.Linear(width, width), max_grad_norm=7.0, use_ghost_clipping=True, loss_reduction="sum"
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    hot = torch.cat([nn.functional.one_hot(codes[:, j], s) for j, s in enumerate(sizes)], 1).float()

    def step() -> None:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for rows, inputs in zip(torch.split(codes, 1024), torch.split(hot, 1024), strict=True):
            optimizer.zero_grad()
            losses = column_cross_entropy(model(inputs), rows, sizes)
            losses.sum().backward(retain_graph=True)
            factors = model.get_clipping_coef().detach()
            optimizer.zero_grad()
            model.disable_hooks()
            (losses * factors).sum().backward()
            model.enable_hooks()
            for part, parameter in zip(total, model.parameters(), strict=True):
                part += parameter.grad
        for part, parameter in zip(total, model.parameters(), strict=True):
            parameter.grad = part + torch.randn_like(part) * 300.0
        optimizer.step()

    return step


def _measure(steps: dict[str, Callable[[], None]], *, repeats: int) -> dict[str, object]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat >= 2:
                times[name].append(time.perf_counter() - start)
    out: dict[str, object] = {"repeats": repeats, "threads": torch.get_num_threads()}
    for name, taken in times.items():
        ratios = [a / b for a, b in zip(taken, times["plain"], strict=True)]
        out[name] = {
            "median_ms": round(1e3 * statistics.median(taken), 2),
            "ratio_to_plain": round(statistics.median(ratios), 3),
            "ratio_quartiles": [round(float(q), 3) for q in np.quantile(ratios, [0.25, 0.75])],
        }
    return out


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--columns", type=int, default=15)
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--opacus", action="store_true", help="also time Opacus's ghost clipping")
    return parser.parse_args()


if __name__ == "__main__":
    main()
