"""What an audit found, as frozen values with a versioned JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from audits.errors import AuditInputError
from audits.statistics import Estimate

FORMAT = "audits.result/2"
Family = Literal[
    "membership", "disclosure", "nearest_neighbours", "copies", "diversity", "fidelity"
]
Verdict = Literal["leak", "none", "inconclusive", "measured"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The privacy that was claimed for the generator, which the attacks are held against.

    Attributes:
        epsilon: for adding or removing one row; above 0.
        delta: in [0, 1).

    Raises:
        AuditInputError: a value out of range.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0.0):
            raise AuditInputError(f"claimed epsilon is {self.epsilon}; give a number above 0")
        if not 0.0 <= self.delta < 1.0:
            raise AuditInputError(f"claimed delta is {self.delta}; give a number from 0 to below 1")

    def replacing(self) -> tuple[float, float]:
        """Epsilon and delta for replacing one row by another: one removal, then one addition."""
        # Dwork and Roth 2014, group privacy for two changes.
        return 2.0 * self.epsilon, self.delta * (1.0 + math.exp(min(self.epsilon, 700.0)))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one attack or check.

    Attributes:
        name: of the attack or check; the first half of each figure's full name.
        family: what kind of evidence it is.
        figures: named estimates.
        verdict: "leak", "none" (nothing found), "inconclusive", or "measured" for what has no
            verdict of its own.
        reason: the verdict in plain words.
        blind_spot: what this check cannot see, in plain words.
        group: findings of one group were tested together; "" for what has no test.
        knowledge: what the attacker holds, in plain words; "" for what is no attack.
        rows_used: rows of each table that took part, where a seeded subsample bounded the time.
        p_value: one-sided, corrected within its group of tests only; None without a test.
        p_adjusted: after correction over all tests of the audit.
        curves: lists for plots. They describe real rows: for internal reports only.
    """

    name: str
    family: Family
    figures: Mapping[str, Estimate]
    verdict: Verdict
    reason: str
    blind_spot: str
    group: str = ""
    knowledge: str = ""
    rows_used: Mapping[str, int] = field(default_factory=dict)
    p_value: float | None = None
    p_adjusted: float | None = None
    curves: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """All findings of one audit; equal inputs and seed give equal JSON but for `seconds`.

    Attributes:
        seed: of the audit's own subsamples; never of a generator's noise.
        confidence: of every interval; 1 - confidence is the false-alarm rate of the whole audit.
        sizes: rows of "train", "holdout", "synthetic" (and "reference") as given.
        findings: in the order they were made.
        claim: what the attacks were held against, or None.
        notes: what a reader must know of the tables, in plain sentences.
        options: how the audit was asked for, as far as it bears on figures: what a re-run needs.
        versions: of Python and the numerical libraries.
        seconds: wall time by finding.
    """

    seed: int
    confidence: float
    sizes: Mapping[str, int]
    findings: tuple[Finding, ...]
    versions: Mapping[str, str]
    claim: Claim | None = None
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def verdict(self) -> Verdict:
        """ "leak" if any finding is one; "none" if every group has a test that would have noticed.

        A test that is blind here is inconclusive by itself; beside another of its group that is
        not, it takes nothing away. Without any test the verdict is "inconclusive".
        """
        by_group: dict[str, set[Verdict]] = {}
        for finding in self.findings:
            if finding.verdict != "measured":
                by_group.setdefault(finding.group or finding.name, set()).add(finding.verdict)
        if any("leak" in found for found in by_group.values()):
            return "leak"
        sure = bool(by_group) and all("none" in found for found in by_group.values())
        return "none" if sure else "inconclusive"

    def finding(self, name: str) -> Finding:
        """The finding of this name.

        Raises:
            AuditInputError: there is none.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        known = ", ".join(finding.name for finding in self.findings)
        raise AuditInputError(f"no finding {name!r} in this audit; it has {known}")

    def figure(self, name: str) -> Estimate:
        """The figure "finding.figure", such as "closest_record.auroc".

        Raises:
            AuditInputError: there is none of that name.
        """
        head, _, tail = name.partition(".")
        figures = self.finding(head).figures
        if tail not in figures:
            raise AuditInputError(
                f"no figure {name!r} in this audit; finding {head!r} has {', '.join(figures)}"
            )
        return figures[tail]

    def figures(self) -> dict[str, Estimate]:
        """All figures by full name."""
        return {
            f"{finding.name}.{name}": estimate
            for finding in self.findings
            for name, estimate in finding.figures.items()
        }

    def to_json_text(self) -> str:
        """Canonical JSON: sorted keys, ten significant digits, a final newline."""
        data = _rounded(asdict(self)) | {"verdict": self.verdict}
        return json.dumps(data, sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json_text(cls, text: str) -> AuditResult:
        """Read what `to_json_text` wrote.

        Raises:
            AuditInputError: not JSON, another format, a field missing or unknown, or a verdict
                that the findings do not bear out.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as fault:
            raise AuditInputError(
                f"audit result is not JSON: {fault}; was it cut short?"
            ) from fault
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise AuditInputError(f"audit result has format {found!r}; this version reads {FORMAT}")
        stated = data.pop("verdict", None)
        try:
            findings = tuple(_finding(item) for item in data.pop("findings"))
            claim = data.pop("claim")
            result = cls(
                findings=findings,
                claim=None if claim is None else Claim(**claim),
                notes=tuple(data.pop("notes")),
                **data,
            )
        except (TypeError, KeyError, AttributeError) as fault:
            raise AuditInputError(
                f"audit result has a missing or unknown field: {fault}; audit the tables again"
            ) from fault
        if result.verdict != stated:
            raise AuditInputError(
                f"audit result states verdict {stated!r} but its findings say {result.verdict!r}; "
                f"the file was changed after it was written"
            )
        return result


def _finding(data: Mapping[str, Any]) -> Finding:
    figures = {name: Estimate(**values) for name, values in data["figures"].items()}
    finding = Finding(**{**data, "figures": figures})
    if finding.verdict not in get_args(Verdict) or finding.family not in get_args(Family):
        raise AuditInputError(
            f"finding {finding.name!r} has family {finding.family!r} and verdict "
            f"{finding.verdict!r}; allowed are {get_args(Family)} and {get_args(Verdict)}"
        )
    return finding


def _rounded(value: Any) -> Any:
    """Floats to ten significant digits, so that another machine's last bits do not show."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise AuditInputError(f"a figure is {value}; an audit result holds finite numbers only")
        return float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value]
