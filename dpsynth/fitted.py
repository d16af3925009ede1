"""A fitted model: public weights, codec and privacy statement; sampling, saving, loading.

A model folder holds `model.json`, `weights.safetensors`, `privacy.json` and `checksums.json`;
nothing in it is executable and no private row is in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from dpsynth.columns import nearest
from dpsynth.encoding.codec import DAY, CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.errors import InputError, IntegrityError
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.iso_time import format_datetime, iso_seconds
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.schema import Column, Schema
from dpsynth.writing import atomic_directory

FORMAT = "dpsynth.model/1"
_MODEL, _WEIGHTS, _PRIVACY, _SUMS = (
    "model.json",
    "weights.safetensors",
    "privacy.json",
    "checksums.json",
)
_LARGEST_SAMPLE = 100_000_000
_MOST_DRAWS = 200
"""Rows drawn for each row wanted, before a condition is called too rare."""
_LEAST_WANTED = 100
"""Fewer rows than this are searched for as long as this many."""
_LEAST_BLOCK, _LARGEST_BLOCK = 2_000, 100_000


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
            where: only rows with these values, by column name: the value's text, "" for a missing
                one; numbers and dates are compared by value. Rows are drawn until enough fit, so
                they follow the model's conditional distribution exactly.

        Returns:
            a frame with the columns of the fitted table, in order.

        Raises:
            InputError: rows is not between 1 and 100,000,000, `where` names a column or a value
                outside the public domain, or too few rows fit it.
        """
        count = self.rows if rows is None else rows
        check_rows(count)
        stream = rng if rng is not None else np.random.default_rng(seed)
        if where:
            frame = self._conditional(count, where, rng=stream)
        else:
            frame = self._draw(count, rng=stream)
        fresh = {n: np.arange(1, count + 1) for n in self.names if n not in frame.columns}
        return frame.assign(**fresh)[list(self.names)]

    def _draw(self, rows: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Rows of the modelled columns, shape (rows, modelled columns)."""
        codes = registry.load(self.generator).sample(self.model, rows, rng=rng)
        return self.codec.decode(codes, rng=rng)

    def _conditional(
        self, rows: int, where: Mapping[str, str], *, rng: np.random.Generator
    ) -> pd.DataFrame:
        """Rows that fit `where`, by rejection."""
        wanted = {name: wanted_value(self, name, text) for name, text in where.items()}
        most = _MOST_DRAWS * max(rows, _LEAST_WANTED)
        usual = min(max(rows, _LEAST_BLOCK), _LARGEST_BLOCK)
        kept: list[pd.DataFrame] = []
        found = drawn = 0
        while found < rows and drawn < most:
            block = min(usual, most - drawn)
            frame = self._draw(block, rng=rng)
            fits = np.logical_and.reduce([_equals(frame[n], v) for n, v in wanted.items()])
            kept.append(frame[fits])
            found += int(fits.sum())
            drawn += block
        if found < rows:
            asked = ", ".join(f"{name}={text}" for name, text in where.items())
            raise InputError(
                f"only {found} of {drawn} synthetic rows fit {asked} ({found / drawn:.3%}), and "
                f"{rows} are wanted; ask for fewer rows or for less in --where"
            )
        return pd.concat(kept, ignore_index=True).head(rows)

    def to_files(self) -> dict[str, bytes]:
        """The model folder's files."""
        tensors = {k: v.detach().contiguous().clone() for k, v in self.model.state_dict().items()}
        files = {
            _MODEL: json.dumps(self._facts(), indent=1, allow_nan=False).encode(),
            _WEIGHTS: save_tensors(tensors),
            _PRIVACY: self.privacy.to_json_text().encode(),
        }
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
            "codec": self.codec.to_json(),
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
        layout = Layout(codec.sizes, one_way, float(facts["rows"]))
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
        )


def check_rows(rows: int) -> None:
    """Refuse a size that no sample can have.

    Raises:
        InputError: rows is not between 1 and 100,000,000.
    """
    if not 1 <= rows <= _LARGEST_SAMPLE:
        raise InputError(f"rows is {rows}; ask for 1 to {_LARGEST_SAMPLE}")


def wanted_value(model: FittedModel, name: str, text: str) -> str | float | bool | None:
    """The decoded value that a text in `where` stands for; None for a missing one.

    Raises:
        InputError: a column that is not modelled, or a value that the model never makes.
    """
    parts = {part.column.name: part for part in model.codec.parts}
    if name not in parts:
        why = "is an identifier, made afresh" if name in model.names else "is not in the model"
        raise InputError(
            f"where: column {name!r} {why}{nearest(name, tuple(parts))}; it has {', '.join(parts)}"
        )
    part = parts[name]
    if text == "":
        if part.missing is None:
            raise InputError(f"where: column {name!r} has no missing values; give a value")
        return None
    return _category(part, text) if isinstance(part, CategoryCodec) else _number(part, text)


def _category(part: CategoryCodec, text: str) -> str | bool:
    boolean = part.column.kind == "boolean"
    known = ("true", "false") if boolean else part.categories
    value = text.lower() if boolean else text
    if value not in known:
        raise InputError(
            f"where: column {part.column.name!r} has no value {text!r}{nearest(text, known)}; "
            f"allowed: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
        )
    return value == "true" if boolean else value


def _number(part: NumberCodec, text: str) -> str | float:
    name, dates = part.column.name, part.column.kind == "datetime"
    resolution: Literal["day", "second"] = "day" if part.grid.step % DAY == 0 else "second"

    def shown(value: float) -> str:
        return str(format_datetime(np.array([value]), resolution)[0]) if dates else f"{value:.12g}"

    try:
        value = iso_seconds(text) if dates else float(text)
    except ValueError:
        value = None
    if value is None or not np.isfinite(value):
        kind = "an ISO 8601 date" if dates else "a number"
        raise InputError(f"where: column {name!r}: {text!r} is not {kind}; give one")
    ends = part.grid.value(np.array([0, max(part.grid.size - 1, 0)]))
    near = float(part.grid.value(part.grid.index(np.array([value])))[0])
    if abs(near - value) > 1e-6 * part.grid.step:
        raise InputError(
            f"where: column {name!r} has no value {text!r}; nearest: {shown(near)}, allowed: "
            f"{shown(ends[0])} to {shown(ends[1])} in steps of "
            f"{part.grid.step:g}{' seconds' if dates else ''}"
        )
    return shown(near) if dates else near


def _equals(values: pd.Series, wanted: str | float | bool | None) -> NDArray[np.bool_]:
    """Which values are the wanted one, shape (rows,)."""
    if wanted is None:
        return values.isna().to_numpy()
    if isinstance(wanted, float):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(np.isclose(numbers, wanted, rtol=1e-12, atol=1e-12))
    return (values == wanted).fillna(False).to_numpy(dtype=bool)


def _checked_files(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in (_SUMS, _MODEL, _WEIGHTS, _PRIVACY):
        path = folder / name
        if not path.is_file():
            raise IntegrityError(f"{path}: missing; a model folder needs it: copy the folder whole")
        files[name] = path.read_bytes()
    try:
        sums = json.loads(files[_SUMS])
    except ValueError as error:
        raise IntegrityError(
            f"{folder / _SUMS}: not JSON ({error}); use an unchanged copy"
        ) from error
    for name in (_MODEL, _WEIGHTS, _PRIVACY):
        if not isinstance(sums, dict) or sums.get(name) != hashlib.sha256(files[name]).hexdigest():
            raise IntegrityError(
                f"{folder / name}: changed or cut short since it was written (sha256 differs from "
                f"{_SUMS}); use an unchanged copy"
            )
    return files


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
