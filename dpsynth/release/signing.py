"""Signatures: an in-toto statement about a bundle's files, in a DSSE envelope, by Ed25519."""

from typing import Protocol

#: The signature, beside the manifest that it covers; no manifest lists it.
ENVELOPE = "manifest.dsse.json"
#: The public key of the signer, listed in the manifest.
PUBLIC_KEY = "signing-key.pem"


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
