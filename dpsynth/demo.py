"""A real table that an installed package ships, for `dpsynth demo`.

The RAND health insurance experiment as in statsmodels (20,190 person-years of medical visits;
Manning et al. 1987, as prepared by Cameron & Trivedi). Bounds are those that the study's design
makes public; what it leaves open is learned under the budget. The table names no persons, so the
privacy unit is a row, a person-year.
"""

from dpsynth.errors import InputError
from dpsynth.schema import Column, Schema
from dpsynth.table import Table


def demo_schema() -> Schema:
    """What the study's documentation makes public."""
    flags = tuple(
        Column(name=name, kind="integer", lower=0, upper=1, nullable=False)
        for name in ("idp", "hlthg", "hlthf", "hlthp")
    )
    numbers = (
        Column(name="mdvis", kind="integer", lower=0, upper=200, nullable=False),
        Column(name="lncoins", kind="numeric", lower=0, upper=5, nullable=False),
        flags[0],
        Column(name="lpi", kind="numeric", lower=0, upper=10, nullable=False),
        Column(name="fmde", kind="numeric", lower=0, upper=10, nullable=False),
        Column(name="physlm", kind="numeric", lower=0, upper=1, nullable=False),
        Column(name="disea", kind="numeric", nullable=False),
    )
    return Schema(columns=(*numbers, *flags[1:]))


def demo_table() -> Table:
    """The table.

    Raises:
        InputError: statsmodels is not installed.
    """
    try:
        from statsmodels.datasets import randhie
    except ImportError as error:
        raise InputError(
            "the demo's table comes with statsmodels, which is not installed; "
            "pip install 'dpsynth[demo]' -c constraints.txt"
        ) from error
    return Table.from_frame(randhie.load_pandas().data, source="statsmodels randhie")
