"""Watching a training for collapse, free of charge: a generator's samples against noisy marginals.

The noisy marginals were paid for before training. Comparing samples with them looks at no private
row, so it may steer the training: pick the best iterate, stop early, raise an alarm.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import InputError
from dpsynth.refinement.measured import Measured
from dpsynth.training.monitoring.alarms import Names, with_alarms
from dpsynth.training.monitoring.diversity import least_losses
from dpsynth.training.monitoring.look import read
from dpsynth.training.monitoring.modes import least_detectable
from dpsynth.training.monitoring.public_answers import KnownNoise, public_answers
from dpsynth.training.monitoring.readings import Reading

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FAMILIES = 4
"""Modes, combinations, entropy and variance share alpha evenly."""


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """What is fixed before the first look.

    Attributes:
        alpha: probability of any false alarm in one training, if the generator is perfect at every
            look.
        looks: planned looks. Further ones are possible; their share of alpha falls quickly.
        patience: looks without a better score after which training should stop.
        least_looks: looks before which it never should.
    """

    alpha: float = 0.01
    looks: int = 50
    patience: int = 8
    least_looks: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha is {self.alpha}; it must be above 0 and below 1")
        for name in ("looks", "patience", "least_looks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")

    def level(self, look: int) -> float:
        """The share of alpha of look number `look` (from 0) in each family of tests.

        Planned looks share three quarters; the rest goes to later ones, 1 / (k (k + 1)) of it to
        the k-th.
        """
        beyond = look - self.looks + 1
        part = 0.75 / self.looks if beyond < 1 else 0.25 / (beyond * (beyond + 1))
        return self.alpha / _FAMILIES * part


class Monitor:
    """Looks at codes drawn from a generator and remembers what it saw.

    Guarantee: if at each look the codes are independent rows of a law whose marginals are the true
    ones, any alarm is raised in a training with probability at most about alpha. Rows that are
    spread out more evenly than independent ones only lower it. So does noise smaller than stated,
    as that of pooled marginals. A generator with more equal shares than the table raises none.
    """

    def __init__(
        self,
        measured: Measured,
        names: Sequence[str],
        *,
        positions: Sequence[FloatArray | None],
        settings: MonitorSettings | None = None,
        noise: KnownNoise | None = None,
        labels: Sequence[Sequence[str]] | None = None,
        readings: Sequence[Reading] = (),
    ) -> None:
        """Take the public answers to compare with.

        Args:
            measured: noisy marginals; pairs may be empty.
            names: of the columns.
            positions: for each column None (categories), or the value of each code, NaN for the
                code of missing values.
            settings: the usual ones if None.
            noise: where it is not `one_way_std` in each one-way cell.
            labels: names of each column's codes, for the sentences.
            readings: of earlier looks at the same training, to go on from.

        Raises:
            InputError: the arguments do not fit together.
        """
        self.settings = settings or MonitorSettings()
        family = self.settings.alpha / _FAMILIES
        self._answers = public_answers(measured, names, positions, noise, level=family / 2)
        labelled = None if labels is None else tuple(tuple(of) for of in labels)
        if labelled is not None and tuple(map(len, labelled)) != measured.sizes:
            raise InputError(
                f"labels name {tuple(map(len, labelled))} codes, the columns have {measured.sizes};"
                " give one label for each code"
            )
        self._names = Names(tuple(names), labelled)
        self._readings = list(readings)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All looks so far, in order."""
        return tuple(self._readings)

    @property
    def best(self) -> Reading:
        """The look with the lowest score, the earliest of equal ones.

        Raises:
            InputError: there was no look yet.
        """
        if not self._readings:
            raise InputError("the monitor has not looked yet; call look first")
        return min(self._readings, key=lambda reading: reading.score)

    @property
    def newest_is_best(self) -> bool:
        """Whether the newest look is the best: the moment to keep a copy of the weights."""
        return bool(self._readings) and self.best is self._readings[-1]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What holds at the best look or at the last; the last comes first."""
        if not self._readings:
            return ()
        return tuple(dict.fromkeys((*self._readings[-1].alarms, *self.best.alarms)))

    @property
    def should_stop(self) -> bool:
        """Whether `patience` looks brought no score better than the noise can tell apart."""
        enough = len(self._readings) >= self.settings.least_looks
        return enough and looks_in_vain(self._readings) >= self.settings.patience

    def curve(self) -> dict[str, Any]:
        """All readings with the settings, for JSON."""
        return {
            "settings": asdict(self.settings),
            "columns": list(self._names.columns),
            "best_step": self.best.step if self._readings else None,
            "readings": [reading.to_dict() for reading in self._readings],
        }

    def least_detectable(self, rows: int, *, power: float = 0.95) -> tuple[float, ...]:
        """For each column the smallest share of a code whose loss one look notices.

        Args:
            rows: codes sampled for the look.
            power: probability of noticing.
        """
        cells = sum(self._answers.sizes)
        alpha, looks = self.settings.alpha / _FAMILIES, self.settings.looks
        return tuple(
            least_detectable(
                float(column.noise.max()), rows, cells=cells, alpha=alpha, looks=looks, power=power
            )
            for column in self._answers.columns
        )

    def least_losses(
        self, rows: int, *, power: float = 0.95
    ) -> tuple[tuple[float, float | None], ...]:
        """For each column the smallest losses of entropy and variance that one look notices.

        As shares of what the column has; None without a variance. Args as `least_detectable`.
        """
        level = self.settings.level(0) / len(self._answers.columns)
        return tuple(
            least_losses(column, law, rows, level=level, power=power)
            for column, law in zip(self._answers.columns, self._answers.laws, strict=True)
        )

    def look(self, codes: IntArray, step: int) -> Reading:
        """Compare a sample of the generator with the public answers.

        Args:
            codes: shape (rows, columns), codes[:, j] in [0, sizes[j]). Ten thousand rows are
                enough where the noise is that of a usual budget.
            step: of the training.

        Raises:
            InputError: the codes do not fit the columns.
        """
        level = self.settings.level(len(self._readings))
        found = read(self._answers, codes, step=step, level=level)
        self._readings.append(with_alarms(found, self._readings, self._names))
        return self._readings[-1]


def looks_in_vain(readings: Sequence[Reading]) -> int:
    """Looks since the score last improved by more than a standard error of the difference.

    Small gains add up: each look is compared with the look of the last clear improvement. The noise
    of the marginals is common to all looks and no part of that error.
    """
    mark, since = None, 0
    for reading in readings:
        if mark is None or mark.score - reading.score > float(
            np.hypot(mark.stderr, reading.stderr)
        ):
            mark, since = reading, 0
        else:
            since += 1
    return since
