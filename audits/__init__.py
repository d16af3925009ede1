"""Audits of a synthetic table against its training and holdout rows, whoever made it.

`audits.run(train, holdout, synthetic)` runs every installed attack and check and gives an
`AuditResult` with a verdict: "leak", "none" or "inconclusive". The package knows no generator.
"""

from audits.black_box.refit import ShadowPlan
from audits.errors import AttackError, AuditError, AuditInputError
from audits.result import AuditResult, Claim, Finding
from audits.statistics import Estimate
from audits.suite import run

__all__ = [
    "AttackError",
    "AuditError",
    "AuditInputError",
    "AuditResult",
    "Claim",
    "Estimate",
    "Finding",
    "ShadowPlan",
    "run",
]
