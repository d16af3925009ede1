"""Checks of the synthetic table: every value in the public domain, counted as it was counted."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dpsynth.errors import IntegrityError
from dpsynth.release.domain import values_outside
from dpsynth.release.report.columns import ColumnShares, column_shares
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.parts import Domain, Parts
from dpsynth.schema import Schema
from dpsynth.table import Table

#: Shares of equal rows differ by rounding alone.
TOLERANCE = 1e-9


def check_table(parts: Parts) -> Iterator[Check]:
    """Every value lies in the public domain; sizes and shares noted in the house fit the rows."""
    manifest, table = parts.manifest, parts.table
    if manifest is None:
        return
    if table is None:
        if manifest.verdict != "allow" and parts.internal is None:
            message = "no synthetic table was handed over, so there are no values to look at"
            yield Check("domain", True, message)
        return
    domain = _domain(parts)
    if domain is None:
        return  # its file is named by the check of forms
    name = manifest.table
    yield held("domain", lambda: _in_domain(table, domain.schema, name))
    internal = parts.internal
    if internal is not None and internal.audit is not None:
        audited = internal.audit.sizes.get("synthetic")
        yield Check(
            "rows",
            audited == table.num_rows,
            f"{name} has {table.num_rows} rows, internal/audit.json was made on {audited}",
        )
    if internal is not None and internal.columns is not None:
        stored = internal.columns
        yield held("column shares", lambda: _shares(table, domain.schema, stored, name))


def _domain(parts: Parts) -> Domain | None:
    """The domain that the table was released with: inside, where it was not released."""
    if parts.manifest is not None and parts.manifest.verdict == "allow":
        return parts.public.domain
    return None if parts.internal is None else parts.internal.domain


def _in_domain(table: Table, schema: Schema, name: str) -> str:
    problems = list(values_outside(table, schema, name))
    if problems:
        raise IntegrityError("; ".join(problems))
    return f"every value of {name} lies in the public domain"


def _shares(table: Table, schema: Schema, stored: tuple[ColumnShares, ...], name: str) -> str:
    """The pictures' counts of synthetic rows, made once more: another table has others."""
    frame = pd.DataFrame({column: table.column(column).to_pandas() for column in schema.names})
    again = column_shares(schema, frame)
    names = [column.name for column in again]
    if [column.name for column in stored] != names:
        raise IntegrityError(
            f"internal/columns.json: its columns are not those of {name}; one of them was changed"
        )
    for old, new in zip(stored, again, strict=True):
        if not _alike(old, new):
            raise IntegrityError(
                f"internal/columns.json: column {old.name!r} is not what {name} gives; "
                "one of them was changed after the run"
            )
    return f"internal/columns.json counts the rows of {name}"


def _alike(old: ColumnShares, new: ColumnShares) -> bool:
    if (old.kind, old.medians[:1]) != (new.kind, new.medians[:1]):
        return False
    if old.edges != new.edges:
        return False
    before = dict(zip(old.labels or range(len(old.synthetic)), old.synthetic, strict=True))
    after = dict(zip(new.labels or range(len(new.synthetic)), new.synthetic, strict=True))
    # A bar that only real rows fill has no synthetic share.
    names = [*before, *(label for label in after if label not in before)]
    pairs = np.array([(before.get(label, 0.0), after.get(label, 0.0)) for label in names])
    return bool(np.allclose(pairs[:, 0], pairs[:, 1], rtol=0.0, atol=TOLERANCE))
