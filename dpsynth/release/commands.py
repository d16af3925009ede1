"""What the commands `gate`, `verify` and `attacks` do, as library calls on files."""

from dataclasses import dataclass
from pathlib import Path

from audits import registry
from audits.errors import AuditError
from dpsynth.errors import InputError
from dpsynth.privacy.ledger import Head, Ledger, Waiting
from dpsynth.privacy.ledger_releases import ReleaseRecord, charged
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import parse_policy, policy_text_of
from dpsynth.release.replay import replay as replay_audit
from dpsynth.release.signing import load_public_key
from dpsynth.release.unpacking import opened_bundle
from dpsynth.release.verification.parts import read_audit, read_statement, read_training
from dpsynth.release.verify import Verification, verify_bundle
from dpsynth.release.waivers import load_waivers


def decide_files(
    statement: Path,
    audit: Path,
    policy: str | Path | None = None,
    waivers: Path | None = None,
    training: Path | None = None,
) -> Decision:
    """The gate's decision on a statement file and an audit file.

    Args:
        statement: `privacy.json`.
        audit: `audit.json`.
        policy: name of a shipped policy or a TOML file; None takes the shipped default.
        waivers: TOML file of rules that somebody sets aside.
        training: `training.json` of the model; None where there is none.

    Raises:
        InputError: a file is missing, was cut short, or is not what it should be; a waiver that
            the policy cannot take.
    """
    text, source = policy_text_of(policy)
    rules = parse_policy(text, source=source)
    aside = () if waivers is None else load_waivers(waivers)
    claim = read_statement(statement)
    try:
        evidence = read_audit(audit)
    except AuditError as error:
        raise InputError(f"{audit}: {error}") from error
    watched = None if training is None else read_training(training)
    return decide(claim, evidence, rules, aside, watched)


def verify_command(
    bundle: Path,
    *,
    replay: bool = False,
    train: Path | None = None,
    holdout: Path | None = None,
    public_only: bool = False,
    key: Path | None = None,
    ledger: str | None = None,
    waiting: Waiting | None = None,
) -> Verification:
    """All checks of `verify_bundle`, and with `replay` the audits once more.

    Args:
        bundle: a bundle's folder, or a .zip of one.
        replay, train, holdout: re-run the audits on the private table, or on its two halves.
        public_only: only `public/` was handed over.
        key: file of the public key that must have signed it.
        ledger: file or URL of the ledger that must hold its charges.
        waiting: told when another program keeps the ledger locked.

    Raises:
        InputError: no such folder, key or ledger, or `replay` without the private table.
    """
    if replay and train is None:
        raise InputError(
            "replay needs the private rows: give --train (and --holdout, unless --train is the "
            "whole private table)"
        )
    if replay and public_only:
        raise InputError("replay needs internal/; leave out --public-only or --replay")
    trusted = None if key is None else load_public_key(key)
    book = None if ledger is None else _Books(Ledger.read_all(ledger, waiting=waiting))
    with opened_bundle(bundle) as folder:
        outcome = verify_bundle(folder, public_only=public_only, key=trusted, ledger=book)
        if not replay:
            return outcome
        return Verification((*outcome.checks, replay_audit(folder, train, holdout)))


@dataclass(frozen=True)
class _Books:
    """All datasets of one ledger: which of them a bundle belongs to, its release's name tells."""

    books: tuple[Ledger, ...]

    def verify(self, head: Head | None = None) -> None:
        for book in self.books[:1]:  # their chain of entries is one
            book.verify(head)

    def releases(self) -> tuple[ReleaseRecord, ...]:
        return tuple(release for book in self.books for release in book.releases())

    def extract(self, release: str) -> str:
        for book in self.books:
            if release in charged(book.entries(), book.dataset):
                return book.extract(release)
        raise InputError(f"the ledger books no release {release!r}")


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
