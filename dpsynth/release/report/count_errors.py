"""How far counts of the synthetic table may be off, as the report knows it.

Made from the finished model and the known size of the noise, so both editions may show it. Kept in
`internal/errors.json`: whoever approves a bundle later draws the same report from it.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dpsynth.errors import IntegrityError

#: The file below `internal/`; only where the model's generator allows simulations.
NAME = "errors.json"

#: Pairs that are listed.
MOST_PAIRS = 8


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ColumnError(_Frozen):
    """Expected errors of one column's counts, as shares of all rows.

    Attributes:
        name: of the column.
        mean, largest: over its values.
        worst: the value, or range of values, with the largest.
    """

    name: str
    mean: float = Field(ge=0)
    largest: float = Field(ge=0)
    worst: str


class PairError(_Frozen):
    """Expected distance of two columns' table of counts, from 0 to 1."""

    first: str
    second: str
    distance: float = Field(ge=0, le=1)


class CountErrors(_Frozen):
    """What the section on errors is made from.

    Attributes:
        rows: rows of the synthetic table that the errors are of.
        simulations: how many they were found by.
        columns: in the table's order.
        pairs: those with the largest expected distances, the largest first.
    """

    rows: int = Field(ge=1)
    simulations: int = Field(ge=1)
    columns: tuple[ColumnError, ...]
    pairs: tuple[PairError, ...] = ()

    def to_json_text(self) -> str:
        """The content of `internal/errors.json`."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json_text(cls, text: str) -> "CountErrors":
        """Read what `to_json_text` wrote.

        Raises:
            IntegrityError: cut short or changed.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise IntegrityError(f"{NAME}: was cut short or changed; ask for it again") from error
