"""Audits of a synthetic table against its training and holdout rows, whoever made it.

`audits.run(train, holdout, synthetic)` runs every installed attack and check and gives an
`AuditResult` with a verdict: "leak", "none" or "inconclusive". The package knows no generator.
"""

import importlib
from typing import TYPE_CHECKING, Any

from audits.errors import AttackError, AuditError, AuditInputError
from audits.result import AuditResult, Claim, Finding
from audits.statistics import Estimate

if TYPE_CHECKING:
    from audits.black_box.refit import ShadowPlan
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

# Loaded when first asked for: who reads a result needs neither attacks nor scikit-learn.
_LATE = {"ShadowPlan": "audits.black_box.refit", "run": "audits.suite"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)
