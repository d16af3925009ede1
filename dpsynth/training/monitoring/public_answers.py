"""What samples are compared with: noisy marginals, their noise, and what they prove."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.errors import InputError
from dpsynth.refinement.measured import Measured
from dpsynth.training.monitoring.diversity import Marginal
from dpsynth.training.monitoring.modes import sure_shares
from dpsynth.training.monitoring.noise_null import NoisyLaw, noisy_law

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class KnownNoise:
    """Noise of the public answers where `Measured` does not tell it all.

    Attributes:
        rows: in the row count, in rows. It moves a share when few codes are live.
        cells: for each column the standard deviation in each one-way cell, in rows, shape
            (sizes[j],): sqrt(k) times the usual where k cells were merged into one code. None
            takes `Measured.one_way_std` everywhere.
    """

    rows: float = 0.0
    cells: tuple[FloatArray, ...] | None = None


@dataclass(frozen=True, eq=False)
class Modes:
    """Cells that surely have rows.

    Attributes:
        places: among all cells of all marginals, one marginal after the other, shape (modes,).
        shares: their noisy shares, shape (modes,).
        sure: lower bounds of their true shares, > 0, shape (modes,).
        even: the share that each would have were all cells of its marginal alike, shape (modes,).
    """

    places: IntArray
    shares: FloatArray
    sure: FloatArray
    even: FloatArray


@dataclass(frozen=True, eq=False)
class PublicAnswers:
    """Noisy marginals, ready to be compared with.

    Attributes:
        names: of the columns.
        columns: one-way marginals.
        laws: the same under their noise once more.
        pairs: measured pairs of columns.
        tables: noisy shares of each pair's cells, shape (sizes[i] * sizes[j],).
        table_noise: standard deviation in each of them, as a share of the rows.
        modes: sure cells of the one-way marginals.
        combinations: sure cells of the pairs' tables.
    """

    names: tuple[str, ...]
    columns: tuple[Marginal, ...]
    laws: tuple[NoisyLaw, ...]
    pairs: tuple[tuple[int, int], ...]
    tables: tuple[FloatArray, ...]
    table_noise: float
    modes: Modes
    combinations: Modes

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each column."""
        return tuple(len(column.shares) for column in self.columns)

    def counts(self, codes: IntArray) -> tuple[IntArray, ...]:
        """How many rows have each code, for each column.

        Raises:
            InputError: the codes do not fit the columns.
        """
        sizes = self.sizes
        if codes.ndim != 2 or codes.shape[1] != len(sizes) or not len(codes):
            raise InputError(
                f"codes have shape {codes.shape}; rows of {len(sizes)} columns are needed, at "
                "least one"
            )
        if not np.issubdtype(codes.dtype, np.integer):
            raise InputError(f"codes are of type {codes.dtype}; give integers")
        low, high = codes.min(0), codes.max(0)
        for name, size, first, last in zip(self.names, sizes, low, high, strict=True):
            if first < 0 or last >= size:
                wrong = first if first < 0 else last
                raise InputError(
                    f"column {name!r} has code {wrong}; it must be from 0 to {size - 1}: sample "
                    "from a generator built for these columns"
                )
        return tuple(np.bincount(codes[:, j], minlength=size) for j, size in enumerate(sizes))

    def pair_counts(self, codes: IntArray) -> tuple[IntArray, ...]:
        """How many rows have each pair of codes, shape (sizes[i] * sizes[j],), for each pair."""
        sizes = self.sizes
        return tuple(
            np.bincount(codes[:, i] * sizes[j] + codes[:, j], minlength=sizes[i] * sizes[j])
            for i, j in self.pairs
        )


def public_answers(
    measured: Measured,
    names: Sequence[str],
    positions: Sequence[FloatArray | None],
    noise: KnownNoise | None,
    *,
    level: float,
) -> PublicAnswers:
    """Check the answers and work out what they prove.

    Args:
        measured, names, positions, noise: as for `Monitor`.
        level: probability that any of the sure shares of codes, and again of combinations, is too
            high.

    Raises:
        InputError: the arguments do not fit together.
    """
    noise = noise or KnownNoise()
    _check(measured, names, positions, noise)
    total = measured.rows
    columns = tuple(
        Marginal(shares, _cell_noise(shares, j, measured, noise), values)
        for j, (shares, values) in enumerate(zip(measured.one_way, positions, strict=True))
    )
    tables = tuple(table.ravel() / total for table in measured.tables)
    return PublicAnswers(
        names=tuple(names),
        columns=columns,
        laws=tuple(noisy_law(column.shares, column.noise) for column in columns),
        pairs=measured.pairs,
        tables=tables,
        table_noise=measured.std / total,
        modes=_modes([c.shares for c in columns], [c.noise for c in columns], level),
        combinations=_modes(
            tables, [np.hypot(measured.std, noise.rows * t) / total for t in tables], level
        ),
    )


def _cell_noise(
    shares: FloatArray, column: int, measured: Measured, noise: KnownNoise
) -> FloatArray:
    """Noise in each share.

    The projection spreads an error of the row count evenly over the live codes, and the shares are
    counts over that count: an error r moves a share by at most r * max(1 / live, share) / rows.
    """
    usual = np.full(len(shares), measured.one_way_std)
    cells = usual if noise.cells is None else noise.cells[column]
    live = max(int((shares > 0).sum()), 1)
    moved = noise.rows * np.maximum(shares, 1.0 / live)
    return np.asarray(np.hypot(cells, moved) / measured.rows)


def _modes(marginals: Sequence[FloatArray], noise: Sequence[FloatArray], level: float) -> Modes:
    shares = np.concatenate([np.zeros(0), *marginals])
    even = np.concatenate([np.zeros(0), *(np.full(len(of), 1.0 / len(of)) for of in marginals)])
    sure = sure_shares(shares, np.concatenate([np.zeros(0), *noise]), level=level)
    places = np.flatnonzero(sure > 0)
    return Modes(places, shares[places], sure[places], even[places])


def _check(
    measured: Measured,
    names: Sequence[str],
    positions: Sequence[FloatArray | None],
    noise: KnownNoise,
) -> None:
    sizes = measured.sizes
    if not sizes or measured.rows <= 0:
        raise InputError(f"{len(sizes)} columns and {measured.rows} rows; both must be above 0")
    for what, given in (("names", names), ("positions", positions)):
        if len(given) != len(sizes):
            raise InputError(f"{len(given)} {what} for {len(sizes)} columns; give one for each")
    for name, shares in zip(names, measured.one_way, strict=True):
        if shares.min() < 0 or abs(float(shares.sum()) - 1.0) > 1e-6:
            raise InputError(
                f"the marginal of column {name!r} sums to {float(shares.sum()):.6g} with least "
                f"share {shares.min():.3g}; project it on the distributions first"
            )
    for name, size, values in zip(names, sizes, positions, strict=True):
        if values is not None and values.shape != (size,):
            raise InputError(
                f"column {name!r} has positions of shape {values.shape}; it has {size} codes"
            )
    if noise.cells is not None and tuple(map(len, noise.cells)) != sizes:
        raise InputError(
            f"noise is given for {tuple(map(len, noise.cells))} cells, the columns have {sizes}"
        )
