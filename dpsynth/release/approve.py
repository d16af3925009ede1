"""Approve a finished bundle: decide again with waivers, sign, and write a new one.

For the person who answers for a release and did not run it. It needs neither the private rows nor
the budget: nothing is measured again.
"""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.ledger import Head, Ledger, Waiting
from dpsynth.privacy.ledger_releases import charged
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents, write_bundle
from dpsynth.release.gate import Decision, decide
from dpsynth.release.policy import parse_policy
from dpsynth.release.reading import read_bundle, release_facts
from dpsynth.release.signing import ENVELOPE, Signer
from dpsynth.release.unpacking import opened_bundle
from dpsynth.release.verify import Verification, verify_bundle
from dpsynth.release.waivers import Waiver


def approve(
    bundle: str | Path,
    out: str | Path,
    *,
    waivers: tuple[Waiver, ...] = (),
    about: About | None = None,
    signer: Signer | None = None,
    ledger: str | Path | None = None,
    waiting: Waiting | None = None,
    now: datetime | None = None,
) -> Decision:
    """Write a bundle anew with waivers, a signature or the owner's facts; the old one stays.

    Args:
        bundle: a folder made by `dpsynth run`, or a zip of one; verified before it is read.
        out: the new bundle's folder; must not exist.
        waivers: rules to set aside, besides those the bundle holds already.
        about: what the owner says of the release; None keeps what the bundle says.
        signer: who signs the new bundle.
        ledger: file or URL of the ledger that the release was charged to, to note the new bundle
            in; it must hold the release's charges.
        waiting: told when another program keeps the ledger locked.
        now: time of the approval, with its zone; the clock's where absent. It becomes `created` of
            the new bundle, because a verdict with waivers holds from then on. When the table was
            made stands in `internal/ledger.json`.

    Returns:
        The decision, with the waivers in it. The table moves to `public/` where it allows.

    Raises:
        IntegrityError: the bundle does not verify.
        InputError: nothing was given to change, a waiver does not fit, the bundle is signed or its
            policy demands it and no signer was given, the ledger does not know the release, or
            `out` exists. Then nothing is written.
    """
    if not waivers and about is None and signer is None:
        raise InputError("nothing to approve: give waivers, what the owner says, or a key to sign")
    created = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    with opened_bundle(bundle) as folder:
        _check_place(folder, Path(out))
        _check_whole(bundle, verify_bundle(folder))
        _check_signed(folder, signer)
        contents = _decided_anew(read_bundle(folder), waivers, about)
        book = None if ledger is None else _book(ledger, contents.statement, waiting)
        write_bundle(out, replace(contents, signer=signer, created=created))
    if book is not None:
        _note(book, contents.statement, Path(out))
    return contents.decision


def _decided_anew(
    contents: BundleContents, waivers: tuple[Waiver, ...], about: About | None
) -> BundleContents:
    every = (*contents.waivers, *waivers)
    policy = parse_policy(contents.policy_text, source="internal/policy.toml")
    return replace(
        contents,
        decision=decide(contents.statement, contents.audit, policy, every, contents.training),
        waivers=every,
        about=contents.about if about is None else about,
    )


def _book(where: str | Path, statement: PrivacyStatement, waiting: Waiting | None) -> Ledger:
    """The book of the dataset that the release was charged to; the ledger is found whole."""
    record = statement.ledger
    if record is None:
        raise InputError(f"ledger {where}: the bundle names no ledger; leave --ledger out")
    for book in Ledger.read_all(where, waiting=waiting):
        if record.release in charged(book.entries(), book.dataset):
            book.verify(Head(entries=record.entries, hash=record.head))
            return book
    raise InputError(
        f"ledger {where}: release {record.release!r} of the bundle was not charged here; "
        "give the ledger that the run was booked in"
    )


def _note(book: Ledger, statement: PrivacyStatement, out: Path) -> None:
    """Note the new bundle in the ledger; without the note there is no new bundle either."""
    record = statement.ledger
    try:
        if record is not None:
            book.record_release(record.release, release_facts(out))
    except BaseException:
        shutil.rmtree(out)
        raise


def _check_whole(bundle: str | Path, outcome: Verification) -> None:
    if not outcome.ok:
        first = outcome.failures[0]
        raise IntegrityError(
            f"{bundle}: does not verify, so it cannot be approved: {first.name}: {first.message}"
        )


def _check_place(folder: Path, out: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{out}: lies in the bundle that is approved, which must stay as it is")


def _check_signed(folder: Path, signer: Signer | None) -> None:
    """A signed bundle is not replaced by one that nobody answers for."""
    if signer is None and (folder / "public" / ENVELOPE).exists():
        raise InputError(
            "the bundle is signed and the new one would not be; give the key to sign it with"
        )
