"""Key files: Ed25519 key pairs as PEM, made here or by any other tool.

The private key is PKCS#8, with or without a passphrase, readable by its owner alone. The public key
is a SubjectPublicKeyInfo. Both are what `openssl genpkey -algorithm ed25519` makes as well.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dpsynth.errors import InputError, IntegrityError
from dpsynth.writing import atomic_write

#: Largest key file that is read; a real one has about 120 bytes, an encrypted one 400.
MAX_KEY_BYTES = 2**16
#: Longest passphrase that `cryptography` takes.
MAX_PASSPHRASE_BYTES = 1023

Passphrase = Callable[[], bytes] | bytes | None


@dataclass(frozen=True)
class KeyPair:
    """Two key files that were written: the secret one, the one to hand out, and its identifier."""

    private_path: Path
    public_path: Path
    key_id: str


def generate_keys(path: str | Path, passphrase: bytes | None = None) -> KeyPair:
    """Write a new Ed25519 key pair.

    Args:
        path: of the private key (PKCS#8 PEM, mode 0600). The public key is written beside it, with
            suffix `.pub.pem` in place of the path's own.
        passphrase: encrypts the private key; None leaves it open to whoever can read the file.

    Raises:
        InputError: one of the files exists, the folder is missing, the disk fails, or the
            passphrase is empty or too long. Then nothing is written.
    """
    private = Path(path)
    public = private.with_suffix(".pub.pem")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _encryption(passphrase)
    )
    text = pem_of(key.public_key())
    # The public half inside: where its file exists already, no private key is left behind.
    with atomic_write(private) as secret:
        handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        with atomic_write(public) as shared:
            shared.write_bytes(text.encode("ascii"))
    return KeyPair(private_path=private, public_path=public, key_id=key_id(text))


def _encryption(passphrase: bytes | None) -> serialization.KeySerializationEncryption:
    if passphrase is None:
        return serialization.NoEncryption()
    if not 1 <= len(passphrase) <= MAX_PASSPHRASE_BYTES:
        raise InputError(
            f"the passphrase has {len(passphrase)} bytes; give 1 to {MAX_PASSPHRASE_BYTES}, "
            "or none to leave the key file without one"
        )
    return serialization.BestAvailableEncryption(passphrase)


def read_private_key(path: str | Path, passphrase: Passphrase = None) -> Ed25519PrivateKey:
    """The private key in a PKCS#8 PEM file.

    Args:
        path: of the key file.
        passphrase: bytes, or a function that asks for them; it is called only where the key is
            encrypted.

    Raises:
        InputError: missing, not a private Ed25519 key in PKCS#8 PEM, or a passphrase that is
            missing or wrong.
    """
    data = _read_key_file(path)
    if b"PRIVATE KEY-----" not in data:
        what = "a public key" if b"PUBLIC KEY-----" in data else "not a PEM key"
        raise InputError(
            f"key {path}: this is {what}; signing needs a private key (PKCS#8 PEM), "
            "such as `dpsynth keygen` makes"
        )
    secret: bytes | None = None
    if b"ENCRYPTED" in data:
        secret = passphrase() if callable(passphrase) else passphrase
        if not secret:
            raise InputError(f"key {path}: is encrypted and no passphrase was given; give it")
    try:
        key = serialization.load_pem_private_key(data, password=secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        cause = "wrong passphrase, or a damaged file" if secret else "a damaged file"
        raise InputError(
            f"key {path}: cannot be read ({cause}); it must be Ed25519 in PKCS#8 PEM, "
            "such as `dpsynth keygen` makes"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"key {path}: {_not_ed25519(key)}")
    return key


def load_public_key(path: str | Path) -> str:
    """The PEM text of a public key file, in its one canonical form.

    Raises:
        InputError: missing, a private key, or not an Ed25519 public key in PEM.
    """
    data = _read_key_file(path)
    if b"PRIVATE KEY-----" in data:
        raise InputError(
            f"key {path}: this is a private key; give the public one (suffix .pub.pem), and never "
            "hand the private one out"
        )
    try:
        return pem_of(read_public_key(data.decode("ascii", errors="replace")))
    except IntegrityError as error:
        raise InputError(f"key {path}: {error}") from error


def read_public_key(public_pem: str) -> Ed25519PublicKey:
    """The key in a PEM text.

    Raises:
        IntegrityError: not an Ed25519 public key.
    """
    try:
        key = serialization.load_pem_public_key(public_pem.encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IntegrityError(
            "not a public key in PEM (it starts with '-----BEGIN PUBLIC KEY-----'); "
            "ask the signer for the file again"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError(_not_ed25519(key))
    return key


def pem_of(key: Ed25519PublicKey) -> str:
    """The PEM text (SubjectPublicKeyInfo) of a public key."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def key_id(public_pem: str) -> str:
    """Hexadecimal SHA-256 of a public key as DER (SubjectPublicKeyInfo).

    Raises:
        IntegrityError: not an Ed25519 public key.
    """
    der = read_public_key(public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def too_open(path: str | Path) -> str | None:
    """A warning where others than its owner can read a private key file; else None."""
    if os.name != "posix":
        return None
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if not mode & 0o077:
        return None
    return f"key {path}: others can read it (mode {mode:04o}); run: chmod 600 {path}"


def _read_key_file(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"key {path}: cannot be read ({error.strerror}); give an existing key file, or make "
            "one with `dpsynth keygen`"
        ) from error
    if len(data) > MAX_KEY_BYTES:
        raise InputError(f"key {path}: more than {MAX_KEY_BYTES} bytes; this is no key file")
    return data


def _not_ed25519(key: object) -> str:
    kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey").removesuffix("PublicKey")
    return (
        f"the key is of kind {kind}; allowed is Ed25519, "
        "make one with `dpsynth keygen` or `openssl genpkey -algorithm ed25519`"
    )
