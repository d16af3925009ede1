"""A fitted model: public weights, codec and privacy statement; sampling, saving, loading.

A model folder holds `model.json`, `weights.safetensors`, `privacy.json` and `checksums.json`, and
`measured.safetensors` where pairs of columns were measured; nothing in it is executable and no
private row is in it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from dpsynth.encoding.codec import CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.error_simulation import find_expected_errors
from dpsynth.errors import InputError, IntegrityError
from dpsynth.expected_errors import ExpectedErrors
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.iso_time import format_datetime
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.refinement.measured import Measured
from dpsynth.refinement.stored import (
    MEASURED,
    measured_facts,
    measured_from,
    measured_tables,
)
from dpsynth.replicates import Progress, make_replicates, marginal_std
from dpsynth.sampling.filling import CANDIDATES
from dpsynth.sampling.repaired import repair_for
from dpsynth.sampling.sampler import ConditionalSample, Filled, TableSampler, joined
from dpsynth.schema import Column, Schema
from dpsynth.table import Table
from dpsynth.writing import atomic_directory

FORMAT = "dpsynth.model/3"
_MODEL, _WEIGHTS, _PRIVACY, _SUMS = (
    "model.json",
    "weights.safetensors",
    "privacy.json",
    "checksums.json",
)
_LARGEST_SAMPLE = 100_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel:
    """What `Synthesizer.fit` returns. All of it is public.

    Attributes:
        generator: name of the generator.
        options: the generator's settings.
        layout: sizes, noisy marginals and noisy row count.
        codec: codes to values.
        model: the trained weights.
        names: the table's columns in order, identifiers among them.
        privacy: the privacy statement.
        unit: the schema's privacy unit column, or None.
        max_rows_per_unit: rows kept of one unit.
        measured: the noisy tables of pairs that the model rests on; None where none were measured.
        watched: what the monitor saw during training (`dpsynth.training.monitor.Monitor.curve`).
    """

    generator: str
    options: Mapping[str, float]
    layout: Layout
    codec: TableCodec
    model: nn.Module
    names: tuple[str, ...]
    privacy: PrivacyStatement
    unit: str | None
    max_rows_per_unit: int
    measured: Measured | None = None
    watched: Mapping[str, Any] | None = None

    @property
    def rows(self) -> int:
        """The noisy row count, at least 1: how many rows `sample` makes unless told."""
        return max(1, round(self.layout.rows))

    def statement(self) -> PrivacyStatement:
        """What was spent and what it means."""
        return self.privacy

    def schema(self) -> Schema:
        """The public schema of the synthetic table: what was declared and what was learned."""
        known = {part.column.name: _public_column(part) for part in self.codec.parts}
        identifier = (
            known.get(name, Column(name=name, kind="identifier", nullable=False))
            for name in self.names
        )
        return Schema(
            columns=tuple(identifier), unit=self.unit, max_rows_per_unit=self.max_rows_per_unit
        )

    def sample(
        self,
        rows: int | None = None,
        *,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
        where: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Synthetic rows; costs no budget, however many.

        Args:
            rows: how many; by default the noisy row count.
            seed: makes the sample repeatable; or
            rng: the stream to draw from.
            where: conditions by column name; see `sample_where`.

        Returns:
            a frame with the columns of the fitted table, in order.

        Raises:
            InputError: rows is not between 1 and 100,000,000, `where` names a column or a value
                outside the public domain, or too few rows fit it.
        """
        return self.sample_where(where or {}, rows, seed=seed, rng=rng).frame

    def sample_where(
        self,
        where: Mapping[str, str],
        rows: int | None = None,
        *,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> ConditionalSample:
        """Synthetic rows that fit a condition, and how much they are worth.

        The rows follow the model's conditional distribution (docs/sampling.md says how).

        Args:
            where: by column name a value's text, "" for a missing one, a range `30..40` of numbers
                or dates (either end may be left out), or several of these separated by `|`. A text
                that is a category stands for that category, whatever signs are in it.
            rows, seed, rng: as in `sample`.

        Raises:
            InputError: as in `sample`.
        """
        return joined(self.sample_parts(rows, where=where, seed=seed, rng=rng))

    def sample_parts(
        self,
        rows: int | None = None,
        *,
        where: Mapping[str, str] | None = None,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Iterator[ConditionalSample]:
        """The rows of `sample_where` in parts of bounded size, for tables larger than memory.

        Raises:
            InputError: as in `sample`.
        """
        count = self.rows if rows is None else rows
        check_rows(count)
        stream = rng if rng is not None else _stream(seed)
        yield from self.sampler.parts(count, where=where, rng=stream)

    def fill(
        self,
        frame: pd.DataFrame,
        *,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> pd.DataFrame:
        """The frame with its missing cells filled; see `fill_cells`."""
        return self.fill_cells(frame, seed=seed, rng=rng).frame

    def fill_cells(
        self,
        table: pd.DataFrame | Table,
        *,
        candidates: int = CANDIDATES,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> Filled:
        """Fill missing cells from the model's distribution given the row's other cells.

        Cells that are there stay as they are, and the result holds them: it is as private as the
        table that was given, whatever the model's epsilon is.

        Args:
            table: rows of some or all of the model's columns; a column that it lacks is filled
                wholly, an identifier by fresh numbers.
            candidates: rows drawn for each row, one of which is picked by weight; more come nearer
                to the conditional distribution.
            seed, rng: as in `sample`.

        Raises:
            InputError: a column that the model does not know, a cell outside its domain, or a
                generator that cannot draw column by column.
        """
        stream = rng if rng is not None else _stream(seed)
        return self.sampler.fill(Table.read(table), candidates=candidates, rng=stream)

    def replicates(
        self,
        count: int = 10,
        *,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
        progress: Progress = lambda done, total: None,
    ) -> "tuple[FittedModel, ...]":
        """Models that this one might have been with other rows and other noise; cost no budget.

        Analyse a table of each and pass the answers to `dpsynth.inference.combine`; see
        docs/errors.md.

        Args:
            count: how many, 1 to 1,000.
            seed: makes them repeatable; or
            rng: the stream to draw from.
            progress: told of each (done, in all).

        Raises:
            InputError: count is out of range, or the model was fitted without measured pairs (the
                independent generator, training of one's own, a single column).
        """
        stream = rng if rng is not None else _stream(seed)
        return tuple(r.model for r in make_replicates(self, count, rng=stream, progress=progress))

    def expected_errors(
        self,
        pairs: Sequence[tuple[str, str]] | None = None,
        *,
        replicates: int = 10,
        rows: int | None = None,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
        progress: Progress = lambda done, total: None,
    ) -> ExpectedErrors:
        """How far counts of a synthetic table may be off the private table's; costs no budget.

        Args:
            pairs: names of two columns each; None takes every pair that was measured.
            replicates: releases to simulate, 1 to 1,000; with 10 an error is known to about a
                quarter.
            rows: of the synthetic table; its counts are scaled to the noisy row count.
            seed, rng, progress: as in `replicates`.

        Raises:
            InputError: as in `replicates`, a pair names a column that is not modelled, or rows is
                not between 1 and 100,000,000.
        """
        if rows is not None:
            check_rows(rows)
        stream = rng if rng is not None else _stream(seed)
        return find_expected_errors(
            self, pairs, replicates=replicates, rows=rows, rng=stream, progress=progress
        )

    @cached_property
    def sampler(self) -> TableSampler:
        """What draws and fills."""
        generator = registry.load(self.generator)
        repair = repair_for(generator, self.layout, self.measured, one_way_std=marginal_std(self))
        return TableSampler(generator, self.model, self.codec, self.names, repair)

    def to_files(self) -> dict[str, bytes]:
        """The model folder's files."""
        tensors = {k: v.detach().contiguous().clone() for k, v in self.model.state_dict().items()}
        files = {
            _MODEL: json.dumps(self._facts(), indent=1, allow_nan=False).encode(),
            _WEIGHTS: save_tensors(tensors),
            _PRIVACY: self.privacy.to_json_text().encode(),
        }
        if self.measured is not None:
            files[MEASURED] = measured_tables(self.measured)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        return files | {_SUMS: json.dumps(sums, indent=1).encode()}

    def save(self, path: str | Path) -> None:
        """Write the model to a new folder, whole or not at all.

        Raises:
            InputError: `path` exists or cannot be written.
        """
        with atomic_directory(path) as folder:
            for name, data in self.to_files().items():
                (folder / name).write_bytes(data)

    @classmethod
    def load(cls, path: str | Path) -> "FittedModel":
        """Read a model folder.

        Raises:
            InputError: there is no such folder.
            IntegrityError: a file is missing, was cut short or was changed.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such model folder; make one with `dpsynth fit`")
        files = _checked_files(folder)
        try:
            return cls._from_files(files)
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            if isinstance(error, IntegrityError | InputError):
                raise
            raise IntegrityError(
                f"{folder}: not a model of this version ({type(error).__name__}: {error}); "
                "fit it again"
            ) from error

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "generator": self.generator,
            "options": dict(self.options),
            "names": list(self.names),
            "unit": self.unit,
            "max_rows_per_unit": self.max_rows_per_unit,
            "rows": self.layout.rows,
            "one_way": [p.tolist() for p in self.layout.one_way],
            "pairs": None if self.layout.pairs is None else [list(p) for p in self.layout.pairs],
            "codec": self.codec.to_json(),
            "measured": None if self.measured is None else measured_facts(self.measured),
            "watched": self.watched,
        }

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes]) -> "FittedModel":
        facts = json.loads(files[_MODEL])
        if facts["format"] != FORMAT:
            raise IntegrityError(
                f"model format {facts['format']!r}; this version reads {FORMAT!r}: update dpsynth"
            )
        codec = TableCodec.from_json(facts["codec"])
        one_way = tuple(np.array(p, dtype=np.float64) for p in facts["one_way"])
        pairs = None if facts["pairs"] is None else tuple((i, j) for i, j in facts["pairs"])
        layout = Layout(codec.sizes, one_way, float(facts["rows"]), pairs, codec.positions)
        generator = registry.load(facts["generator"])
        model = generator.build(layout, options=facts["options"], rng=np.random.default_rng(0))
        model.load_state_dict(load_tensors(files[_WEIGHTS]))
        return cls(
            generator=facts["generator"],
            options=facts["options"],
            layout=layout,
            codec=codec,
            model=model,
            names=tuple(facts["names"]),
            privacy=PrivacyStatement.from_json_text(files[_PRIVACY].decode()),
            unit=facts["unit"],
            max_rows_per_unit=int(facts["max_rows_per_unit"]),
            measured=measured_from(facts["measured"], files.get(MEASURED), layout),
            watched=facts["watched"],
        )


def check_rows(rows: int) -> None:
    """Refuse a size that no sample can have.

    Raises:
        InputError: rows is not between 1 and 100,000,000.
    """
    whole = isinstance(rows, int | np.integer) and not isinstance(rows, bool)
    if not whole or not 1 <= rows <= _LARGEST_SAMPLE:
        raise InputError(f"rows is {rows!r}; ask for a whole number from 1 to {_LARGEST_SAMPLE}")


def _stream(seed: int | None) -> np.random.Generator:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if seed is not None and not (whole and seed >= 0):
        raise InputError(f"seed is {seed!r}; it must be a whole number of at least 0, or None")
    return np.random.default_rng(seed)


def _checked_files(folder: Path) -> dict[str, bytes]:
    sums_bytes = _read(folder / _SUMS)
    try:
        sums = json.loads(sums_bytes)
    except ValueError as error:
        raise IntegrityError(
            f"{folder / _SUMS}: not JSON ({error}); use an unchanged copy"
        ) from error
    if not isinstance(sums, dict):
        raise IntegrityError(f"{folder / _SUMS}: not a list of checksums; use an unchanged copy")
    optional = [MEASURED] if MEASURED in sums or (folder / MEASURED).exists() else []
    files = {name: _read(folder / name) for name in (_MODEL, _WEIGHTS, _PRIVACY, *optional)}
    for name, data in files.items():
        if sums.get(name) != hashlib.sha256(data).hexdigest():
            raise IntegrityError(
                f"{folder / name}: changed or cut short since it was written (sha256 differs from "
                f"{_SUMS}); use an unchanged copy"
            )
    return files


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise IntegrityError(f"{path}: missing; a model folder needs it: copy the folder whole")
    return path.read_bytes()


def _public_column(part: ColumnCodec) -> Column:
    """The column as the synthetic table has it: learned bounds and categories written out."""
    nullable = part.missing is not None
    if isinstance(part, CategoryCodec):
        categories = (
            None if part.column.kind == "boolean" or not part.categories else part.categories
        )
        return Column(
            name=part.column.name, kind=part.column.kind, categories=categories, nullable=nullable
        )
    return _public_number(part, nullable=nullable)


def _public_number(part: NumberCodec, *, nullable: bool) -> Column:
    last = max(part.grid.size - 1, 1)
    ends = part.grid.value(np.array([0, last]))
    if part.column.kind == "datetime":
        lower, upper = map(str, format_datetime(ends, "second"))
        return Column(
            name=part.column.name, kind="datetime", lower=lower, upper=upper, nullable=nullable
        )
    whole = part.column.kind == "integer"
    low, high = (int(e) if whole else float(e) for e in ends)
    return Column(
        name=part.column.name,
        kind=part.column.kind,
        lower=low,
        upper=high,
        decimals=part.column.decimals,
        nullable=nullable,
    )
