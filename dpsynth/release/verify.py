"""Verify a bundle: is it what was written, is epsilon what it says, does the verdict follow?

Needs neither the private rows nor the model nor torch. Every check runs even if one before it
failed, so that one look shows all that is wrong; a file that was touched is named.
"""

from collections.abc import Iterator
from pathlib import Path

from dpsynth.errors import InputError
from dpsynth.release.decisions import read_decision
from dpsynth.release.policy import signature_required
from dpsynth.release.verification.checks import Check, Verification, why
from dpsynth.release.verification.claims import check_claims
from dpsynth.release.verification.contents import check_contents
from dpsynth.release.verification.documents import check_documents
from dpsynth.release.verification.layout import check_halves, check_layout
from dpsynth.release.verification.parts import Parts, take_apart
from dpsynth.release.verification.records import LedgerLike, check_ledger, check_records
from dpsynth.release.verification.signature import check_signature
from dpsynth.release.verification.tables import check_table
from dpsynth.release.verification.training import check_training
from dpsynth.release.verification.verdicts import check_decision, check_statements, check_verdict

__all__ = ["Check", "Verification", "read_decision", "verify_bundle"]


def verify_bundle(
    path: str | Path,
    *,
    public_only: bool = False,
    key: str | None = None,
    ledger: LedgerLike | None = None,
) -> Verification:
    """Check a bundle.

    Args:
        path: the bundle's folder.
        public_only: True where only `public/` was handed over; what needs `internal/` is left out
            and said to be.
        key: PEM text of the public key that must have signed it; None takes the enclosed one, which
            tells that nothing was changed since, but not by whom it was signed.
        ledger: the ledger that must hold the release's charges; None leaves that out.

    Returns:
        A `Verification`; a fault of the bundle is a failed check, not an exception.

    Raises:
        InputError: `path` is not a folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the bundle's folder")
    parts = take_apart(folder, public_only=public_only)
    layout = check_layout(folder, public_only=public_only)
    return Verification((layout, *_checks(parts, key=key, ledger=ledger)))


def _checks(parts: Parts, *, key: str | None, ledger: LedgerLike | None) -> Iterator[Check]:
    yield from parts.checks
    demanded = _signature_demanded(parts)
    rooms = {
        "files": check_halves(parts.folder, parts.manifest, parts.inner),
        "contents": check_contents(parts),
        "signature": check_signature(parts.folder, parts.manifest, key=key, demanded=demanded),
        "epsilon": check_claims(parts.public.statement, signed=parts.signed),
        "verdict": check_verdict(parts),
        "privacy statements": check_statements(parts),
        "decision": check_decision(parts),
        "training": check_training(parts),
        "table": check_table(parts),
        "records": check_records(parts),
        "documents": check_documents(parts),
    }
    for name, checks in rooms.items():
        yield from _to_the_end(name, checks)
    if ledger is not None:
        yield check_ledger(parts, ledger)
    if parts.internal is None:
        message = "not looked at: evidence, policy and the gate's decision need internal/"
        yield Check("internal", True, message)


def _signature_demanded(parts: Parts) -> str | None:
    """The file that says that the bundle must be signed, if one does."""
    policy = None if parts.internal is None else parts.internal.policy
    if policy is not None and signature_required(policy):
        return "internal/policy.toml"
    decision = parts.public.decision
    return "public/decision.json" if decision and decision.signature_required else None


def _to_the_end(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks of one room; what none of them foresaw is a failed check too."""
    try:
        yield from checks
    except Exception as error:
        yield Check(name, False, why(error))
