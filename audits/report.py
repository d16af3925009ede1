"""One page of HTML for one audit, with everything in the file.

For internal eyes: its plots and figures come from real rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from audits.plots.catalogue import overview, plots
from audits.result import AuditResult, Finding
from audits.statistics import Estimate

WORDS = {
    "leak": "Leak found",
    "none": "Nothing found",
    "inconclusive": "Inconclusive",
    "measured": "Measured",
}
SUMMARY = {
    "leak": (
        "At least one test tells the rows that the generator was trained on from rows that it "
        "never saw, more clearly than chance explains."
    ),
    "none": (
        "No test tells training rows from rows never seen, and each would have noticed a leak of "
        "the size it states. That is no proof of privacy: it says what these attacks did not find."
    ),
    "inconclusive": (
        "No test found a leak, but at least one could not have seen it. Each such finding says why."
    ),
}
SECTIONS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "membership",
        ("membership",),
        "Membership inference",
        "Can an attacker tell whether a person's row was in the training table? Attacks are run on "
        "training rows and on rows never seen; guessing gives an AUROC of 0.5.",
    ),
    (
        "disclosure",
        ("disclosure",),
        "Singling out, linkability, inference",
        "The three tests of WP29 Opinion 05/2014. Success on training rows counts only as far as "
        "it exceeds success on rows never seen.",
    ),
    (
        "bugs",
        ("nearest_neighbours", "copies"),
        "Bug detectors: copies and nearest neighbours",
        "They find generators that copy. Passing them is no evidence of privacy: tables that pass "
        "are still open to membership attacks.",
    ),
    (
        "diversity",
        ("diversity",),
        "Diversity",
        "Did the synthetic table keep the variety of the real one? Each figure stands beside what "
        "real rows never seen would have got.",
    ),
    (
        "fidelity",
        ("fidelity",),
        "Fidelity and utility",
        "How close are counts, associations and models? Each figure stands beside what real rows "
        "never seen would have got.",
    ),
)


def html(result: AuditResult) -> str:
    """The page as text; equal results (but for their timing) give equal bytes."""
    # Imported here: an audit without a report needs no template library.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["small"] = lambda value: f"{value:.2g}"
    template = files("audits").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template)
    return page.render(**_context(result)) + "\n"


def write_html(result: AuditResult, path: str | Path) -> None:
    """Write the page; a run cut short leaves no half page behind."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(html(result), encoding="utf-8")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _context(result: AuditResult) -> dict[str, Any]:
    return {
        "result": result,
        "words": WORDS,
        "summary": SUMMARY[result.verdict],
        "overview": overview(result),
        "sections": [
            (key, title, intro, [item for item in result.findings if item.family in families])
            for key, families, title, intro in SECTIONS
        ],
        "attacks": [item for item in result.findings if item.curves.get("roc_fpr")],
        "drawn": {finding.name: plots(finding, result) for finding in result.findings},
        "rows": {finding.name: _rows(finding) for finding in result.findings},
    }


def _rows(finding: Finding) -> list[tuple[str, Estimate, Estimate | None]]:
    """(name, figure, real-against-real baseline or None), in the order of the figures."""
    figures: Mapping[str, Estimate] = finding.figures
    return [
        (name, figure, figures.get(f"{name}_baseline"))
        for name, figure in figures.items()
        if not (name.endswith("_baseline") and name.removesuffix("_baseline") in figures)
    ]


def _figure(estimate: Estimate | None) -> Markup:
    """A figure with its interval below it, or alone where it is a plain count."""
    if estimate is None:
        return Markup("")
    value = Markup("{:.3g}").format(estimate.value)
    if estimate.lower == estimate.upper:
        return value
    return value + Markup(" <small>[{:.3g}, {:.3g}]</small>").format(estimate.lower, estimate.upper)
