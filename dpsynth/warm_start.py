"""Public rows that a network is trained on before it meets the private ones.

They cost no budget and get no protection: whoever names them says that they are public, or an
earlier release. The statement names them in turn.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from dpsynth.encoding.codec import TableCodec
from dpsynth.errors import InputError
from dpsynth.generators.base import IntArray
from dpsynth.privacy.sketch import row_hashes, same_rows
from dpsynth.table import Table


@dataclass(frozen=True)
class WarmStart:
    """Public rows to start from.

    Attributes:
        table: the rows.
        source: the file's name, without its folder.
        digest: of the rows in any order, 16 hex digits: tells one table from another.
    """

    table: Table = field(repr=False)
    source: str
    digest: str

    @classmethod
    def read(cls, source: object) -> Self:
        """Read the rows from whatever can hold a table (see `Table.read`).

        Raises:
            InputError: not a table, or one without rows.
        """
        table = Table.read(source)
        if not table.num_rows:
            raise InputError(
                f"{table.source}: the warm start has no rows; give a table with some, or leave "
                "--warm-start out"
            )
        name = Path(source).name if isinstance(source, str | Path) else "a table in memory"
        hashes = np.sort(row_hashes(table, table.names)).astype("<u8")
        return cls(table, name, hashlib.sha256(hashes.tobytes()).hexdigest()[:16])

    @property
    def sentence(self) -> str:
        """What epsilon does not cover, for the statement."""
        return (
            f"the rows of the warm start, taken for public as they are: {self.source} "
            f"({self.table.num_rows:,} rows, digest {self.digest})"
        )

    def check(self, private: Table, modelled: Sequence[str]) -> None:
        """Refuse a warm start of other columns, or one that is the private table itself.

        Args:
            private: the table to learn from; nothing of it is looked at but names, and whether it
                is this very table.
            modelled: the columns that will be modelled.

        Raises:
            InputError: names the columns.
        """
        lacking = [name for name in modelled if name not in self.table.names]
        strange = [name for name in self.table.names if name not in private.names]
        if lacking or strange:
            parts = [
                f"lacks {', '.join(map(repr, lacking))}" if lacking else "",
                f"has {', '.join(map(repr, strange))}, which the table does not" if strange else "",
            ]
            raise InputError(
                f"warm start {self.source} {' and '.join(filter(None, parts))}; give public rows "
                "of the same columns"
            )
        if same_rows(self.table, private, modelled):
            raise InputError(
                f"warm start {self.source} holds exactly the private rows; nothing would protect "
                "them: give public rows, or leave --warm-start out"
            )

    def codes(self, codec: TableCodec) -> IntArray:
        """The rows as the codec sees them, shape (rows, columns); odd cells count as missing."""
        cells = {c.name: self.table.cells(c, strict=False) for c in codec.columns}
        return np.asarray(codec.encode(cells), dtype=np.int64)
