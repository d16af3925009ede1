"""Checks of the signature: it fits, it covers this manifest, and its key is the one expected."""

from collections.abc import Iterator
from pathlib import Path

from dpsynth.errors import IntegrityError
from dpsynth.release.attestation import attestation_payload
from dpsynth.release.canonical import read_text, sha256_file
from dpsynth.release.manifest import NAME, Manifest
from dpsynth.release.signing import ENVELOPE, PUBLIC_KEY, key_id, open_envelope
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.layout import require_plain

#: Digits of a key's identifier that messages show.
SHOWN = 16


def check_signature(
    folder: Path, manifest: Manifest | None, *, key: str | None, demanded: str | None
) -> Iterator[Check]:
    """One check of the envelope, and one of the key where a trusted one was given.

    Args:
        manifest: of the public half; None where it cannot be read.
        key: PEM text of the public key that must have signed.
        demanded: the file by which the release must be signed; None where it need not be.
    """
    public = folder / "public"
    if manifest is None:
        message = f"public/{NAME} cannot be read, so there is nothing that a signature could cover"
        yield Check("signature", False, message)
        return
    if manifest.signed_by is None:
        yield held("signature", lambda: _unsigned(public, manifest, demanded=demanded))
        if key is not None:
            message = "a key was given that must have signed the bundle, but it is not signed"
            yield Check("signing key", False, message)
        return
    yield held("signature", lambda: _signed(public, manifest))
    if key is not None:
        yield held("signing key", lambda: _expected(public, key))


def _unsigned(public: Path, manifest: Manifest, *, demanded: str | None) -> str:
    listed = {record.path for record in manifest.files}
    for name in (ENVELOPE, PUBLIC_KEY):
        if name in listed or (public / name).is_symlink() or (public / name).exists():
            raise IntegrityError(
                f"public/{name} is there, but public/{NAME} says that nobody signed; "
                "ask for the whole bundle again"
            )
    if demanded:
        raise IntegrityError(
            f"not signed, but {demanded} demands a signature; have it signed by whoever "
            "answers for it (dpsynth approve --key)"
        )
    return "not signed: hashes find accidents and changes, not a forger who writes all of them anew"


def _signed(public: Path, manifest: Manifest) -> str:
    require_there(public / ENVELOPE)
    pem = enclosed_key(public)
    identifier = _identifier(pem)
    if identifier != manifest.signed_by:
        raise IntegrityError(
            f"public/{PUBLIC_KEY} is key {identifier[:SHOWN]}, but public/{NAME} names key "
            f"{str(manifest.signed_by)[:SHOWN]!r}; one of the two was changed"
        )
    try:
        payload = open_envelope(read_text(public / ENVELOPE), pem)
    except IntegrityError as error:
        raise IntegrityError(f"public/{error}") from error
    if payload != attestation_payload(manifest, sha256_file(public / NAME)):
        raise IntegrityError(
            f"public/{ENVELOPE}: signed was another release than public/{NAME} describes; "
            "one of the two was changed"
        )
    return (
        f"signed by key {identifier}, which lies in the bundle itself; "
        "only --key, with the signer's own copy, tells whose it is"
    )


def require_there(path: Path) -> None:
    """Refuse a file that is missing or a link; the message names it below the bundle.

    Raises:
        IntegrityError: with the name.
    """
    try:
        require_plain(path)
    except IntegrityError as error:
        raise IntegrityError(f"public/{error}") from error


def enclosed_key(public: Path) -> str:
    """PEM text of the key that lies in the bundle.

    Raises:
        IntegrityError: missing, a link, or no text.
    """
    require_there(public / PUBLIC_KEY)
    try:
        return read_text(public / PUBLIC_KEY)
    except IntegrityError as error:
        raise IntegrityError(f"public/{error}") from error


def _identifier(pem: str) -> str:
    try:
        return key_id(pem)
    except IntegrityError as error:
        raise IntegrityError(f"public/{PUBLIC_KEY}: {error}") from error


def _expected(public: Path, key: str) -> str:
    given, enclosed = key_id(key), _identifier(enclosed_key(public))
    if given != enclosed:
        raise IntegrityError(
            f"signed by key {enclosed[:SHOWN]}, not by the key that was given "
            f"({given[:SHOWN]}); ask the signer which key is theirs"
        )
    return f"it is the key that was given ({given[:SHOWN]})"
