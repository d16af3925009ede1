"""The schema: names, kinds and what the owner declares about a table. All of it is public.

A schema is an immutable value. What it declares costs no budget; what it leaves out is learned
under the budget and never read off the rows.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from dpsynth.columns import (
    KINDS,
    MAX_CATEGORIES,
    MAX_DECIMALS,
    MAX_INTEGER,
    Column,
    Kind,
    canonical_text,
    check_keys,
    nearest,
)
from dpsynth.errors import SchemaError

__all__ = [
    "KINDS",
    "MAX_CATEGORIES",
    "MAX_DECIMALS",
    "MAX_INTEGER",
    "Column",
    "Kind",
    "Schema",
    "canonical_text",
    "toml_lines",
]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The declared columns of a table and its privacy unit: public, immutable, checked when made.

    Attributes:
        columns: in the table's order; at least one that is not an identifier.
        unit: name of the identifier column whose rows are protected together. None = each row is
            its own privacy unit.
        max_rows_per_unit: rows kept of one unit (the others are dropped at random). Must be given
            with `unit`; 0 stands for "not given" and becomes 1 where there is no unit.

    Raises:
        SchemaError: an inconsistent set of columns, or a unit that does not fit.
    """

    columns: tuple[Column, ...]
    unit: str | None = None
    max_rows_per_unit: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        for column in self.columns:
            if not isinstance(column, Column):
                raise SchemaError(f"columns must hold Column values, not {column!r}")
        if not self.columns:
            raise SchemaError("the schema has no columns; give at least one [[columns]] table")
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise SchemaError(f"column {twice[0]!r} is declared more than once; keep one of them")
        if not self.modelled:
            raise SchemaError(
                "every column is an identifier, so there is nothing to learn; "
                "give at least one column another kind"
            )
        self._check_unit()

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that are learned: all but the identifiers, in order."""
        return tuple(column for column in self.columns if column.kind != "identifier")

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            SchemaError: no such column; the nearest name is suggested.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"the schema has no column {name!r}{nearest(name, self.names)}")

    def project(self, names: Sequence[str]) -> "Schema":
        """The schema of these columns only, in this schema's order.

        The unit column always stays: a narrower view does not change who is protected.

        Raises:
            SchemaError: an unknown name, or nothing left to learn.
        """
        wanted = {self.column(name).name for name in names} | {self.unit}
        kept = tuple(column for column in self.columns if column.name in wanted)
        return Schema(columns=kept, unit=self.unit, max_rows_per_unit=self.max_rows_per_unit)

    def with_column(self, column: Column) -> "Schema":
        """A schema in which `column` replaces the one of its name, or comes last."""
        swapped = [column if old.name == column.name else old for old in self.columns]
        if column.name not in self.names:
            swapped.append(column)
        return Schema(
            columns=tuple(swapped), unit=self.unit, max_rows_per_unit=self.max_rows_per_unit
        )

    def check(self, table_names: Sequence[str], source: str) -> None:
        """Refuse a table whose columns are not exactly the declared ones (any order).

        Raises:
            SchemaError: a declared column that the table lacks, or the reverse.
        """
        for name in self.names:
            if name not in table_names:
                raise SchemaError(
                    f"{source}: the schema declares column {name!r}, which the table lacks"
                    f"{nearest(name, table_names)}; rename or remove it in the schema"
                )
        for name in table_names:
            if name not in self.names:
                raise SchemaError(
                    f"{source}: the table has column {name!r}, which the schema lacks"
                    f"{nearest(name, self.names)}; add it to the schema or drop it from the table"
                )

    def to_dict(self) -> dict[str, Any]:
        """The schema as JSON values, in the layout of the TOML file."""
        head: dict[str, Any] = {}
        if self.unit is not None:
            head = {"unit": self.unit, "max_rows_per_unit": self.max_rows_per_unit}
        return {**head, "columns": [column.to_dict() for column in self.columns]}

    def to_toml_text(self) -> str:
        """The schema as TOML; `from_dict(tomllib.loads(text))` gives it back."""
        raw = self.to_dict()
        blocks = [toml_lines({k: v for k, v in raw.items() if k != "columns"})]
        blocks += ["[[columns]]\n" + toml_lines(column) for column in raw["columns"]]
        return "\n".join(block for block in blocks if block)

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        """A schema from parsed TOML or JSON.

        Raises:
            SchemaError: an unknown key (the nearest known one is suggested) or a wrong value.
        """
        if not isinstance(raw, Mapping):
            raise SchemaError(f"a schema must be a table with a list of columns, not {raw!r}")
        check_keys(raw, [f.name for f in fields(cls)], where="the schema")
        listed = raw.get("columns", [])
        if not isinstance(listed, list | tuple):
            raise SchemaError("columns must be a list of tables; write each as [[columns]]")
        columns = tuple(Column.from_dict(column) for column in listed)
        settings = {str(key): value for key, value in raw.items() if key != "columns"}
        if settings.get("max_rows_per_unit") == 0:
            raise SchemaError("max_rows_per_unit = 0 must be a whole number of at least 1")
        return cls(columns=columns, **settings)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a schema file.

        Raises:
            SchemaError: no such file, broken TOML (with its line), or a wrong schema; one line that
                starts with the file's name.
        """
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8-sig")))
        except tomllib.TOMLDecodeError as error:
            raise SchemaError(f"{path}: not valid TOML: {error}") from None
        except UnicodeDecodeError as error:
            raise SchemaError(
                f"{path}: byte {error.start} is not UTF-8; save the schema as UTF-8"
            ) from None
        except OSError as error:
            raise SchemaError(f"{path}: cannot read the schema: {error.strerror}") from None
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from None

    def _check_unit(self) -> None:
        rows: object = self.max_rows_per_unit
        if type(rows) is not int or rows < 0:
            raise SchemaError(f"max_rows_per_unit = {rows!r} must be a whole number of at least 1")
        if self.unit is None:
            if rows > 1:
                raise SchemaError(
                    f"max_rows_per_unit = {rows} without a unit; name the identifier column "
                    f"with unit = '...', or remove it"
                )
            object.__setattr__(self, "max_rows_per_unit", 1)
            return
        if self.unit not in self.names:
            raise SchemaError(
                f"unit = {self.unit!r} names no column{nearest(self.unit, self.names)}; "
                f"declare that column with kind = 'identifier'"
            )
        kind = self.column(self.unit).kind
        if kind != "identifier":
            raise SchemaError(
                f"unit = {self.unit!r} has kind {kind!r}; a privacy unit must have "
                f"kind = 'identifier'"
            )
        if rows == 0:
            raise SchemaError(
                f"unit = {self.unit!r} needs max_rows_per_unit; add max_rows_per_unit = N, "
                f"the most rows that one unit may contribute"
            )


def toml_lines(table: Mapping[str, Any]) -> str:
    """TOML lines ``key = value`` of texts, numbers, booleans and flat lists of them."""
    # A JSON string, number, boolean or list is TOML as well, save that TOML forbids a raw DEL.
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
        for key, value in table.items()
    )
