"""Training settings, fixed from public facts before a row is read (no torch: `plan` needs it)."""

from dataclasses import dataclass

from dpsynth.errors import InputError


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
        clip_quantile: the clip norm is this quantile of the gradient norms that rows drawn from
            the noisy one-way marginals have (public), and never above the a-priori bound.
        hidden: units of the flagship's hidden branch.
        hidden_scale: factor on the hidden branch's output.
    """

    steps: int = 150
    sample_rate: float = 1.0
    learning_rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    averaging: float = 0.95
    clip_quantile: float = 0.5
    hidden: int = 0
    hidden_scale: float = 0.25

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

    @property
    def sampling(self) -> str:
        """The sampling scheme as executed, for statements."""
        if self.sample_rate >= 1:
            return "full batches: every row takes part in every step"
        return f"Poisson: each row independently with probability {self.sample_rate:g} a step"

    @property
    def generator_options(self) -> dict[str, float]:
        """What a generator's `build` is given."""
        return {"hidden": float(self.hidden), "hidden_scale": self.hidden_scale}

    @classmethod
    def recommended(cls, *, epsilon: float) -> "TrainingOptions":
        """Defaults by the budget alone: a generous one pays for the hidden branch."""
        if epsilon >= 3:
            return cls(hidden=64)
        return cls()
