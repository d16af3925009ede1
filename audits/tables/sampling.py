"""Seeded subsamples: every one is a function of the audit's seed and the name of its user."""

from __future__ import annotations

import zlib

import numpy as np

from audits.records import Encoded, Records

# Brute-force neighbours cost the product of two tables; beyond this a subsample takes part.
MAX_ROWS = 20_000


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each name, so that adding a check leaves the others' bits alone."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def bounded(tables: Encoded, *, rng: np.random.Generator) -> Encoded:
    """The tables, each cut to at most `MAX_ROWS` rows drawn without replacement."""
    return tables.map(lambda records: subsample(records, MAX_ROWS, rng=rng))


def subsample(records: Records, size: int, *, rng: np.random.Generator) -> Records:
    """At most `size` rows, drawn without replacement, kept in their order."""
    if len(records) <= size:
        return records
    return records.take(np.sort(rng.permutation(len(records))[:size]))


def equal_groups(rows: int, size: int, *, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers in as many random groups of `size` as it takes to use every row.

    The last group is filled up with rows of the first ones.
    """
    if rows == size:
        return [np.arange(rows)]
    shuffled = rng.permutation(rows)
    count = -(-rows // size)
    padded = np.concatenate([shuffled, shuffled])[: count * size]
    return [np.sort(group) for group in padded.reshape(count, size)]


def sizes(tables: Encoded) -> dict[str, int]:
    """Rows of each table by its name."""
    return {role: len(records) for role, records in tables.items()}
