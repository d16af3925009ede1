"""Signatures: an in-toto statement about a bundle's files, in a DSSE envelope, by Ed25519.

The envelope has one text per payload and key: `open_envelope` refuses every other spelling of the
same content, so that a changed byte is found even where it changes no meaning.
"""

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SignatureFault

# The package names these in its documentation, but not in an `__all__` that mypy would see.
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from dpsynth.errors import IntegrityError
from dpsynth.release.canonical import pretty_json
from dpsynth.release.keys import (
    KeyPair,
    Passphrase,
    generate_keys,
    key_id,
    load_public_key,
    pem_of,
    read_private_key,
    read_public_key,
    too_open,
)

__all__ = [
    "ENVELOPE",
    "PAYLOAD_TYPE",
    "PUBLIC_KEY",
    "KeyFileSigner",
    "KeyPair",
    "Signer",
    "generate_keys",
    "key_id",
    "load_public_key",
    "load_signer",
    "open_envelope",
    "too_open",
]

#: The signature, beside the manifest that it covers; no manifest lists it.
ENVELOPE = "manifest.dsse.json"
#: The public key of the signer, listed in the manifest.
PUBLIC_KEY = "signing-key.pem"
#: What is signed: an in-toto statement.
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Signer(Protocol):
    """Who can sign a bundle."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key (DER, SubjectPublicKeyInfo), in hexadecimal."""
        ...

    @property
    def public_pem(self) -> str:
        """The public key as PEM text."""
        ...

    def sign(self, payload: bytes) -> str:
        """The DSSE envelope around an in-toto statement, as JSON text."""
        ...


@dataclass(frozen=True)
class KeyFileSigner:
    """Signs with a private key that was read from a file; a `Signer`.

    Attributes:
        public_pem: the public key as PEM text.
        key_id: SHA-256 of the public key (DER, SubjectPublicKeyInfo), in hexadecimal.
    """

    public_pem: str
    key_id: str
    _secret: Ed25519PrivateKey = field(repr=False)

    def sign(self, payload: bytes) -> str:
        """The DSSE envelope around a payload, as JSON text; equal payloads give equal texts."""
        signer = CryptoSigner(self._secret, _as_key(self.public_pem))
        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        envelope.sign(signer)
        return pretty_json(envelope.to_dict())


def load_signer(path: str | Path, passphrase: Passphrase = None) -> KeyFileSigner:
    """A signer with the private key of a file.

    Args:
        path: Ed25519 in PKCS#8 PEM, made by `dpsynth keygen` or by any other tool.
        passphrase: bytes, or a function that asks for them; called only for an encrypted key.

    Raises:
        InputError: missing, not such a key, or a passphrase that is missing or wrong.
    """
    secret = read_private_key(path, passphrase)
    public_pem = pem_of(secret.public_key())
    return KeyFileSigner(public_pem=public_pem, key_id=key_id(public_pem), _secret=secret)


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    keyid: str
    sig: str


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815  # the field's name in DSSE
    signatures: list[_Signature] = Field(min_length=1, max_length=1)


def open_envelope(text: str, public_pem: str) -> bytes:
    """What was signed, once the signature was found to fit.

    Args:
        text: of the envelope, exactly as it was written.
        public_pem: the public key that must have signed it.

    Raises:
        IntegrityError: not an envelope in its one canonical form, another payload type, another
            key's signature, or a signature that does not fit.
    """
    try:
        outer = _Envelope.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the text"
        raise IntegrityError(
            f"{ENVELOPE}: not a signature envelope ({where}: {fault['msg']}); it was changed"
        ) from error
    (signature,) = outer.signatures
    payload = _decoded(outer.payload)
    again = outer.model_dump(mode="json")
    again["payload"] = _encoded(payload)
    again["signatures"][0]["sig"] = _encoded(_decoded(signature.sig))
    if pretty_json(again) != text:
        raise IntegrityError(
            f"{ENVELOPE}: not in the form that dpsynth writes; it was changed after it was signed"
        )
    key = _as_key(public_pem)
    if signature.keyid != key.keyid:
        raise IntegrityError(
            f"{ENVELOPE}: signed by key {signature.keyid[:16]!r}, expected {key.keyid[:16]!r}; "
            "the signature is another signer's"
        )
    try:
        Envelope.from_dict(again).verify([key], threshold=1)
    except SignatureFault as error:
        raise IntegrityError(
            f"{ENVELOPE}: the signature does not fit; what was signed was changed, "
            "or another key signed it"
        ) from error
    return payload


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(f"{ENVELOPE}: not base64 ({error}); it was changed") from error


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _as_key(public_pem: str) -> SSlibKey:
    return SSlibKey.from_crypto(read_public_key(public_pem), keyid=key_id(public_pem))
