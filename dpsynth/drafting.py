"""A first draft of a schema, for the table's owner to review.

Kinds are guessed from the header and from what the cells look like, which reads private rows: a
draft is advice to the owner, who decides what becomes public. Bounds and categories are left open,
to be declared from knowledge or learned under the budget; they are never read off the rows.
"""

import json
import re

import numpy as np

from dpsynth.cells import FORMS, cell_forms
from dpsynth.schema import Column, Kind, Schema
from dpsynth.table import Table

# At this share of fitting cells a kind is drafted. The cells that do not fit then fail loudly, by
# row, instead of turning a column of numbers into thousands of categories without a word.
_ENOUGH = 0.95
_OWNER = (
    "patient|person|customer|client|member|user|employee|subject|account|policy|passport|card|"
    "phone|case|record|row|session|invoice|order|serial|security|encounter|household|id"
)
_IDENTIFIER = (
    "ids?|uuid|guid|identifier|ssn|iban|mrn|email|mail|phone|telephone|mobile|passport|"
    f"(?:{_OWNER})id"
)
_NUMBER = "number|nr|nbr|no|num"
# A "type id" names one of a few classes, as in status_id: a category, not a person.
_CLASS = (
    "type|status|category|class|kind|source|disposition|group|region|country|state|department|"
    "level|code"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def looks_like_identifier(name: str) -> bool:
    """Whether a column's name says that it tells persons or records apart.

    Looks at the public header only: ``id``, ``person_id``, ``PatientID``, ``uuid``, ``e-mail``,
    ``account_number``; not ``paid``, ``covid`` or ``status_id``.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    *before, last = words
    owner = before[-1] if before else ""
    if owner and re.fullmatch(_NUMBER, last):
        return re.fullmatch(_OWNER, owner) is not None
    if last in ("id", "ids") and re.fullmatch(_CLASS, owner):
        return False
    return re.fullmatch(_IDENTIFIER, last) is not None


def draft_schema(table: Table) -> Schema:
    """Guess the kind of each column; leave unit, bounds, categories and decimals open.

    Raises:
        SchemaError: every column looks like an identifier.
    """
    columns = tuple(Column(name=name, kind=_guess(table, name)) for name in table.names)
    return Schema(columns=columns)


def draft_toml(table: Table) -> str:
    """The draft as TOML with comments that ask for what only the owner knows.

    Raises:
        SchemaError: every column looks like an identifier.
    """
    schema = draft_schema(table)
    return "\n".join([_head(schema), *(_block(column) for column in schema.columns)])


def _guess(table: Table, name: str) -> Kind:
    if looks_like_identifier(name):
        return "identifier"
    counts = np.bincount(cell_forms(table.column(name)), minlength=len(FORMS))
    count = {form: int(number) for form, number in zip(FORMS, counts, strict=True)}
    enough = _ENOUGH * (len(table.column(name)) - count["missing"])
    numbers = sum(n for form, n in count.items() if form.startswith(("decimal", "float")))
    if enough == 0:
        return "categorical"
    if count["boolean"] >= enough:
        return "boolean"
    if count["date"] + count["datetime"] >= enough:
        return "datetime"
    # Any fraction makes a numeric column: it holds integers too, but not the reverse.
    if count["integer"] >= enough and numbers == 0:
        return "integer"
    return "numeric" if count["integer"] + numbers >= enough else "categorical"


def _head(schema: Schema) -> str:
    unit = next((c.name for c in schema.columns if c.kind == "identifier"), "person_id")
    return (
        "# A draft. Please review each kind, and declare what you know from outside the table.\n"
        "# What is declared here is public and costs no budget. What is left out is learned\n"
        "# under the budget. Give what is possible, not what you see in the rows.\n"
        "\n"
        "# Whom is the table about? If one person can have several rows, name the column that\n"
        "# tells persons apart, and the most rows that one person may contribute:\n"
        f"# unit = {_quoted(unit)}\n"
        "# max_rows_per_unit = 1\n"
    )


def _block(column: Column) -> str:
    lines = ["[[columns]]", f"name = {_quoted(column.name)}", f'kind = "{column.kind}"']
    return "\n".join([*lines, *_QUESTIONS[column.kind], ""])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_NULLABLE = "# nullable = false     # if a missing value would be a mistake"
_QUESTIONS: dict[Kind, tuple[str, ...]] = {
    "integer": (
        "# lower = 0            # the smallest and the largest value that are possible;",
        '# upper = 100          # use kind = "categorical" if the numbers are only codes',
        _NULLABLE,
    ),
    "numeric": (
        "# lower = 0.0          # the smallest and the largest value that are possible",
        "# upper = 100.0",
        "# decimals = 2         # digits after the point",
        _NULLABLE,
    ),
    "categorical": (
        '# categories = ["a", "b"]   # every value that is possible',
        _NULLABLE,
    ),
    "boolean": (_NULLABLE,),
    "datetime": (
        '# lower = "2000-01-01" # the first and the last day that are possible',
        '# upper = "2030-12-31"',
        _NULLABLE,
    ),
    "identifier": ("# never learned: fresh ones are made",),
}
