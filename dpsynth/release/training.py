"""What the monitor saw while the generator was trained: the public document `training.json`.

Made from samples of the generator and noisy counts that were paid for before training, so it looks
at no private row and costs no budget. The finished model's rows, drawn as they are released, get a
last look of their own; the alarms that hold there are what the gate asks about.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dpsynth.errors import IntegrityError
from dpsynth.release.canonical import check_format, parse_json, pretty_json

FORMAT: Literal["dpsynth.training/1"] = "dpsynth.training/1"
#: The file below `internal/`, and below `public/` where the table may be shared.
NAME = "training.json"

#: A column's entropy counts as lost below this part of the table's; above it is a note.
ENTROPY_BOUND = 0.9
#: The same for the variance of a number.
VARIANCE_BOUND = 0.75
#: Combinations of two columns count as lost beyond this share of those that would be missed.
PAIRS_BOUND = 0.05


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Settings(_Frozen):
    """What was fixed before the first look.

    Attributes:
        alpha: probability of any false alarm in the whole training, if the generator were perfect.
        looks: planned, the one at the finished model among them.
        patience: looks without a better score after which training may stop.
        least_looks: looks before which it never does.
    """

    alpha: float = Field(gt=0, lt=1)
    looks: int = Field(ge=1)
    patience: int = Field(ge=1)
    least_looks: int = Field(ge=1)


class MissingMode(_Frozen):
    """A value, or range of values, that the table surely has and the sample lacks.

    Attributes:
        column: index among `columns`.
        code: of that column.
        expected: its noisy share of the rows.
        at_least: the share that it surely has.
        share: what the sample has of it.
    """

    column: int = Field(ge=0)
    code: int = Field(ge=0)
    expected: float
    at_least: float = Field(ge=0, le=1)
    share: float = Field(ge=0, le=1)


class Look(_Frozen):
    """One look at the generator.

    Attributes:
        step: of the training.
        rows: that were drawn for it.
        tvd_one_way, tvd_pairs: distance to the noisy counts of columns and of pairs, from 0 to 1,
            less what noise and chance do; None without pairs.
        score: of both distances together; lower is better.
        stderr: standard error of the score.
        entropies, variances: for each column the sample's over the table's; None where the noise
            hides the table's, and for the variance of categories.
        entropy_column, variance_column: where the ratio is smallest.
        missing: modes that the sample lacks.
        live_pairs: combinations of two columns' values whose absence would be noticed.
        lost_pairs: how many of them the sample lacks.
        narrow, shrunk: columns whose entropy or variance is surely too low.
        alarms: all of it in sentences: modes, combinations, entropies, variances, in this order.
        collapse: those of them that tell of variety which an earlier look still had.
        entropy_ratio, variance_ratio: the smallest.
    """

    step: int = Field(ge=0)
    rows: int = Field(ge=1)
    tvd_one_way: float = Field(ge=0, le=1)
    tvd_pairs: float | None = Field(ge=0, le=1)
    score: float
    stderr: float = Field(ge=0)
    entropies: tuple[float | None, ...]
    variances: tuple[float | None, ...]
    entropy_column: str | None
    variance_column: str | None
    missing: tuple[MissingMode, ...]
    live_pairs: int = Field(ge=0)
    lost_pairs: int = Field(ge=0)
    narrow: tuple[int, ...]
    shrunk: tuple[int, ...]
    alarms: tuple[str, ...]
    collapse: tuple[str, ...]
    entropy_ratio: float
    variance_ratio: float | None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        smallest = min((ratio for ratio in self.variances if ratio is not None), default=None)
        known = [ratio for ratio in self.entropies if ratio is not None]
        columns = len({mode.column for mode in self.missing})
        holds = (
            len(self.entropies) == len(self.variances) > 0
            and all(0 <= j < len(self.entropies) for j in (*self.narrow, *self.shrunk))
            and all(mode.column < len(self.entropies) for mode in self.missing)
            and self.lost_pairs <= self.live_pairs
            # One sentence a column, or two: for modes that went, and for those that never were.
            and columns <= self._mode_sentences <= 2 * columns
            and set(self.collapse) <= set(self.alarms)
            and (self.entropy_ratio, self.variance_ratio) == (min(known, default=1.0), smallest)
        )
        if not holds:
            raise ValueError(f"the look at step {self.step} contradicts itself")
        return self

    @property
    def _mode_sentences(self) -> int:
        others = len(self.narrow) + len(self.shrunk) + (self.lost_pairs > 0)
        return len(self.alarms) - others

    @property
    def counted(self) -> tuple[str, ...]:
        """The alarms that a policy counts: every mode that is missing, and material losses."""
        return tuple(text for text, counts in self._judged if counts)

    @property
    def notes(self) -> tuple[str, ...]:
        """The other alarms: true findings, too small to stop a release."""
        return tuple(text for text, counts in self._judged if not counts)

    @property
    def _judged(self) -> list[tuple[str, bool]]:
        counts = [True] * self._mode_sentences
        if self.lost_pairs:
            counts.append(self.lost_pairs > PAIRS_BOUND * self.live_pairs)
        counts += [(self.entropies[j] or 0.0) < ENTROPY_BOUND for j in self.narrow]
        counts += [(self.variances[j] or 0.0) < VARIANCE_BOUND for j in self.shrunk]
        return list(zip(self.alarms, counts, strict=True))


class Training(_Frozen):
    """Content of `training.json`.

    Attributes:
        settings: of the monitor.
        columns: the names of the modelled columns, in the order of the looks' figures.
        best_step: step of the look with the lowest score, the finished model's among them.
        stopped_early: whether training ended before its planned steps, those of `released`.
        readings: the looks during training, in order.
        released: the look at rows of the finished model, drawn as they are released.
        alarms: those of `released` that a policy counts.
        notes: its other alarms, too small for that.
    """

    format: Literal["dpsynth.training/1"] = FORMAT
    settings: Settings
    columns: tuple[str, ...]
    best_step: int
    stopped_early: bool
    readings: tuple[Look, ...]
    released: Look
    alarms: tuple[str, ...]
    notes: tuple[str, ...]

    @model_validator(mode="after")
    def _follows(self) -> Self:
        looks = (*self.readings, self.released)
        if any(len(look.entropies) != len(self.columns) for look in looks):
            raise ValueError("a look has other columns than are named")
        if any(later.step < look.step for look, later in pairwise(looks)):
            raise ValueError("the looks are not in order")
        for name, found in _derived(self.readings, self.released).items():
            if getattr(self, name) != found:
                raise ValueError(f"{name} is not what the looks give")
        return self

    @classmethod
    def of(cls, watched: Mapping[str, Any] | None) -> Self | None:
        """The document of a model, from what the monitor kept of its training.

        Args:
            watched: `FittedModel.watched`: the curve, with the look at the finished model under
                "released"; None where nothing was kept.

        Returns:
            None where no look at the finished model was kept.

        Raises:
            IntegrityError: it is no such curve.
        """
        if watched is None or watched.get("released") is None:
            return None
        facts = json.loads(json.dumps(dict(watched)))
        try:
            readings = [Look.model_validate_json(json.dumps(look)) for look in facts["readings"]]
            released = Look.model_validate_json(json.dumps(facts["released"]))
            if readings and readings[-1] == released:  # the monitor's curve ends with it
                readings.pop()
            return cls(
                settings=Settings.model_validate_json(json.dumps(facts["settings"])),
                columns=tuple(facts["columns"]),
                readings=tuple(readings),
                released=released,
                **_derived(readings, released),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise IntegrityError(
                f"what the monitor saw of the training cannot be read ({_fault(error)}); use an "
                "unchanged model"
            ) from error

    def to_json_text(self) -> str:
        """The one text that this document has."""
        return pretty_json(self.model_dump(mode="json"))

    @classmethod
    def from_json_text(cls, text: str) -> Self:
        """Read what `to_json_text` wrote.

        Raises:
            IntegrityError: not JSON, another format, a field that is missing or unknown, or one
                that does not follow from the looks.
        """
        check_format(parse_json(text, name=NAME), known=FORMAT, name=NAME)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise IntegrityError(
                f"{NAME}: {_fault(error)}; it was cut short or changed, ask for it again"
            ) from error


def _derived(readings: tuple[Look, ...] | list[Look], released: Look) -> dict[str, Any]:
    """What follows from the looks."""
    return {
        "best_step": min((*readings, released), key=lambda look: look.score).step,
        "stopped_early": bool(readings) and readings[-1].step < released.step,
        "alarms": released.counted,
        "notes": released.notes,
    }


def _fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"])) or "the text"
    return f"{where}: {fault['msg']}"
