"""A column's public domain in a few words, for card and metadata."""

from dpsynth.columns import Column

#: Categories that are spelled out; schema.json has them all.
MOST_NAMED = 6


def domain_of(column: Column) -> str:
    """What values the column can take, as far as it is public."""
    if column.kind == "identifier":
        return "made afresh, no real one"
    if column.kind == "boolean":
        return "true or false"
    if column.categories is not None:
        named = ", ".join(column.categories[:MOST_NAMED])
        rest = len(column.categories) - MOST_NAMED
        return f"{named}, and {rest} more" if rest > 0 else named
    if column.lower is None and column.upper is None:
        return "not declared"
    low = "…" if column.lower is None else column.lower
    high = "…" if column.upper is None else column.upper
    return f"{low} to {high}"
