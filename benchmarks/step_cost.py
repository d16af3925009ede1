"""What privacy costs a training step: the private step over the same step without privacy.

    python benchmarks/step_cost.py [--columns 15 30 60] [--rows 8192 32768] [--repeats 21]
        [--hidden 0] [--networks vae gan diffusion] [--units 128] [--opacus] [--json FILE]

Both steps run the flagship forward, its gradient and Adam on the same batch in the same blocks of
rows, in one thread. The private one adds per-example norms, clipping, fixed-point rounding, sums in
double precision and ChaCha20 noise; it goes through the curator's own gradient channel. The other
one is plain autograd, which takes the same short cuts (no one-hot rows, one exponential for all
columns). They are timed in turn (A B A B ...) in one process, and the median of the paired ratios
is printed, since machines are noisy: of wall time and of the process's CPU time.

Opacus's ghost clipping and its per-example hooks train the same linear map over the one-hot rows.
They are timed beside a plain step of the same number of rows, and on fewer rows where more would
take minutes or gigabytes; the table says on how many.

With --networks the other networks are timed in place of the flagship, as step_cost_networks.py
tells; every third of their columns is a number.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import step_cost_networks as networks
import torch
from step_cost_networks import NETWORKS, Setting
from torch import Tensor, nn

from dpsynth.generators import autoregressive
from dpsynth.generators.base import Layout, column_cross_entropy
from dpsynth.privacy.clipping import clipper_for
from dpsynth.privacy.curator import GradientChannel
from dpsynth.privacy.noise import secure_noise

CODES_A_COLUMN = 12
ROWS_AT_ONCE = 1024
CLIP_NORM = 7.0
NOISE = 300.0
GHOST_ROWS = 4096
HOOKS_ROWS = 256
HOOKS_FLOATS = 2**25
"""Numbers of per-example gradients that the hooks may hold at once: an eighth of a gigabyte."""

Step = Callable[[], None]


@dataclass(frozen=True)
class Cost:
    """One system's step beside the plain step of as many rows."""

    columns: int
    rows: int
    system: str
    plain_ms: float
    system_ms: float
    ratio: float
    quartiles: tuple[float, float]
    cpu_ratio: float


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    # Rows are data and need no gradient; torch remarks on that for Opacus's hooks.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    print("| columns | rows | system | plain ms | system ms | ratio | quartiles | CPU ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    found: list[Cost] = []
    for cost in _costs(arguments):
        found.append(cost)
        low, high = cost.quartiles
        print(
            f"| {cost.columns} | {cost.rows} | {cost.system} | {cost.plain_ms:.1f} | "
            f"{cost.system_ms:.1f} | {cost.ratio:.2f} | {low:.2f} to {high:.2f} | "
            f"{cost.cpu_ratio:.2f} |",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(c) for c in found], indent=1) + "\n")


def _costs(arguments: argparse.Namespace) -> Iterator[Cost]:
    if arguments.networks:
        yield from _network_costs(arguments)
        return
    for columns in arguments.columns:
        sizes = (CODES_A_COLUMN,) * columns
        for rows in arguments.rows:
            codes = _codes(sizes, rows)
            private = _private_step(_model(sizes, arguments.hidden), codes)
            plain = _plain_step(_model(sizes, arguments.hidden), codes)
            yield _paired(columns, rows, "dpsynth", plain, private, arguments.repeats)
        if arguments.opacus:
            codes = _codes(sizes, GHOST_ROWS)
            plain = _plain_step(_model(sizes, 0), codes)
            ghost = _ghost_step(sizes, codes)
            yield _paired(columns, GHOST_ROWS, "Opacus ghost", plain, ghost, arguments.repeats)
            codes = codes[:HOOKS_ROWS]
            plain = _plain_step(_model(sizes, 0), codes)
            hooks = _hooks_step(sizes, codes)
            yield _paired(columns, HOOKS_ROWS, "Opacus hooks", plain, hooks, arguments.repeats)


def _network_costs(arguments: argparse.Namespace) -> Iterator[Cost]:
    ways = [("dpsynth", networks.private, max(arguments.rows))]
    if arguments.opacus:
        ways += [("Opacus ghost", networks.ghost, GHOST_ROWS)]
        ways += [("Opacus hooks", networks.hooks, HOOKS_ROWS)]
    for name in arguments.networks:
        for columns in arguments.columns:
            sizes = (CODES_A_COLUMN,) * columns
            for way, made, most in ways:
                for rows in sorted({min(count, most) for count in arguments.rows}):
                    codes = _codes(sizes, rows)
                    setting = Setting(name, sizes, codes, arguments.units, CLIP_NORM, NOISE)
                    plain, private = networks.plain(setting), made(setting)
                    title = f"{name}: {way}"
                    yield _paired(columns, rows, title, plain, private, arguments.repeats)


def _codes(sizes: tuple[int, ...], rows: int) -> Tensor:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, size, rows) for size in sizes]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.uint8))


def _model(sizes: tuple[int, ...], hidden: int) -> autoregressive.Autoregressive:
    layout = Layout(sizes, tuple(np.full(s, 1 / s) for s in sizes), 1e4)
    options = {"hidden": float(hidden)}
    return autoregressive.build(layout, options=options, rng=np.random.default_rng(0))


def _plain_step(model: autoregressive.Autoregressive, codes: Tensor) -> Step:
    """The same step without privacy: summed loss, autograd, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        for rows in torch.split(codes, ROWS_AT_ONCE):
            autoregressive.per_example_loss(model, rows.long()).sum().backward()
        for parameter in model.parameters():
            parameter.grad /= len(codes)
        optimizer.step()

    return step


def _private_step(model: autoregressive.Autoregressive, codes: Tensor) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    clipper = clipper_for(model, autoregressive.per_example_loss, max_grad_norm=CLIP_NORM)
    channel = GradientChannel(
        clipper=clipper,
        codes=codes,
        steps=10**6,
        sample_rate=1.0,
        scale=NOISE,
        noise=secure_noise(),
    )

    def step() -> None:
        for parameter, noisy in zip(model.parameters(), channel.ask(), strict=True):
            parameter.grad = (noisy / len(codes)).to(parameter.dtype)
        optimizer.step()

    return step


def _one_hot(sizes: tuple[int, ...], codes: Tensor) -> Tensor:
    parts = [nn.functional.one_hot(codes[:, j].long(), s) for j, s in enumerate(sizes)]
    return torch.cat(parts, 1).float()


def _ghost_step(sizes: tuple[int, ...], codes: Tensor) -> Step:
    """Opacus's ghost clipping of one dense linear layer."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    width = sum(sizes)
    model = GradSampleModuleFastGradientClipping(
        nn.Linear(width, width),
        max_grad_norm=CLIP_NORM,
        use_ghost_clipping=True,
        loss_reduction="sum",
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    hot = _one_hot(sizes, codes)

    def step() -> None:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for rows, inputs in _blocks(codes, hot, ROWS_AT_ONCE):
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
        _noisy_update(optimizer, total, len(codes))

    return step


def _hooks_step(sizes: tuple[int, ...], codes: Tensor) -> Step:
    """Opacus's per-example gradients of one dense linear layer, clipped and summed."""
    from opacus.grad_sample import GradSampleModule

    width = sum(sizes)
    model = GradSampleModule(nn.Linear(width, width), loss_reduction="sum")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    hot = _one_hot(sizes, codes)
    at_once = max(1, HOOKS_FLOATS // width**2)

    def step() -> None:
        total = [torch.zeros_like(p) for p in model.parameters()]
        for rows, inputs in _blocks(codes, hot, at_once):
            optimizer.zero_grad()
            column_cross_entropy(model(inputs), rows, sizes).sum().backward()
            grads = [p.grad_sample for p in model.parameters()]
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads]).norm(dim=0)
            factors = (CLIP_NORM / norms).clamp(max=1.0)
            for part, grad in zip(total, grads, strict=True):
                part += torch.tensordot(factors, grad, dims=1)
            for parameter in model.parameters():
                parameter.grad_sample = None
        _noisy_update(optimizer, total, len(codes))

    return step


def _blocks(codes: Tensor, hot: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    for rows, inputs in zip(torch.split(codes, at_once), torch.split(hot, at_once), strict=True):
        yield rows.long(), inputs


def _noisy_update(optimizer: torch.optim.Optimizer, total: list[Tensor], rows: int) -> None:
    for part, parameter in zip(total, optimizer.param_groups[0]["params"], strict=True):
        parameter.grad = (part + torch.randn_like(part) * NOISE) / rows
    optimizer.step()


def _paired(columns: int, rows: int, system: str, plain: Step, other: Step, repeats: int) -> Cost:
    """Both steps in turn, `repeats` times after two that do not count."""
    times = np.array([[_timed(plain), _timed(other)] for _ in range(repeats + 2)])[2:]
    wall = times[:, :, 0]
    ratios = times[:, 1] / times[:, 0]
    low, middle, high = np.quantile(ratios[:, 0], [0.25, 0.5, 0.75])
    return Cost(
        columns=columns,
        rows=rows,
        system=system,
        plain_ms=1e3 * float(np.median(wall[:, 0])),
        system_ms=1e3 * float(np.median(wall[:, 1])),
        ratio=float(middle),
        quartiles=(float(low), float(high)),
        cpu_ratio=float(np.median(ratios[:, 1])),
    )


def _timed(step: Step) -> tuple[float, float]:
    """Wall and CPU seconds of one step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, nargs="+", default=[15, 30, 60])
    parser.add_argument("--rows", type=int, nargs="+", default=[8192, 32768])
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--networks", nargs="+", default=[], choices=NETWORKS)
    parser.add_argument("--units", type=int, default=128, help="of the networks' layers")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--opacus", action="store_true", help="also time Opacus")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
