"""Three tables read by one schema, and the audits on them: for `run`, `audit` and `replay`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from audits.errors import AuditInputError
from audits.result import AuditResult, Claim
from dpsynth.cells import CODE, cell_forms
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


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How an audit is asked for; what bears on its figures is stored with its result.

    Attributes:
        seed: of the audit's own subsamples; published.
        confidence: of every interval.
        attacks: names of the attacks to run; None runs all for which there is what they need.
        checks: names of the checks to run; None runs all.
        claim: (epsilon, delta) that the attacks are held against; None for a generator that
            claims nothing.
        remove_overlap: leave out rows that stand in both real tables.
        n_jobs: threads; -1 for all cores. They change no figure.
    """

    seed: int = 0
    confidence: float = CONFIDENCE
    attacks: Sequence[str] | None = None
    checks: Sequence[str] | None = None
    claim: tuple[float, float] | None = None
    remove_overlap: bool = False
    n_jobs: int = -1


def audit_tables(
    tables: tuple[Table, Table, Table],
    *,
    schema: Schema,
    reference: Table | None = None,
    previous: Table | None = None,
    options: AuditOptions | None = None,
    progress: Progress = lambda label, done, total: None,
) -> AuditResult:
    """Run the audits.

    Args:
        tables: training rows, held-out rows, synthetic rows.
        schema: by which all are read; identifiers are left out.
        reference: further real rows, in neither of the first two.
        previous: rows of an earlier release, which may have been fed back.
        options: seed, confidence, attacks, claim, overlap, threads.
        progress: told what is being done.

    Cells that do not fit their column's kind count as missing; the result's notes count them, and
    name the identifiers that were left out.

    Raises:
        InputError: the tables do not fit the schema or each other, or no cell of a column fits.
    """
    # Imported here: reading a bundle needs no audit, only running one does.
    from audits import suite

    chosen = options or AuditOptions()
    roles = dict(zip(("train", "holdout", "synthetic"), tables, strict=True))
    further = {"reference": reference, "previous": previous}
    notes = _notes(
        {**roles, **{r: table for r, table in further.items() if table is not None}}, schema
    )
    train, holdout, synthetic = (audit_frame(table, schema) for table in tables)
    try:
        result = suite.run(
            train,
            holdout,
            synthetic,
            reference=None if reference is None else audit_frame(reference, schema),
            previous=None if previous is None else audit_frame(previous, schema),
            claim=None if chosen.claim is None else _claim(chosen.claim),
            kinds={column.name: AUDIT_KINDS[column.kind] for column in schema.modelled},
            remove_overlap=chosen.remove_overlap,
            attacks=chosen.attacks,
            checks=chosen.checks,
            seed=chosen.seed,
            n_jobs=chosen.n_jobs,
            confidence=chosen.confidence,
            progress=lambda label, done, total: progress(f"audit: {label}", done, total),
        )
    except AuditInputError as error:
        raise InputError(str(error)) from error
    return replace(result, notes=(*notes, *result.notes))


def _notes(tables: Mapping[str, Table], schema: Schema) -> list[str]:
    """Sentences on columns that were left out and on cells that could not be read."""
    sentences = []
    left_out = [name for name in schema.names if name not in {c.name for c in schema.modelled}]
    if left_out:
        sentences.append(f"Left out as identifiers: {', '.join(map(repr, left_out))}.")
    for role, table in tables.items():
        for column in schema.modelled:
            odd, filled = _misfits(table, _as_read(column))
            if odd and odd == filled:
                raise InputError(
                    f"{table.source}: no value of column {column.name!r} fits kind {column.kind!r}"
                    f"; write the column as in the other tables, or declare its kind in a schema"
                )
            if odd:
                sentences.append(
                    f"{odd} of {filled} values of column {column.name!r} in table {role!r} do not "
                    f"fit kind {column.kind!r} and count as missing."
                )
    return sentences


def _misfits(table: Table, column: Column) -> tuple[int, int]:
    """How many cells do not fit the column's kind, and how many are filled at all."""
    missing = table.cells(column, strict=False).missing
    # Most columns fit: the form of each cell is asked only where something is amiss.
    if not missing.any():
        return 0, missing.size
    filled = cell_forms(table.column(column.name)) != CODE["missing"]
    return int((missing & filled).sum()), int(filled.sum())


def options_of(stored: AuditResult) -> AuditOptions:
    """The options that a stored audit was made with, to make it again.

    Raises:
        InputError: it was made with more than tables, so that tables alone cannot repeat it.
    """
    if stored.options.get("refit") or {"reference", "previous"} & set(stored.sizes):
        raise InputError(
            "the stored audit used a reference table, an earlier release or the generator itself; "
            "it can only be repeated where those are at hand, with audits.run"
        )
    claim = stored.claim
    return AuditOptions(
        seed=stored.seed,
        confidence=stored.confidence,
        attacks=tuple(stored.options.get("attacks", ())),
        checks=tuple(stored.options.get("checks", ())),
        claim=None if claim is None else (claim.epsilon, claim.delta),
        remove_overlap=bool(stored.options.get("remove_overlap", False)),
    )


def _claim(pair: tuple[float, float]) -> Claim:
    return Claim(epsilon=pair[0], delta=pair[1])


def audit_frame(table: Table, schema: Schema) -> pd.DataFrame:
    """The modelled columns by kind, so that three tables written differently compare alike.

    Numbers and dates (seconds) become floats, categories and booleans text, missing cells null.
    """
    return pd.DataFrame({column.name: _comparable(table, column) for column in schema.modelled})


def _comparable(table: Table, column: Column) -> pd.Series:
    cells = table.cells(_as_read(column), strict=False)
    if column.kind == "boolean":
        texts = np.where(cells.values != 0, "true", "false").astype(object)
        return pd.Series(texts, dtype=object).mask(cells.missing, None)
    dtype = object if column.kind == "categorical" else float
    return pd.Series(cells.values, dtype=dtype).mask(cells.missing)


def _as_read(column: Column) -> Column:
    """Whole numbers are read as any number: another tool may have made 37.5 of them."""
    return Column(name=column.name, kind="numeric") if column.kind == "integer" else column
