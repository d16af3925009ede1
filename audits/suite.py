"""The whole audit: tables in, one result out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import joblib
import numpy as np
import pandas as pd
import scipy
import sklearn
from threadpoolctl import threadpool_limits

from audits import registry
from audits.black_box.refit import Refit, RefitFrame, ShadowPlan, wrap
from audits.checks import (
    copies,
    correlation,
    decay,
    diversity,
    feedback,
    fidelity,
    nearest_neighbours,
    two_sample,
    utility,
)
from audits.disclosure.evaluation import evaluate
from audits.earlier import Earlier, encode_earlier
from audits.errors import AttackError, AuditInputError
from audits.judgement import Evidence, Settings, judge
from audits.membership.bounds import CLAIM
from audits.membership.stages import VULNERABLE, membership_evidence
from audits.membership.stages import groups as membership_groups
from audits.records import Encoded, encode
from audits.registry import Attack, DisclosureAttack, holds, is_disclosure, is_membership
from audits.result import AuditResult, Claim
from audits.steps import Progress, Steps
from audits.tables.notes import notes
from audits.tables.overlap import overlap, without_overlap
from audits.tables.sampling import sizes

_TESTED = {check.NAME: check for check in (nearest_neighbours, copies)}
_MEASURED = {check.NAME: check for check in (diversity, fidelity, correlation, two_sample, utility)}
_AGAINST_EARLIER = {check.NAME: check for check in (feedback, decay)}
"""Checks that need an earlier release; `feedback` tests, `decay` measures."""
CHECKS = (*_TESTED, *_MEASURED, *_AGAINST_EARLIER)


class Check(Protocol):
    """What a file in `audits/checks/` looks like from outside."""

    NAME: str

    def run(self, tables: Encoded, *, settings: Settings) -> Evidence:
        """The evidence of this check."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """An audit as asked for; see `run`."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    seed: int = 0
    n_jobs: int = 1
    confidence: float = 0.95
    attacks: Sequence[str] | None = None
    checks: Sequence[str] | None = None
    claim: Claim | None = None
    refit: RefitFrame | None = None
    shadows: ShadowPlan | None = None
    remove_overlap: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise AuditInputError(f"seed is {self.seed!r}; give a whole number, 0 or more")
        if isinstance(self.n_jobs, bool) or not isinstance(self.n_jobs, int) or self.n_jobs == 0:
            raise AuditInputError(
                f"n_jobs is {self.n_jobs!r}; give 1 or more threads, or -1 for all cores"
            )
        if not 0.5 <= self.confidence < 1.0:
            raise AuditInputError(
                f"confidence is {self.confidence!r}; give a number from 0.5 to below 1"
            )


def run(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    reference: pd.DataFrame | None = None,
    previous: pd.DataFrame | None = None,
    refit: RefitFrame | None = None,
    shadows: ShadowPlan | None = None,
    claim: Claim | None = None,
    kinds: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    remove_overlap: bool = False,
    attacks: Sequence[str] | None = None,
    checks: Sequence[str] | None = None,
    seed: int = 0,
    n_jobs: int = 1,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> AuditResult:
    """Audit a synthetic table against the rows it was made from and rows it never saw.

    The arguments are many because each is a separate choice of the caller; all have a default, and
    what was given decides what is run.

    Args:
        train: rows the generator was trained on.
        holdout: rows of the same source, drawn at random, that it never saw.
        synthetic: rows it made.
        reference: further rows of the same source, for attacks that know such rows; without them
            half of the holdout is lent to them.
        previous: rows of an earlier release, the generation before: whether its rows were fed back
            into train, and what was lost since. Its checks run only if it is given.
        refit: the generator as a black box, `refit(rows, seed) -> synthetic rows`, both data
            frames with the columns of train that are not ignored; black-box attacks run only if
            it is given. With several threads it is called from several at once.
        shadows: how many shadow models, and where to keep them so that a killed audit goes on; its
            seed and row count are set here.
        claim: the privacy claimed for the generator; the attacks are held against it.
        kinds: "number", "category" or "datetime" by column; guessed where not given.
        ignore: columns to leave out, such as identifiers.
        remove_overlap: leave out rows that stand in both real tables (from both, so that the arms
            stay comparable); they are counted and reported either way.
        attacks: names to run; by default all installed ones for which there is what they need.
        checks: names to run, out of `CHECKS`; all by default.
        seed: of the audit's own subsamples, 0 or more. Same seed and rows, same figures.
        n_jobs: threads; they change the time, no bit of the result.
        confidence: of every interval; 1 - confidence is the false-alarm rate of the audit.
        progress: called with (what, steps done, steps in all) before each step and at the end.

    Returns:
        The result; its verdict is "leak", "none" or "inconclusive".

    Raises:
        AuditInputError: tables that do not fit together, or an argument out of range.
    """
    request = _Request(
        kinds=kinds or {},
        ignore=tuple(ignore),
        seed=seed,
        n_jobs=n_jobs,
        confidence=confidence,
        attacks=attacks,
        checks=checks,
        claim=claim,
        refit=refit,
        shadows=shadows,
        remove_overlap=remove_overlap,
    )
    chosen, skipped = _choose(request)
    given = encode(train, holdout, synthetic, reference, kinds=kinds, ignore=ignore)
    black_box = _black_box(request, train, given, progress)
    earlier = _earlier(request, given, previous, (train, synthetic))
    return _audit(given, request, chosen, skipped, black_box, earlier, progress)


def _earlier(
    request: _Request,
    given: Encoded,
    previous: pd.DataFrame | None,
    others: tuple[pd.DataFrame, pd.DataFrame],
) -> Earlier | None:
    """The earlier release beside train and synthetic; None where there is none."""
    asked = _AGAINST_EARLIER.keys() & set(request.checks or ())
    if previous is None and asked:
        raise AuditInputError(
            f"check {min(asked)!r} needs an earlier release; give previous, or leave it out"
        )
    if previous is None:
        return None
    layout = given.train.layout
    return encode_earlier(previous, *others, layout=layout, ignore=request.ignore)


def _black_box(
    request: _Request, train: pd.DataFrame, given: Encoded, progress: Progress | None
) -> Refit | None:
    """The generator as the attacks call it, with what they may know of its training."""
    if request.refit is None:
        return None
    named = train.set_axis([str(name) for name in train.columns], axis=1)
    plan = replace(
        request.shadows or ShadowPlan(),
        seed=request.seed,
        train_rows=len(given.train),
        progress=progress,
    )
    layout = given.train.layout
    return wrap(request.refit, layout, like=named[list(layout.names)], plan=plan)


def _choose(request: _Request) -> tuple[dict[str, Attack], list[str]]:
    """The attacks to run, and sentences on those that cannot be."""
    installed = registry.choose(request.attacks)
    for name in installed:
        if name in {*CHECKS, VULNERABLE, CLAIM}:
            raise AttackError(f"an attack is named {name!r}, like a check; rename it")
    if request.refit is not None:
        return installed, []
    black = [n for n, a in installed.items() if is_membership(a) and "refit" in holds(a)]
    if black and request.attacks is not None:
        raise AuditInputError(
            f"attack {black[0]!r} needs the generator as a black box; give refit, or leave it out"
        )
    kept = {name: attack for name, attack in installed.items() if name not in black}
    sentence = f"Not run, as they need the generator itself (refit): {', '.join(black)}."
    return kept, [sentence] if black else []


def _audit(
    given: Encoded,
    request: _Request,
    chosen: Mapping[str, Attack],
    skipped: Sequence[str],
    refit: Refit | None,
    earlier: Earlier | None,
    progress: Progress | None,
) -> AuditResult:
    found = overlap(given)
    kept = without_overlap(given) if request.remove_overlap else given
    _check_left(kept)
    # Row order must not matter, so every seeded draw starts from one order.
    tables = kept.map(lambda records: records.ordered())
    members = {name: a for name, a in chosen.items() if is_membership(a)}
    others = {name: a for name, a in chosen.items() if is_disclosure(a)}
    checks, against = _checks(request.checks), _against(request.checks, earlier)
    groups = len(_TESTED.keys() & checks.keys()) + len(others) + (feedback.NAME in against)
    groups += len(membership_groups(members, given=tables.reference is not None))
    settings = Settings(
        seed=request.seed,
        confidence=request.confidence,
        groups=groups + (request.claim is not None and bool(members)),
    )
    count = len(members) + 2 * bool(members) + len(others) + len(checks) + len(against)
    steps = Steps(count, progress)
    evidence: list[Evidence] = []
    # Libraries get one thread each, so that a sum has one order; the audit's own threads suffice.
    with threadpool_limits(1), joblib.parallel_config(backend="threading", n_jobs=request.n_jobs):
        if members:
            evidence += membership_evidence(
                members, tables, steps, settings=settings, claim=request.claim, refit=refit
            )
        for name, attack in others.items():
            evidence.append(steps.take(name, partial(_disclose, attack, tables, settings)))
        for name, check in checks.items():
            evidence.append(steps.take(name, partial(check.run, tables, settings=settings)))
        for name, against_earlier in against.items():
            evidence.append(steps.take(name, partial(against_earlier, settings=settings)))
    steps.end()
    return AuditResult(
        seed=request.seed,
        confidence=request.confidence,
        sizes=sizes(given) | ({} if earlier is None else {"previous": len(earlier.previous)}),
        findings=judge(evidence, settings=settings),
        versions=_versions(),
        claim=request.claim,
        notes=(*skipped, *notes(kept, found, removed=request.remove_overlap)),
        options=_options(request, chosen, given) | {"checks": sorted([*checks, *against])},
        seconds=steps.seconds,
    )


def _checks(names: Sequence[str] | None) -> dict[str, Check]:
    """The checks of these names, or all of them, that need no more than the three tables."""
    every: dict[str, Check] = {**_TESTED, **_MEASURED}
    for name in names or ():
        if name not in CHECKS:
            raise AuditInputError(f"no check {name!r}; there are {', '.join(CHECKS)}")
    return {name: check for name, check in every.items() if names is None or name in names}


def _against(
    names: Sequence[str] | None, earlier: Earlier | None
) -> dict[str, Callable[..., Evidence]]:
    """The checks of these names, or all of them, that look at an earlier release."""
    if earlier is None:
        return {}
    return {
        name: partial(check.run, earlier)
        for name, check in _AGAINST_EARLIER.items()
        if names is None or name in names
    }


def _disclose(attack: DisclosureAttack, tables: Encoded, settings: Settings) -> Evidence:
    """The attack's evidence; one that breaks its contract is one inconclusive finding."""
    try:
        return evaluate(attack, tables, settings=settings)
    except AttackError as fault:
        return Evidence(
            name=attack.NAME,
            family="disclosure",
            figures={},
            blind_spot="It did not run.",
            p_value=1.0,
            void=f"{fault}.",
        )


def _check_left(tables: Encoded) -> None:
    for role, records in tables.items():
        if len(records) == 0:
            raise AuditInputError(
                f"table {role!r} has no rows left once the overlap of train and holdout is "
                f"removed; split one table at random"
            )


def _options(request: _Request, chosen: Mapping[str, Attack], given: Encoded) -> dict[str, object]:
    """What a re-run needs besides the tables and the seed."""
    layout = given.train.layout
    return {
        "attacks": sorted(chosen),
        "ignore": sorted(request.ignore),
        "kinds": dict(zip(layout.names, layout.kinds, strict=True)),
        "remove_overlap": request.remove_overlap,
        "refit": request.refit is not None,
    }


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pandas": pd.__version__,
        "scikit-learn": sklearn.__version__,
        "joblib": joblib.__version__,
    }
