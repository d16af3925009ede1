"""What the commands `gate`, `verify` and `attacks` do, as library calls on files."""

from pathlib import Path

from audits import registry
from audits.errors import AuditError
from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.canonical import read_text
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import default_policy_text, load_policy, parse_policy
from dpsynth.release.replay import replay as replay_audit
from dpsynth.release.verify import Verification, verify_bundle


def decide_files(statement: Path, audit: Path, policy: Path | None = None) -> Decision:
    """The gate's decision on a statement file and an audit file.

    Args:
        statement: `privacy.json`.
        audit: `audit.json`.
        policy: TOML file; None takes the one shipped.

    Raises:
        InputError: a file is missing, was cut short, or is not what it should be.
    """
    rules = (
        parse_policy(default_policy_text(), source="default policy")
        if policy is None
        else load_policy(policy)
    )
    claim = PrivacyStatement.from_json_text(read_text(statement))
    try:
        evidence = AuditResult.from_json_text(read_text(audit))
    except AuditError as error:
        raise InputError(f"{audit}: {error}") from error
    return decide(claim, evidence, rules)


def verify_command(
    bundle: Path,
    *,
    replay: bool = False,
    train: Path | None = None,
    holdout: Path | None = None,
    public_only: bool = False,
) -> Verification:
    """All checks of `verify_bundle`, and with `replay` the audits once more.

    Raises:
        InputError: no such folder, or `replay` without the private table.
    """
    outcome = verify_bundle(bundle, public_only=public_only)
    if not replay:
        return outcome
    if train is None:
        raise InputError(
            "replay needs the private rows: give --train (and --holdout, unless --train is the "
            "whole private table)"
        )
    return Verification((*outcome.checks, replay_audit(bundle, train, holdout)))


def attack_summaries() -> dict[str, dict[str, str]]:
    """The installed attacks by name: `kind`, what the attacker `holds`, and the `run` they need.

    Kinds are "membership" and "disclosure"; the latter name their `criterion` as well. `run` is
    "audit", or "library" where the generator itself must be handed over (`refit`).

    Raises:
        AttackError: an installed attack breaks its contract.
    """
    return {name: _summary(attack) for name, attack in registry.choose(None).items()}


def _summary(attack: registry.Attack) -> dict[str, str]:
    if registry.is_membership(attack):
        box = "refit" in registry.holds(attack)
        run = "library" if box else "audit"
        return {"kind": "membership", "holds": attack.KNOWLEDGE, "run": run}
    criterion = getattr(attack, "CRITERION", "")
    return {
        "kind": "disclosure",
        "criterion": criterion,
        "holds": attack.KNOWLEDGE,
        "run": "audit",
    }
