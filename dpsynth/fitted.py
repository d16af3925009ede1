"""A fitted model: public weights, codec and privacy statement; sampling, saving, loading.

A model folder holds `model.json`, `weights.safetensors`, `privacy.json` and `checksums.json`;
nothing in it is executable and no private row is in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from dpsynth.encoding.codec import CategoryCodec, ColumnCodec, NumberCodec, TableCodec
from dpsynth.errors import InputError, IntegrityError
from dpsynth.generators import registry
from dpsynth.generators.base import Layout
from dpsynth.iso_time import format_datetime
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
    ) -> pd.DataFrame:
        """Synthetic rows; costs no budget, however many.

        Args:
            rows: how many; by default the noisy row count.
            seed: makes the sample repeatable; or
            rng: the stream to draw from.

        Returns:
            a frame with the columns of the fitted table, in order.

        Raises:
            InputError: rows is not between 1 and 100,000,000.
        """
        count = self.rows if rows is None else rows
        if not 1 <= count <= _LARGEST_SAMPLE:
            raise InputError(f"rows is {count}; ask for 1 to {_LARGEST_SAMPLE}")
        stream = rng if rng is not None else np.random.default_rng(seed)
        codes = registry.load(self.generator).sample(self.model, count, rng=stream)
        frame = self.codec.decode(codes, rng=stream)
        fresh = {n: np.arange(1, count + 1) for n in self.names if n not in frame.columns}
        return frame.assign(**fresh)[list(self.names)]

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
