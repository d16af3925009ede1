"""What the monitor says at one look, as a value that JSON can hold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dpsynth.errors import IntegrityError


@dataclass(frozen=True)
class Missing:
    """A mode that the table surely has and the sample lacks.

    Attributes:
        column: index of the column.
        code: of that column.
        expected: its noisy share.
        at_least: the share that it surely has (lower confidence bound).
        share: what the sample has of it.
    """

    column: int
    code: int
    expected: float
    at_least: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One look at a generator. Made of public things only.

    Attributes:
        step: of the training.
        rows: codes looked at.
        tvd_one_way: total variation distance to the noisy one-way marginals, the mean over columns,
            less what noise and sampling do to a perfect generator; in [0, 1].
        tvd_pairs: the same over the measured pairs; None without pairs.
        score: lower is better; picks the best look (`Monitor.best`).
        stderr: standard error of the score from the sample. The noise is the same at every look.
        entropies: for each column the generator's entropy over the table's, noise taken into
            account; None where the noise hides the table's.
        variances: the same with variances; None also for categorical columns.
        entropy_column, variance_column: names of the columns with the smallest ratio.
        missing: modes that the sample lacks.
        live_pairs: combinations of two codes whose absence would be noticed at this look.
        lost_pairs: how many of them the sample lacks, those of missing modes not counted.
        narrow: indices of the columns whose entropy is surely too low.
        shrunk: indices of the columns whose variance is surely too low.
        alarms: what is wrong, one plain sentence each; empty where all is well.
        collapse: those alarms that tell of diversity that an earlier look still had.
    """

    step: int
    rows: int
    tvd_one_way: float
    tvd_pairs: float | None
    score: float
    stderr: float
    entropies: tuple[float | None, ...]
    variances: tuple[float | None, ...]
    entropy_column: str | None
    variance_column: str | None
    missing: tuple[Missing, ...]
    live_pairs: int
    lost_pairs: int
    narrow: tuple[int, ...] = ()
    shrunk: tuple[int, ...] = ()
    alarms: tuple[str, ...] = ()
    collapse: tuple[str, ...] = ()

    @property
    def entropy_ratio(self) -> float:
        """The smallest over the columns; 1 where no column's entropy can be told from the noise."""
        known = [ratio for ratio in self.entropies if ratio is not None]
        return min(known, default=1.0)

    @property
    def variance_ratio(self) -> float | None:
        """The smallest over the numeric columns; None without one that stands out of the noise."""
        return min((ratio for ratio in self.variances if ratio is not None), default=None)

    @property
    def live(self) -> str:
        """A few words for a progress bar, at most 40 characters."""
        label, apart = ("1-way", self.tvd_one_way)
        if self.tvd_pairs is not None:
            label, apart = "pairs", self.tvd_pairs
        words = f"{label} {_short(apart)}, entropy {100 * min(self.entropy_ratio, 9.99):.0f} %"
        lost = len(self.missing)
        if lost > 99:
            return f"{words}, 99+ lost"
        return words + (f", {lost} mode{'s' * (lost != 1)} lost" if lost else "")

    def to_dict(self) -> dict[str, Any]:
        """JSON form, the two ratios with it; `from_dict` reads it."""
        ratios = {"entropy_ratio": self.entropy_ratio, "variance_ratio": self.variance_ratio}
        return {**asdict(self), **ratios}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Reading":
        """The reading that `to_dict` wrote, also after a trip through JSON.

        Raises:
            IntegrityError: it is not such a reading.
        """
        try:
            found: dict[str, Any] = {field.name: raw[field.name] for field in fields(cls)}
            found["missing"] = [Missing(**mode) for mode in found["missing"]]
            for name, value in found.items():
                found[name] = tuple(value) if isinstance(value, list | tuple) else value
            return cls(**found)
        except (KeyError, TypeError) as error:
            raise IntegrityError(
                f"a reading of the monitor is damaged ({type(error).__name__}: {error}); use an "
                "unchanged checkpoint"
            ) from error


def _short(share: float) -> str:
    """Three decimals without the leading zero."""
    text = f"{share:.3f}"
    return text[1:] if text.startswith("0") else "1.00"
