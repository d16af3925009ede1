"""Three tables read by one schema, and the audits on them: for `run`, `audit` and `replay`."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from audits.errors import AuditInputError
from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

AUDIT_KINDS = {
    "integer": "number",
    "numeric": "number",
    "datetime": "number",
    "boolean": "category",
    "categorical": "category",
}
CONFIDENCE = 0.95

Progress = Callable[[str, int, int], None]


def audit_tables(
    tables: tuple[Table, Table, Table],
    *,
    schema: Schema,
    seed: int,
    confidence: float = CONFIDENCE,
    attacks: Sequence[str] | None = None,
    progress: Progress = lambda label, done, total: None,
) -> AuditResult:
    """Run the audits.

    Args:
        tables: training rows, held-out rows, synthetic rows.
        schema: by which all three are read; identifiers are left out.
        seed: of the audit's own subsamples.
        confidence: of every interval.
        attacks: names of the attacks to run; None runs all that are installed.
        progress: told what is being done.

    Raises:
        InputError: the tables do not fit the schema or each other.
    """
    # Imported here: reading a bundle needs no audit, only running one does.
    from audits import suite

    train, holdout, synthetic = (audit_frame(table, schema) for table in tables)
    try:
        return suite.run(
            train,
            holdout,
            synthetic,
            kinds={column.name: AUDIT_KINDS[column.kind] for column in schema.modelled},
            seed=seed,
            confidence=confidence,
            attacks=attacks,
            progress=lambda label, done, total: progress(f"audit: {label}", done, total),
        )
    except AuditInputError as error:
        raise InputError(str(error)) from error


def audit_frame(table: Table, schema: Schema) -> pd.DataFrame:
    """The modelled columns by kind, so that three tables written differently compare alike.

    Numbers and dates (seconds) become floats, categories and booleans text, missing cells null.
    """
    return pd.DataFrame({column.name: _comparable(table, column) for column in schema.modelled})


def _comparable(table: Table, column: Column) -> pd.Series:
    cells = table.cells(column, strict=False)
    if column.kind == "boolean":
        texts = np.where(cells.values != 0, "true", "false").astype(object)
        return pd.Series(texts, dtype=object).mask(cells.missing, None)
    dtype = object if column.kind == "categorical" else float
    return pd.Series(cells.values, dtype=dtype).mask(cells.missing)
