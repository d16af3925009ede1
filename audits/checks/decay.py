"""What the synthetic table lost against the generation before it.

Measured, not judged: support, entropy, variance, and the mass and reach of the tails, all against
one random half of the earlier release. Beside each stands the same figure of the other half
(`<figure>_baseline`), in equal number: what no decay at all would get. A model trained on what a
model made loses a little each turn (Shumailov et al. 2024, Nature 631; Alemohammad et al. 2024,
ICLR), so what is small here and always on one side adds up over generations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from audits.earlier import Earlier
from audits.judgement import Evidence, Settings
from audits.measures.resampling import everything, jackknife, random_groups
from audits.measures.spread import CAP, Spread, spread
from audits.records import Encoded, Records
from audits.statistics import Estimate
from audits.tables.binning import Cells, cells
from audits.tables.sampling import generator, subsample

NAME = "decay"
TAIL = 0.01
"""Share of the earlier release beyond each end of a number column that counts as its tail."""
FIGURES = ("support", "entropy_ratio", "variance_ratio", "tail_mass", "tail_coverage")
_WORDS = {
    "support": "values and ranges reached",
    "entropy_ratio": "effective number of values",
    "variance_ratio": "variance",
    "tail_mass": "rows in the tails",
    "tail_coverage": "outermost ranges reached",
}
_BLIND_SPOT = (
    "It looks at one column at a time: a lost combination of values does not show, and what the "
    "earlier release had lost already is not missed here."
)


def run(tables: Earlier, *, settings: Settings) -> Evidence:
    """Figures of the synthetic table against half of the release, each with its baseline."""
    rng = generator(settings.seed, NAME)
    cut = _cut(tables, rng=rng)
    coded = cells(cut)
    # Both arms are split alike, so the draw of the groups is not in their difference.
    seed = int(rng.integers(2**32))
    arms = {
        role: _figures(cut, coded, role, np.random.default_rng(seed), settings.confidence)
        for role in ("synthetic", "holdout")
    }
    made, baseline = arms["synthetic"], arms["holdout"]
    figures = {}
    for name in made:
        figures[name], figures[f"{name}_baseline"] = made[name], baseline[name]
    return Evidence(
        name=NAME,
        family="diversity",
        figures=figures,
        blind_spot=_BLIND_SPOT,
        nothing=_summary(made, baseline),
        rows_used={"previous": len(cut.train), "synthetic": len(cut.synthetic)},
    )


def _cut(tables: Earlier, *, rng: np.random.Generator) -> Encoded:
    """One half of the release to hold against; the other half and the synthetic table, equal."""
    order = rng.permutation(len(tables.previous))
    half = max(1, len(order) // 2)
    first, second = np.sort(order[:half]), np.sort(order[half:])
    other = second if second.size else first
    size = min(len(other), len(tables.synthetic))
    return Encoded(
        train=tables.previous.take(first),
        holdout=subsample(tables.previous.take(other), size, rng=rng),
        synthetic=subsample(tables.synthetic, size, rng=rng),
    )


def _figures(
    cut: Encoded, coded: Cells, role: str, rng: np.random.Generator, confidence: float
) -> dict[str, Estimate]:
    rows: Records = getattr(cut, role)
    groups = random_groups(len(rows), rng=rng)
    columns = spread((cut.train, coded.train), (rows, getattr(coded, role)), groups)
    parts = _parts(columns, _tail_mass(cut.train, rows, groups))
    widest = float(max(len(labels) for labels in coded.labels))
    tops = {"entropy_ratio": widest, "variance_ratio": CAP, "tail_mass": 1.0 / (2.0 * TAIL)}
    figures = {}
    for name in FIGURES:
        values, bounds = parts[name], (0.0, tops.get(name, 1.0))
        for suffix, summary in (("", np.mean), ("_worst", np.min)):
            if values.shape[1] == 0:
                figures[name + suffix] = everything(0.0, confidence=confidence, bounds=bounds)
                continue
            found = summary(values, axis=1)
            figures[name + suffix] = jackknife(
                found[0], found[1:], confidence=confidence, bounds=bounds
            )
    return figures


def _parts(columns: Spread, mass: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "support": columns.coverage,
        "entropy_ratio": columns.entropy,
        "variance_ratio": columns.variance,
        "tail_mass": mass,
        "tail_coverage": columns.tail,
    }


def _tail_mass(train: Records, other: Records, groups: list[np.ndarray]) -> np.ndarray:
    """(G + 1, numbers): share of rows beyond the outer percentiles of train, over that of train.

    Columns where a single value fills the tails have none and are left out.
    """
    found = []
    for column in range(train.numbers.shape[1]):
        real = train.scaled[~np.isnan(train.numbers[:, column]), column]
        if real.size == 0:
            continue
        low, high = np.quantile(real, [TAIL, 1.0 - TAIL], method="inverted_cdf")
        own = float(((real < low) | (real > high)).mean())
        if own == 0.0:
            continue
        made = other.scaled[:, column]
        beyond = ((made < low) | (made > high)) & ~np.isnan(other.numbers[:, column])
        kept = [beyond, *(np.delete(beyond, group) for group in groups)]
        shares = [part.mean() if part.size else 0.0 for part in kept]
        found.append(np.minimum(np.array(shares) / own, 1.0 / (2.0 * TAIL)))
    return np.column_stack(found) if found else np.empty((len(groups) + 1, 0))


def _summary(made: Mapping[str, Estimate], baseline: Mapping[str, Estimate]) -> str:
    lower = [name for name in FIGURES if made[name].upper < baseline[name].lower]
    held = ", ".join(
        f"{_WORDS[name]} {made[name].value:.3f} ({baseline[name].value:.3f})" for name in FIGURES
    )
    if not lower:
        said = "No figure is surely below what the earlier release shows of itself"
    else:
        named = ", ".join(_WORDS[name] for name in lower)
        said = f"Surely less than in the earlier release: {named}"
    return f"{said}. Of its own figure, and that of its other half in brackets: {held}."
