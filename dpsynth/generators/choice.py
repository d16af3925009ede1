"""Which generator suits a table, by public facts alone: what `--generator auto` follows.

The rule comes from measured figures (docs/generators.md, `benchmarks/generators.py`). Nothing of
the rows enters it, so it costs nothing and tells nothing.
"""

from dataclasses import dataclass

AUTO = "auto"

SUITS: dict[str, str] = {
    "autoregressive": "any table: its rows are the best to learn from in all that was measured",
    "diffusion": "many rows and numeric columns, epsilon from 3 on; behind the default",
    "gan": "many rows, epsilon from 3 on; slow to train; behind the default",
    "independent": "a single column, and as the baseline that others must beat",
    "vae": "many rows, epsilon from 3 on; the fastest network; behind the default",
}
"""What `dpsynth generators` says of each, from the figures in docs/generators.md."""


@dataclass(frozen=True)
class Choice:
    """A generator, and why."""

    generator: str
    reason: str


def choose(*, columns: int | None) -> Choice:
    """The generator for a table.

    Args:
        columns: how many will be modelled; None where that is not known yet.
    """
    if columns == 1:
        return Choice("independent", "a single column has no relations to learn")
    unknown = "" if columns is not None else "; how many columns there are is known with a schema"
    return Choice(
        "autoregressive", f"its rows are the best to learn from in all that was measured{unknown}"
    )
