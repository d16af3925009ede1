"""Which plots a finding has: read off the curves it carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audits.plots import attacks as plots_attacks
from audits.plots import quality as plots_quality
from audits.result import AuditResult, Finding


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        caption: what it shows, in a sentence; also its text for readers who do not see it.
        svg: an `<svg>` element.
    """

    caption: str
    svg: str


def plots(finding: Finding, result: AuditResult) -> list[Plot]:
    """Plots for whatever this finding has curves for; an empty list is no fault."""
    return [
        Plot(caption, draw(finding, result))
        for needed, caption, draw in _PLOTS
        if all(finding.curves.get(name) for name in needed.split())
    ]


def overview(result: AuditResult) -> list[Plot]:
    """The attacks side by side: their curves with the claim, and the criteria's success rates."""
    found = []
    attacks = [item for item in result.findings if item.curves.get("roc_fpr")]
    if attacks:
        caption = "How well each attack tells training rows from rows never seen, on log axes."
        if result.claim is not None:
            caption += (
                " The shaded region is what the claimed epsilon and delta rule out; a curve of one "
                "run that enters it is a hint, and the finding 'claim' says whether it is proof."
            )
        found.append(Plot(caption, plots_attacks.all_curves(attacks, result)))
    return found


_PLOTS: tuple[tuple[str, str, Callable[[Finding, AuditResult], str]], ...] = (
    (
        "roc_fpr roc_tpr",
        "True-positive against false-positive rate of this attack, on log axes.",
        plots_attacks.curve,
    ),
    (
        "groups",
        "AUROC within small groups, the highest first; intervals hold for all groups at once.",
        plots_attacks.groups,
    ),
    (
        "sub_attack attack control baseline",
        "Success rate against training rows, against rows never seen, and of guessing.",
        plots_attacks.rates,
    ),
    (
        "dcr_edges",
        "Distance of synthetic rows to their closest real row.",
        plots_quality.distances,
    ),
    (
        "coverage coverage_baseline columns",
        "Values and ranges of the training table that still occur.",
        plots_quality.coverage,
    ),
    (
        "tvd2_matrix columns",
        "Distance of the two-way counts from the training table's.",
        plots_quality.heat_map,
    ),
    (
        "columns correlation_real correlation_synthetic",
        "Association of every two columns, real and synthetic.",
        plots_quality.associations,
    ),
    (
        "targets tstr trtr",
        "How well a model trained on synthetic rows, or on real ones, predicts unseen real rows.",
        plots_quality.utility,
    ),
)
