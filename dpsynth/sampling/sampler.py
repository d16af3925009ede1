"""From a generator and a codec to frames: at large, under a condition, or from a partial table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from torch import nn

from dpsynth.encoding.codec import TableCodec
from dpsynth.errors import InputError
from dpsynth.generators.base import ColumnWise, Generator, IntArray
from dpsynth.sampling.blocks import BLOCK, cut
from dpsynth.sampling.conditional import ConditionalCodes, conditional_codes
from dpsynth.sampling.evidence import read_evidence
from dpsynth.sampling.filling import CANDIDATES, TO_FILL, fill_codes
from dpsynth.sampling.given import check_columns, identifiers, known_codes, with_gaps_filled
from dpsynth.sampling.pieces import Pieces, pieces_of
from dpsynth.sampling.rejection import rejected_codes
from dpsynth.sampling.repaired import Repair
from dpsynth.schema import Column
from dpsynth.table import Table

FRAME_ROWS = 4 * BLOCK
"""Most rows of a part: memory beyond what the caller keeps does not grow with the rows asked."""


@dataclass(frozen=True, eq=False)
class ConditionalSample:
    """Synthetic rows and how much they are worth.

    Attributes:
        frame: the rows.
        effective_sample_size: how many independent rows of the model's conditional distribution
            would be worth as much; without a condition the number of rows, or less where repair
            had to weigh them very unevenly.
        distinct: rows that were drawn on their own; the others repeat one of them before their
            values inside codes are drawn.
        drawn: rows that were drawn in all.
        probability: estimated chance of the condition in the model; 1 without one.
    """

    frame: pd.DataFrame
    effective_sample_size: float
    distinct: int
    drawn: int
    probability: float

    @property
    def distinct_share(self) -> float:
        """Share of the rows that were drawn on their own."""
        return self.distinct / max(len(self.frame), 1)


@dataclass(frozen=True, eq=False)
class Filled:
    """A partial table without gaps.

    Attributes:
        frame: the table; cells that were there are as they came.
        cells: how many cells were filled, identifiers left out.
        candidates: rows drawn for each row.
        effective_candidates: for each row with a gap how many equally likely ones its candidates
            are worth, shape (rows with a gap,).
    """

    frame: pd.DataFrame
    cells: int
    candidates: int
    effective_candidates: np.ndarray


@dataclass(frozen=True, eq=False)
class TableSampler:
    """A fitted model's sampler.

    Attributes:
        generator: the generator.
        model: its trained weights.
        codec: codes to values.
        names: the table's columns in order, identifiers among them.
        repair: how rows without a condition are repaired; None leaves them as drawn.
    """

    generator: Generator
    model: nn.Module
    codec: TableCodec
    names: tuple[str, ...]
    repair: Repair | None = None

    @cached_property
    def columns(self) -> ColumnWise | None:
        """The model ready to draw column by column; None where its generator cannot."""
        offered: Callable[[nn.Module], ColumnWise] | None
        offered = getattr(self.generator, "columns", None)
        return None if offered is None else offered(self.model)

    def parts(
        self, rows: int, *, where: Mapping[str, str] | None, rng: np.random.Generator
    ) -> Iterator[ConditionalSample]:
        """The rows in parts of bounded size, in order.

        Raises:
            InputError: `where` names a column or a value outside the public domain, or too few
                rows fit it.
        """
        evidence = read_evidence(self.codec.parts, self.names, where or {})
        asked = ", ".join(f"{name}={text}" for name, text in (where or {}).items())
        first = 1
        for size in cut(rows, most=BLOCK if evidence else FRAME_ROWS):
            drawn = self._codes(size, evidence, asked, rng=rng)
            frame = self._frame(drawn.codes, evidence, first=first, rng=rng)
            yield ConditionalSample(
                frame, drawn.effective, drawn.distinct, drawn.drawn, drawn.probability
            )
            first += size

    def codes(self, rows: int, *, rng: np.random.Generator) -> IntArray:
        """Codes of plain rows, shape (rows, columns)."""
        return self._codes(rows, {}, "", rng=rng).codes

    def _codes(
        self, rows: int, evidence: Mapping[int, Pieces], asked: str, *, rng: np.random.Generator
    ) -> ConditionalCodes:
        def draw(count: int) -> IntArray:
            return self.generator.sample(self.model, count, rng=rng)

        if not evidence and self.repair is not None:
            return self.repair.codes(draw, rows, rng=rng)
        if not evidence:
            return ConditionalCodes(draw(rows), float(rows), rows, rows, 1.0)
        shares = {column: pieces.mass for column, pieces in evidence.items()}
        if self.columns is None:
            return rejected_codes(draw, rows, evidence=shares, asked=asked, rng=rng)
        return conditional_codes(self.columns, rows, evidence=shares, asked=asked, rng=rng)

    def _frame(
        self,
        codes: IntArray,
        evidence: Mapping[int, Pieces],
        *,
        first: int,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Decoded rows with identifiers from `first` on."""
        values = {
            part.column.name: evidence.get(j, whole).decode(codes[:, j], rng=rng)
            for j, (part, whole) in enumerate(zip(self.codec.parts, self._pieces, strict=True))
        }
        fresh = np.arange(first, first + len(codes))
        # In one go and without a copy: a column at a time would cost more than the decoding.
        return pd.DataFrame({n: values.get(n, fresh) for n in self.names}, copy=False)

    @cached_property
    def _pieces(self) -> tuple[Pieces, ...]:
        return tuple(pieces_of(part) for part in self.codec.parts)

    def fill(
        self, table: Table, *, candidates: int = CANDIDATES, rng: np.random.Generator
    ) -> Filled:
        """The table with the missing cells filled from the model, given the row's other cells.

        Raises:
            InputError: a column that the model does not know, a cell outside the domain, too few
                or too many candidates, or a generator that cannot draw column by column.
        """
        if not 1 <= candidates <= BLOCK:
            raise InputError(f"candidates is {candidates}; give 1 to {BLOCK}")
        if self.columns is None:
            raise InputError(
                f"generator {self.generator.NAME!r} cannot fill cells: it does not draw column by "
                "column; fit with another one, such as autoregressive"
            )
        check_columns(table, self.names)
        known = known_codes(table, self.codec.parts)
        gaps = known == TO_FILL
        some = gaps.any(axis=1)
        filled = fill_codes(
            self.columns, known[some], allowed=self._present, candidates=candidates, rng=rng
        )
        codes = known.copy()
        codes[some] = filled.codes
        frame = self._merged(table, codes, gaps, rng=rng)
        return Filled(frame, int(gaps.sum()), candidates, filled.effective)

    @cached_property
    def _present(self) -> tuple[np.ndarray, ...]:
        """Codes that may fill a gap: all but the missing one, unless there is no other."""
        found = [np.ones(part.size) for part in self.codec.parts]
        for part, share in zip(self.codec.parts, found, strict=True):
            if part.missing is not None and part.size > 1:
                share[part.missing] = 0.0
        return tuple(found)

    def _merged(
        self, table: Table, codes: IntArray, gaps: np.ndarray, *, rng: np.random.Generator
    ) -> pd.DataFrame:
        numbers = {part.column.name: j for j, part in enumerate(self.codec.parts)}
        merged = {}
        for name in self.names:
            given = None
            if name in table.names:
                given = table.column(name).to_pandas(integer_object_nulls=True)
            if name not in numbers:
                column = Column(name=name, kind="identifier")
                merged[name] = identifiers(table, column, given)
                continue
            j = numbers[name]
            values = self._pieces[j].decode(codes[:, j], rng=rng)
            merged[name] = values if given is None else with_gaps_filled(given, values, gaps[:, j])
        return pd.DataFrame(merged)


def joined(parts: Iterable[ConditionalSample]) -> ConditionalSample:
    """Several parts as one."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    drawn = sum(part.drawn for part in found)
    return ConditionalSample(
        frame=pd.concat([part.frame for part in found], ignore_index=True),
        effective_sample_size=sum(part.effective_sample_size for part in found),
        distinct=sum(part.distinct for part in found),
        drawn=drawn,
        probability=sum(part.probability * part.drawn for part in found) / drawn,
    )
