"""The commands `keygen`, `gate`, `approve` and `verify`: everything after the audit."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpsynth.cli_options import AboutFile, AsJson, Out, PolicyName, SigningKey, WaiversFile
from dpsynth.console import emit, say
from dpsynth.errors import InputError

if TYPE_CHECKING:
    from dpsynth.release.gate import Decision
    from dpsynth.release.signing import KeyFileSigner

PASSPHRASE = "DPSYNTH_KEY_PASSPHRASE"
"""Environment variable with the passphrase of the signing key, for runs without a terminal."""


def keygen(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="File of the private key; must not exist.")
    ],
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help=f"Encrypt it; asks, or takes ${PASSPHRASE}.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make a key pair for signing bundles (Ed25519).

    Example: dpsynth keygen -o release-key.pem
    """
    from dpsynth.cli_shared import must_be_new
    from dpsynth.release.signing import generate_keys

    must_be_new(out)
    pair = generate_keys(out, _new_passphrase() if passphrase else None)
    emit(
        {
            "private": str(pair.private_path),
            "public": str(pair.public_path),
            "key_id": pair.key_id,
        },
        as_json=as_json,
        text=f"private key: {pair.private_path} (keep it to yourself)\n"
        f"public key:  {pair.public_path} (give it to whoever verifies)\n"
        f"key id:      {pair.key_id}",
    )
    return 0


def gate(
    statement: Annotated[Path, typer.Option(help="privacy.json")],
    audit_file: Annotated[Path, typer.Option("--audit", help="audit.json")],
    policy: PolicyName = None,
    waivers: WaiversFile = None,
    training: Annotated[
        Path | None, typer.Option(help="training.json, for rules on lost variety.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Decide by a policy whether a table may be released.

    Example: dpsynth gate --statement privacy.json --audit audit.json --policy policy.toml
    """
    from dpsynth.release.commands import decide_files

    decision = decide_files(statement, audit_file, policy, waivers, training)
    lines = [
        f"{'waived' if rule.waiver else rule.verdict:>12}  {rule.rule}: {rule.reason}"
        for rule in decision.rules
    ]
    say_unused(decision)
    emit(
        decision.model_dump(mode="json"),
        as_json=as_json,
        text="\n".join([*lines, f"verdict: {decision.verdict}"]),
    )
    return decision.exit_code


def approve(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder made by `dpsynth run`.")],
    out: Out,
    waivers: WaiversFile = None,
    about: AboutFile = None,
    key: SigningKey = None,
    ledger: Annotated[
        str | None, typer.Option("--ledger", help="Ledger to note the new bundle in.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Sign a bundle, or set rules aside by name, after reading its report; costs no budget.

    Verifies the bundle, decides again, and writes a new one. The old one stays as it is.

    Example: dpsynth approve release --waivers waivers.toml --key release-key.pem -o approved
    """
    from dpsynth.cli_shared import must_be_new
    from dpsynth.release.about import load_about
    from dpsynth.release.approve import approve as approve_bundle
    from dpsynth.release.waivers import load_waivers

    must_be_new(out)
    decision = approve_bundle(
        bundle,
        out,
        waivers=() if waivers is None else load_waivers(waivers),
        about=None if about is None else load_about(about),
        signer=signer_from(key),
        ledger=ledger,
        waiting=say,
    )
    return show_decision(decision, out, as_json=as_json)


def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, or a .zip of one.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key that must have signed it (PEM).")
    ] = None,
    ledger: Annotated[
        str | None, typer.Option("--ledger", help="Ledger file or URL that must hold its charges.")
    ] = None,
    public_only: Annotated[
        bool, typer.Option("--public-only", help="Only public/ was handed over.")
    ] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Also re-run the audits.")] = False,
    train: Annotated[
        Path | None, typer.Option(help="With --replay: the private table, or its training rows.")
    ] = None,
    holdout: Annotated[Path | None, typer.Option(help="With --replay: the held-out rows.")] = None,
    as_json: AsJson = False,
) -> int:
    """Check hashes, signature, epsilon and decision; with --replay re-run the attacks.

    Example: dpsynth verify release --key release-key.pub.pem
    """
    from dpsynth.release.commands import verify_command

    if (bundle / "manifest.json").is_file() and not (bundle / "public").exists():
        raise InputError(
            f"{bundle}: looks like one half of a bundle; give the folder that holds public/"
            + ("" if public_only else " (and --public-only where internal/ was not handed over)")
        )
    outcome = verify_command(
        bundle,
        key=key,
        ledger=ledger,
        public_only=public_only,
        replay=replay,
        train=train,
        holdout=holdout,
        waiting=say,
    )
    lines = [f"{'ok' if c.ok else 'FAILED':>8}  {c.name}: {c.message}" for c in outcome.checks]
    emit(
        {"ok": outcome.ok, "checks": [vars(c) for c in outcome.checks]},
        as_json=as_json,
        text="\n".join([*lines, "verified" if outcome.ok else "NOT VERIFIED"]),
    )
    return outcome.exit_code


def show_decision(
    decision: "Decision", bundle: Path, *, as_json: bool, **facts: str | float
) -> int:
    """Say what stopped a release, print the verdict, and return the exit code that it means."""
    for rule in decision.rules:
        if rule.verdict != "allow" and rule.waiver is None:
            say(f"{rule.verdict}: {rule.rule}: {rule.reason}")
    say_unused(decision)
    # Why a release was stopped stands in the owner's edition.
    edition = "public" if decision.verdict == "allow" else "internal"
    emit(
        {"verdict": decision.verdict, "bundle": str(bundle), **facts},
        as_json=as_json,
        text=f"verdict: {decision.verdict}\nreport:  {bundle / edition / 'report.html'}",
    )
    return decision.exit_code


def say_unused(decision: "Decision") -> None:
    """Name the waivers that changed nothing, so that none lies around."""
    for one in decision.unused_waivers:
        say(f"waiver of {one.waiver.rule!r} changed nothing: {one.reason}")


def say_watched(watched: Mapping[str, Any] | None) -> None:
    """What the free monitor saw of a training, in a line, and its findings."""
    from dpsynth.release.report.training_words import last_words
    from dpsynth.release.training import Training

    for line in last_words(Training.of(watched)):
        say(line)


def signer_from(path: Path | None) -> "KeyFileSigner | None":
    """The signer of a key file; asks for its passphrase if it has one. None signs nothing."""
    from dpsynth.release.keys import too_open
    from dpsynth.release.signing import load_signer

    if path is None:
        return None
    signer = load_signer(path, _passphrase)
    warning = too_open(path)
    if warning is not None:
        say(f"warning: {warning}")
    return signer


def _passphrase() -> bytes:
    given = os.environ.get(PASSPHRASE)
    if given is None:
        given = str(typer.prompt("Passphrase of the signing key", hide_input=True, err=True))
    return given.encode("utf-8")


def _new_passphrase() -> bytes:
    given = os.environ.get(PASSPHRASE)
    if given is None:
        given = str(
            typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
        )
    if not given:
        raise InputError("the passphrase is empty; give one, or leave --passphrase out")
    return given.encode("utf-8")
