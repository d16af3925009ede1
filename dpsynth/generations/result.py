"""What an experiment over generations found, as data: JSON, CSV, and a few plain lines."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth.generations.curves import MEASURES

#: Stands over every file that the experiment writes.
INTERNAL = (
    "internal: not covered by epsilon. These figures read real rows without noise; the synthetic "
    "tables behind them were thrown away."
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One mode's figures.

    Attributes:
        mode: its name.
        note: what was done about real rows.
        training_rows: rows that each generation was fitted to, from generation 1.
        real_rows: how many of them were real.
        figures: by measure, from generation 0; None where a figure has no meaning.
        theory: by measure, from generation 0: what an ideal refit is expected to do.
    """

    mode: str
    note: str
    training_rows: tuple[int, ...]
    real_rows: tuple[int, ...]
    figures: Mapping[str, tuple[float | None, ...]]
    theory: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """The whole experiment.

    Attributes:
        curves: one for each mode.
        settings: how it was made, with versions and seed.
    """

    curves: tuple[Curve, ...]
    settings: Mapping[str, Any]

    @property
    def generations(self) -> int:
        """How many synthetic generations there are."""
        return len(self.curves[0].training_rows)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "heading": INTERNAL,
            "settings": dict(self.settings),
            "measures": {measure.key: measure.meaning for measure in MEASURES},
            "curves": [asdict(curve) for curve in self.curves],
        }

    def to_json_text(self) -> str:
        """The same as text."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    def to_csv_text(self) -> str:
        """One row for each mode, generation and measure, below a comment line (`#`)."""
        text = io.StringIO()
        text.write(f"# {INTERNAL}\n")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["mode", "generation", "measure", "value", "theory"])
        for curve in self.curves:
            for key, values in curve.figures.items():
                expected: Sequence[float | None] = curve.theory.get(key, [None] * len(values))
                for number, (value, theory) in enumerate(zip(values, expected, strict=True)):
                    cells = ["" if v is None else repr(v) for v in (value, theory)]
                    writer.writerow([curve.mode, number, key, *cells])
        return text.getvalue()

    def text(self) -> str:
        """A table for a person: the first and the last generation of every mode."""
        shown = [
            m for m in MEASURES if any(self._ends(c, m.key)[1] is not None for c in self.curves)
        ]
        width = max(len(curve.mode) for curve in self.curves)
        lines = [INTERNAL]
        for measure in shown:
            lines.append(f"{measure.title}: {measure.meaning}")
            for curve in self.curves:
                first, last = self._ends(curve, measure.key)
                expected = curve.theory.get(measure.key)
                beside = "" if expected is None else f" (ideal refit {expected[-1]:.4g})"
                lines.append(
                    f"  {curve.mode:{width}}  generation 1 {_shown(first)}, "
                    f"generation {self.generations} {_shown(last)}{beside}"
                )
        lines += [f"note: {curve.mode}: {curve.note}" for curve in self.curves]
        return "\n".join(lines)

    @staticmethod
    def _ends(curve: Curve, key: str) -> tuple[float | None, float | None]:
        values = curve.figures[key]
        return values[1], values[-1]


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
