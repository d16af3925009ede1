"""What a generation is fitted to: the three loops of the literature.

Sources: Shumailov et al., Nature 631, 2024 (replace); Gerstgrasser et al., arXiv:2404.01413, 2024
(accumulate); Alemohammad et al., arXiv:2307.01850, 2024 (fresh real rows in every generation).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dpsynth.errors import InputError

Kind = Literal["replace", "accumulate", "fresh"]
ALLOWED = "replace, accumulate or fresh:SHARE (such as fresh:0.5)"
#: As many lines as a reader tells apart in one picture.
MOST_MODES = 6


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One loop.

    Attributes:
        kind: "replace" takes the last synthetic table alone; "accumulate" the real table and every
            synthetic one so far; "fresh" as many rows as the real table has, a share of them real.
        share: of real rows in each generation after the first, in (0, 1); 0 unless kind is "fresh".

    Raises:
        InputError: a share that does not go with the kind.
    """

    kind: Kind
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "fresh" and not 0.0 < self.share < 1.0:
            raise InputError(
                f"share {self.share:g} of fresh real rows is not between 0 and 1; 0 would be the "
                "mode replace, and 1 no chain at all"
            )
        if self.kind != "fresh" and self.share != 0.0:
            raise InputError(f"mode {self.kind} takes no share; write fresh:{self.share:g}")

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return self.kind if self.kind != "fresh" else f"fresh:{self.share:g}"

    def fresh_rows(self, rows: int) -> int:
        """How many of `rows` training rows are fresh real ones.

        Raises:
            InputError: none of them would be, or all.
        """
        count = round(self.share * rows)
        if self.kind == "fresh" and not 0 < count < rows:
            raise InputError(
                f"mode {self.name}: {rows} rows are too few for this share ({count} of them would "
                "be fresh); give a table with more rows, or a share nearer to 0.5"
            )
        return count


def parse_mode(text: str) -> Mode:
    """The mode written as `replace`, `accumulate` or `fresh:SHARE`.

    Raises:
        InputError: anything else.
    """
    kind, colon, share = text.partition(":")
    if kind == "replace" and not colon:
        return Mode(kind="replace")
    if kind == "accumulate" and not colon:
        return Mode(kind="accumulate")
    if kind != "fresh":
        raise InputError(f"mode {text!r} is not known; give {ALLOWED}")
    try:
        number = float(share)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise InputError(f"mode {text!r} has no share of fresh rows; write for example fresh:0.5")
    return Mode(kind="fresh", share=number)


def parse_modes(texts: Sequence[str]) -> tuple[Mode, ...]:
    """Several modes, each once.

    Raises:
        InputError: none, one twice, too many to draw, or one that is not known.
    """
    modes = tuple(parse_mode(text) for text in texts)
    twice = [mode.name for place, mode in enumerate(modes) if mode in modes[:place]]
    if twice:
        raise InputError(f"mode {twice[0]!r} is given twice; give each mode once")
    if not 1 <= len(modes) <= MOST_MODES:
        raise InputError(
            f"{len(modes)} modes were given; give 1 to {MOST_MODES}, each one of them {ALLOWED}"
        )
    return modes
