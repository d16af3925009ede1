"""Encoded private rows: compact, and encoded once for each codec in turn."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from dpsynth.cells import Cells
from dpsynth.privacy.rows import PrivateRows
from dpsynth.schema import Column
from dpsynth.table import Table


class _Codec:
    """One column of whole numbers, which are their own codes; counts how often it is asked."""

    columns = (Column(name="x", kind="integer"),)

    def __init__(self, size: int) -> None:
        self.sizes = (size,)
        self.asked = 0

    def encode(self, cells: Mapping[str, Cells]) -> np.ndarray:
        self.asked += 1
        return cells["x"].values.astype(np.int64)[:, None]


def _rows(last: int) -> PrivateRows:
    table = Table.from_frame(pd.DataFrame({"x": [0, 7, last]}))
    return PrivateRows(table, unit=None, max_rows_per_unit=1, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (256, np.uint8),
        (257, np.int16),
        (2**15, np.int16),
        (2**15 + 1, np.int32),
        (2**31 + 1, np.int64),
    ],
)
def test_codes_come_in_the_smallest_type_that_holds_them(size: int, kind: type) -> None:
    codes = _rows(size - 1).codes(_Codec(size))
    assert codes.dtype == kind
    assert codes[:, 0].tolist() == [0, 7, size - 1]


def test_rows_are_encoded_once_for_many_questions_about_one_codec() -> None:
    rows, first, second = _rows(9), _Codec(10), _Codec(300)
    assert rows.codes(first) is rows.codes(first)
    assert rows.codes(second).dtype == np.int16
    rows.codes(first)
    assert (first.asked, second.asked) == (2, 1)
