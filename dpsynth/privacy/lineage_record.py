"""From what a table was made, as far as is known: a part of the privacy statement; public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_GENERATIONS = 1000
"""A chain of more generations than this is a slip of the keyboard."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Frozen):
    """A share of the table's rows, from 0 to 1, and the bounds that noise leaves it."""

    value: float = Field(ge=0.0, le=1.0)
    lower: float = Field(ge=0.0, le=1.0)
    upper: float = Field(ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lower <= self.value <= self.upper:
            raise ValueError(
                f"lower {self.lower}, value {self.value} and upper {self.upper} must rise"
            )
        return self


WHOLE = Share(value=1.0, lower=1.0, upper=1.0)


class Parent(_Frozen):
    """An earlier synthetic table that rows of this one's input came from.

    Attributes:
        known_by: "manifest" that lies beside the table, "rows" that a release in the ledger holds
            (a noisy answer), or "declared" by the owner.
        generation: of the parent; its rows went through a generator so many times.
        manifest_sha256: of its bundle's `public/manifest.json`; None where that is not known.
        share: of the input's rows that are known to come from it.
    """

    known_by: Literal["manifest", "rows", "declared"]
    generation: int = Field(ge=1, le=MOST_GENERATIONS)
    manifest_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    share: Share = WHOLE


class LineageRecord(_Frozen):
    """What is known of where the input came from.

    Attributes:
        made_from: the parents; empty means real rows as far as is known.
        compared: releases in the ledger whose rows were looked for; 0 where none was asked about.
        not_compared: releases in the ledger that say nothing of this table: other columns, too few
            distinctive rows, or noted before sketches were kept.
        noticeable_share: the smallest share of such rows that would have been noticed in 95 % of
            runs; None where none was asked about. Near 1, silence means nothing.
        false_alarm_rate: how often a table without such rows is said to have some.
    """

    made_from: tuple[Parent, ...] = ()
    compared: int = 0
    not_compared: int = 0
    noticeable_share: float | None = None
    false_alarm_rate: float | None = None

    @property
    def generation(self) -> int:
        """How often the input went through a generator, as far as is known."""
        return max((parent.generation for parent in self.made_from), default=0)

    @property
    def stated_generation(self) -> int:
        """The same by what was known before a row was asked about."""
        known = (parent for parent in self.made_from if parent.known_by != "rows")
        return max((parent.generation for parent in known), default=0)

    @property
    def synthetic_share(self) -> Share:
        """Share of the input's rows that are known to be synthetic, all parents together."""
        return Share(
            **{
                end: min(1.0, sum(getattr(parent.share, end) for parent in self.made_from))
                for end in ("value", "lower", "upper")
            }
        )

    @property
    def real_share(self) -> Share:
        """Share that nothing shows to be synthetic."""
        made = self.synthetic_share
        ends = (1.0 - made.value, 1.0 - made.upper, 1.0 - made.lower)
        value, lower, upper = (round(end, 4) for end in ends)
        return Share(value=value, lower=lower, upper=upper)

    def known_before(self, parents: Sequence[Parent]) -> LineageRecord:
        """With the parents that were known without asking; none is counted twice."""
        named = {parent.manifest_sha256 for parent in parents} - {None}
        asked = (p for p in self.made_from if p.manifest_sha256 not in named)
        return self.model_copy(update={"made_from": (*parents, *asked)})


def stated(generation: int) -> tuple[Parent, ...]:
    """The parents by the word of the owner alone: none for generation 0."""
    return (Parent(known_by="declared", generation=generation),) if generation else ()
