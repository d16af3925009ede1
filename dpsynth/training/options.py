"""Training settings, fixed from public facts before a row is read (no torch: `plan` needs it)."""

from dataclasses import dataclass, replace
from typing import Any

from dpsynth.errors import InputError

MEASURING_GENERATOR = "autoregressive"
"""The generator that starts from measured pairs (named here, as `plan` loads no generator)."""

_BRANCH_BY_EPSILON = ((8.0, 0.3, 128, 100), (2.0, 0.2, 128, 60), (0.0, 0.05, 64, 30))
"""From which epsilon on: gradient share, hidden units, steps."""


_NETWORKS: dict[str, dict[str, Any]] = {
    "vae": {
        "steps": 200,
        "sample_rate": 0.25,
        "learning_rate": 0.01,
        "gradient_share": 0.7,
    },
    "diffusion": {
        "steps": 200,
        "sample_rate": 0.25,
        "learning_rate": 0.01,
        "gradient_share": 0.7,
    },
    "gan": {
        "steps": 200,
        "sample_rate": 0.125,
        "learning_rate": 0.004,
        "maker_rate": 0.005,
        "rehearsals": 400,
        "betas": (0.5, 0.9),
        "clip_quantile": 0.9,
        "gradient_share": 0.7,
    },
}
"""Settings of the networks that are trained through Opacus; see docs/generators.md."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How DP-SGD runs.

    Attributes:
        steps: gradient steps, all charged before the first.
        sample_rate: 1 for full batches (no sampling argument to trust); below 1 for Poisson
            batches.
        learning_rate: of Adam, at the first step; falls linearly to zero.
        betas: Adam's decays.
        averaging: decay of the exponential average of the iterates that becomes the model.
        noise_floor: Adam divides by the root of its second moment plus this many standard
            deviations of the noise in a gradient's entry, so that a weight whose gradient is mere
            noise moves little.
        clip_quantile: the clip norm is this quantile of the gradient norms that simulated rows
            have (public): drawn from the model where it starts from measured pairs, else from the
            noisy one-way marginals.
        gradient_share: share of what is left of mu squared after the domain and the one-way
            marginals that goes to the gradient steps; the rest measures tables of pairs. 1 measures
            none.
        hidden: units of the flagship's hidden branch.
        hidden_scale: factor on the hidden branch's output.
        units: width of the hidden layers of other networks.
        critic_steps: steps of an adversarial generator's critic for each step of its maker.
        maker_rate: Adam's learning rate for the maker.
        rehearsals: steps on public rows before the first private one: rows simulated from measured
            pairs, or those of a warm start; free.
        looks: how often training is compared with the noisy marginals, for best iterate, early
            stopping and alarms.
        device: where the network is trained: "cpu", or "cuda" for those that run there.
    """

    steps: int = 150
    sample_rate: float = 1.0
    learning_rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    averaging: float = 0.95
    noise_floor: float = 0.0
    clip_quantile: float = 0.5
    gradient_share: float = 1.0
    hidden: int = 0
    hidden_scale: float = 0.25
    units: int = 128
    critic_steps: int = 1
    maker_rate: float = 1e-3
    rehearsals: int = 600
    looks: int = 10
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}; at least 1 is needed")
        if not 0 < self.sample_rate <= 1:
            raise InputError(f"sample_rate is {self.sample_rate}; it must be above 0 and at most 1")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(
                f"learning_rate is {self.learning_rate}; it must be above 0 and finite"
            )
        if not 0 < self.clip_quantile <= 1:
            raise InputError(f"clip_quantile is {self.clip_quantile}; it must be in (0, 1]")
        if not 0 < self.gradient_share <= 1:
            raise InputError(f"gradient_share is {self.gradient_share}; it must be in (0, 1]")
        for name in ("units", "critic_steps", "looks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.rehearsals < 0:
            raise InputError(f"rehearsals is {self.rehearsals}; it must be at least 0")
        if not 0 < self.maker_rate < float("inf"):
            raise InputError(f"maker_rate is {self.maker_rate}; it must be above 0 and finite")
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"device is {self.device!r}; allowed: 'cpu', 'cuda'")
        if not 0 <= self.noise_floor < float("inf"):
            raise InputError(f"noise_floor is {self.noise_floor}; it must be at least 0 and finite")

    @property
    def sampling(self) -> str:
        """The sampling scheme as executed, for statements."""
        if self.sample_rate >= 1:
            return "full batches: every row takes part in every step"
        return f"Poisson: each row independently with probability {self.sample_rate:g} a step"

    @property
    def generator_options(self) -> dict[str, float]:
        """What a generator's `build` is given."""
        return {
            "hidden": float(self.hidden),
            "hidden_scale": self.hidden_scale,
            "units": float(self.units),
        }

    @classmethod
    def recommended(
        cls,
        *,
        epsilon: float,
        generator: str = MEASURING_GENERATOR,
        max_rows_per_unit: int = 1,
    ) -> "TrainingOptions":
        """Defaults by the budget, the generator and the unit alone.

        Poisson batches draw rows, so units of several rows are trained on full batches.

        The flagship measures pairs and trains its hidden branch on the rest; the larger the budget,
        the more of it and the more units, since structure of high order is heard late.
        """
        if generator in _NETWORKS:
            found = cls(**_NETWORKS[generator])
            return found if max_rows_per_unit == 1 else replace(found, sample_rate=1.0)
        if generator != MEASURING_GENERATOR:
            return cls()
        share, hidden, steps = next(row[1:] for row in _BRANCH_BY_EPSILON if epsilon >= row[0])
        return cls(
            steps=steps,
            learning_rate=0.1,
            averaging=0.9,
            noise_floor=1.0,
            gradient_share=share,
            hidden=hidden,
            hidden_scale=1.0,
        )
