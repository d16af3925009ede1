"""From a noisy quantile tree to the codes of a numeric column: atoms and bins.

An atom is a single value that many rows share (0 in a capital gain, 40 in weekly hours); it gets
a code of its own. The rest of the grid is cut into bins of about equal noisy mass. Inside a code
values are drawn by the finest masses that the tree could tell from noise, evenly elsewhere.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding.estimate import denoised, universal_contrast
from dpsynth.privacy.curator import TreeAnswer
from dpsynth.privacy.queries import QuantileTree

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class BinningRules:
    """How fine a numeric column is coded. Public constants, the same for every table.

    Attributes:
        bins: most bins for what is not an atom.
        bin_share: smallest share of the rows for which a bin is made.
        bin_sigmas: noise standard deviations that a bin's count should exceed.
        atoms: most atoms.
        atom_share: smallest share of the rows that makes an atom.
        atom_sigmas: noise standard deviations that an atom's count must exceed.
        contrast: an atom holds this many times the mass of an average grid point around it.
    """

    bins: int = 24
    bin_share: float = 0.0075
    bin_sigmas: float = 3.0
    atoms: int = 40
    atom_share: float = 0.004
    atom_sigmas: float = 3.5
    contrast: float = 3.0

    def open_above(self, *, rows: float, std: float) -> float:
        """Noisy count above which a tree node is opened: it might hold an atom."""
        return max(self.atom_share * rows, self.atom_sigmas * std)


@dataclass(frozen=True)
class Intervals:
    """A grid cut into intervals, each of which belongs to a code.

    Attributes:
        starts: first grid point of each interval, ascending from 0.
        codes: code of each interval; codes run from 0 without gaps.
        weights: share of the interval within its code; the shares of a code sum to 1.
    """

    starts: IntArray
    codes: IntArray
    weights: FloatArray


@dataclass(frozen=True)
class _Leaves:
    starts: IntArray
    masses: FloatArray


def cut(tree: QuantileTree, answer: TreeAnswer, *, rows: float, rules: BinningRules) -> Intervals:
    """The codes of a numeric column from the noisy answer of its quantile tree.

    Args:
        tree: the tree that was explored.
        answer: its noisy counts.
        rows: the noisy row count.
        rules: how fine.
    """
    leaves = _leaves(tree, answer, rows=rows)
    least = max(rules.bin_share * rows, rules.bin_sigmas * answer.std)
    lengths = np.diff(np.r_[leaves.starts, tree.grid.size])
    floor = max(rules.atom_share * rows, rules.atom_sigmas * answer.std)
    atoms = (lengths == 1) & (leaves.masses >= floor) & _stands_out(leaves, lengths, rules)
    if atoms.sum() > rules.atoms:
        heaviest = np.sort(leaves.masses[atoms])[-rules.atoms]
        atoms &= leaves.masses >= heaviest
    bins = int(np.clip(leaves.masses[~atoms].sum() // least, 1, rules.bins))
    starts, masses, atom = _split_long(leaves, lengths, atoms, bins=bins)
    codes = _number(masses, atom, bins=bins)
    lengths = np.diff(np.r_[starts, tree.grid.size])
    return Intervals(starts, codes, _shares(codes, masses, lengths))


def _leaves(tree: QuantileTree, answer: TreeAnswer, *, rows: float) -> _Leaves:
    """The opened tree as runs of grid points with a mass each, ascending."""
    opened = [set(map(int, level.parents)) for level in answer.levels[1:]] + [set()]
    starts: list[int] = []
    masses: list[float] = []
    inherited = {0: rows}
    contrast = universal_contrast(sum(level.counts.size for level in answer.levels))
    for depth, level in enumerate(answer.levels, start=1):
        passed: dict[int, float] = {}
        span = tree.span(depth)
        for parent, counts in zip(level.parents, level.counts, strict=True):
            if int(parent) not in inherited:
                continue  # beyond the end of the grid, where there is nothing but noise
            first = int(parent) * tree.branching
            inside = min(tree.branching, -(-(tree.grid.size - first * span) // span))
            runs, run_masses = denoised(
                counts[:inside], answer.std, total=inherited[int(parent)], contrast=contrast
            )
            for child, end, mass in _pieces(runs, run_masses, inside, opened[depth - 1], first):
                if end - child == 1 and first + child in opened[depth - 1]:
                    passed[first + child] = mass
                else:
                    starts.append((first + child) * span)
                    masses.append(mass)
        inherited = passed
    order = np.argsort(starts)
    return _Leaves(np.array(starts, dtype=np.int64)[order], np.array(masses)[order])


def _pieces(
    runs: IntArray, masses: FloatArray, size: int, opened: set[int], first: int
) -> list[tuple[int, int, float]]:
    """Runs of children as (first child, end, mass), cut so that opened children stand alone."""
    pieces: list[tuple[int, int, float]] = []
    for start, end, mass in zip(runs, np.r_[runs[1:], size], masses, strict=True):
        inner = [c for c in range(int(start), int(end)) if first + c in opened]
        edges = sorted({int(start), int(end), *inner, *(c + 1 for c in inner)})
        share = mass / (end - start)
        pieces += [(a, b, share * (b - a)) for a, b in itertools.pairwise(edges)]
    return pieces


def _stands_out(leaves: _Leaves, lengths: IntArray, rules: BinningRules) -> NDArray[np.bool_]:
    """Whether a leaf is much denser than the leaves on both of its sides, or at an end of them.

    On a short grid every value may be an atom; on a long one a smooth hump must not turn into
    atoms.
    """
    if int(lengths.sum()) <= 2 * rules.bins:
        return np.ones(len(lengths), dtype=bool)
    density = leaves.masses / lengths
    left = np.r_[0.0, density[:-1]]
    right = np.r_[density[1:], 0.0]
    found: NDArray[np.bool_] = density >= rules.contrast * np.minimum(left, right)
    return found


def _split_long(
    leaves: _Leaves, lengths: IntArray, atoms: NDArray[np.bool_], *, bins: int
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Cut leaves that hold more than a bin's mass into equal parts, on grid points."""
    target = leaves.masses[~atoms].sum() / bins if (~atoms).any() else 0.0
    starts: list[int] = []
    masses: list[float] = []
    flags: list[bool] = []
    for start, length, mass, atom in zip(leaves.starts, lengths, leaves.masses, atoms, strict=True):
        parts = 1 if atom or target <= 0 else int(np.clip(np.ceil(mass / target), 1, length))
        edges = np.unique(np.floor(np.arange(parts) * (length / parts)).astype(np.int64))
        widths = np.diff(np.r_[edges, length])
        starts += [int(start + e) for e in edges]
        masses += [float(mass * w / length) for w in widths]
        flags += [bool(atom)] * len(edges)
    return np.array(starts, dtype=np.int64), np.array(masses), np.array(flags)


def _number(masses: FloatArray, atoms: NDArray[np.bool_], *, bins: int) -> IntArray:
    """Codes in ascending order of value: one an atom, one for each bin of about equal mass."""
    rest = masses[~atoms].sum()
    codes = np.zeros(len(masses), dtype=np.int64)
    bin_of = np.zeros(len(masses), dtype=np.int64)
    middle = np.cumsum(np.where(atoms, 0.0, masses)) - 0.5 * np.where(atoms, 0.0, masses)
    if rest > 0:
        bin_of = np.minimum((middle * bins / rest).astype(np.int64), bins - 1)
    labels: dict[tuple[bool, int], int] = {}
    for i, atom in enumerate(atoms):
        key = (bool(atom), i if atom else int(bin_of[i]))
        codes[i] = labels.setdefault(key, len(labels))
    return codes


def _shares(codes: IntArray, masses: FloatArray, lengths: IntArray) -> FloatArray:
    """Each interval's share of its code; by length where a code has no mass."""
    size = int(codes.max()) + 1
    of_code = np.bincount(codes, weights=masses, minlength=size)
    by_length = np.bincount(codes, weights=lengths, minlength=size)
    empty = of_code[codes] <= 0
    return np.where(
        empty, lengths / by_length[codes], masses / np.where(empty, 1.0, of_code[codes])
    )
