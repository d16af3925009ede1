"""The membership part of an audit: exposure, each attack, the joint test, records at risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from audits.black_box.refit import Refit
from audits.errors import AttackError
from audits.judgement import Evidence, Settings
from audits.membership import at_risk, joint, scoring, vulnerability
from audits.membership.arms import Arms, arms, focus
from audits.membership.joint import Joint
from audits.membership.scoring import Scored
from audits.records import Encoded
from audits.registry import MembershipAttack, holds
from audits.result import Claim
from audits.steps import Steps
from audits.tables.sampling import generator, sizes

VULNERABLE = at_risk.NAME
REFERENCE_GROUP = f"{joint.GROUP}_reference"
BLACK_BOX_GROUP = f"{joint.GROUP}_black_box"
# Share of the targets that stand apart most; their own AUROC is reported and tested.
EXPOSED_SHARE = 0.1


def groups(attacks: Mapping[str, MembershipAttack], *, given: bool) -> set[str]:
    """Names of the groups of tests that these attacks make, rows at risk among them.

    Args:
        attacks: of the audit.
        given: whether reference rows were given.
    """
    found = {group_of(attack, given=given) for attack in attacks.values()}
    return found | {VULNERABLE} if found else found


def membership_evidence(
    attacks: Mapping[str, MembershipAttack],
    tables: Encoded,
    steps: Steps,
    *,
    settings: Settings,
    claim: Claim | None,
    refit: Refit | None,
) -> list[Evidence]:
    """Evidence of every attack, of the claim if there is one, and of the records at risk."""
    lend = any("reference" in holds(attack) for attack in attacks.values())
    given = tables.reference is not None
    chosen = arms(tables, lend=lend, rng=generator(settings.seed, "arms"))
    exposure = steps.take("exposure", partial(vulnerability.exposure, chosen.targets))
    exposed = vulnerability.vulnerable(exposure, share=EXPOSED_SHARE)
    scored: list[Scored] = []
    broken: list[Evidence] = []
    for name, attack in attacks.items():
        made = steps.take(
            name,
            partial(_score, attack, chosen, exposure, settings=settings, refit=refit, given=given),
        )
        if isinstance(made, Scored):
            scored.append(made)
        else:
            broken.append(made)
    if not scored:
        steps.take("joint test", lambda: None)
        return broken
    outcomes, apart = steps.take(
        "joint test",
        lambda: (
            _tested(chosen, scored, exposed, settings=settings),
            at_risk.evidence(chosen, scored, exposure, settings=settings),
        ),
    )
    found = joint.evidence(outcomes, sizes(tables), settings=settings, claim=claim)
    return [*found, *broken, apart]


def group_of(attack: MembershipAttack, *, given: bool) -> str:
    """Attacks that are asked about different targets are tested apart.

    Those that hold lent rows are not asked about these; a black-box attack is asked about a few
    targets with as many members as non-members, unlike the rest.

    Args:
        attack: of the audit.
        given: whether reference rows were given, so that none are lent.
    """
    held = holds(attack)
    if "refit" in held:
        return BLACK_BOX_GROUP
    return joint.GROUP if given or "reference" not in held else REFERENCE_GROUP


def _tested(
    chosen: Arms, scored: Sequence[Scored], exposed: np.ndarray, *, settings: Settings
) -> list[Joint]:
    given = not chosen.lent.any()
    by_group: dict[str, list[Scored]] = {}
    for item in scored:
        by_group.setdefault(group_of(item.attack, given=given), []).append(item)
    return [
        joint.joint(chosen, items, exposed, settings=settings, group=group)
        for group, items in by_group.items()
    ]


def _score(
    attack: MembershipAttack,
    chosen: Arms,
    exposure: np.ndarray,
    *,
    settings: Settings,
    refit: Refit | None,
    given: bool,
) -> Scored | Evidence:
    """What the attack said; one that breaks its contract is one inconclusive finding."""
    asked = None
    if "refit" in holds(attack):
        asked = focus(chosen, exposure, rng=generator(settings.seed, "focus"))
    try:
        _check_reference(attack, chosen)
        return scoring.run(attack, chosen, settings=settings, refit=refit, asked=asked)
    except AttackError as fault:
        return Evidence(
            name=attack.NAME,
            family="membership",
            group=group_of(attack, given=given),
            figures={},
            blind_spot="It did not run.",
            p_value=1.0,
            void=f"{fault}.",
        )


def _check_reference(attack: MembershipAttack, chosen: Arms) -> None:
    if "reference" in holds(attack) and chosen.reference is None:
        raise AttackError(
            f"attack {attack.NAME!r} needs reference rows, and the holdout is too small to lend "
            f"them; give a reference table or more holdout rows"
        )
