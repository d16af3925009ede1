"""Keys and envelopes, held against `cryptography` and OpenSSL as independent witnesses."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from dpsynth.errors import InputError, IntegrityError
from dpsynth.release import signing
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import pretty_json

PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return signing.generate_keys(tmp_path_factory.mktemp("keys") / "release-key.pem")


@pytest.fixture(scope="module")
def signer(pair):
    return signing.load_signer(pair.private_path)


@pytest.fixture(scope="module")
def envelope(signer):
    return signer.sign(PAYLOAD)


def openssl(*arguments, **options):
    return subprocess.run(
        [OPENSSL, *map(str, arguments)], check=True, capture_output=True, text=True, **options
    ).stdout


def pae(payload_type, payload):
    """The DSSE protocol's pre-authentication encoding, by hand."""
    kind = payload_type.encode()
    return b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload])


def pem(key, *, secret=True):
    if secret:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# Keys


def test_a_new_pair_has_a_secret_half_and_one_to_hand_out(pair):
    assert pair.public_path.name == "release-key.pub.pem"
    assert pair.private_path.stat().st_mode & 0o777 == 0o600
    assert signing.too_open(pair.private_path) is None
    assert pair.private_path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    public = signing.load_public_key(pair.public_path)
    assert public == pair.public_path.read_text()
    assert signing.key_id(public) == pair.key_id
    assert len(pair.key_id) == 64


def test_the_signer_shows_no_secret(signer, pair):
    body = "".join(pair.private_path.read_text().splitlines()[1:-1])
    assert body not in repr(signer)
    assert signer.key_id == pair.key_id
    assert signer.public_pem == pair.public_path.read_text()


def test_a_key_that_others_can_read_is_pointed_out(tmp_path):
    path = signing.generate_keys(tmp_path / "key").private_path
    path.chmod(0o640)
    assert signing.too_open(path) == (
        f"key {path}: others can read it (mode 0640); run: chmod 600 {path}"
    )


@pytest.mark.parametrize("there", ["key.pem", "key.pub.pem"])
def test_no_key_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(InputError, match="already exists"):
        signing.generate_keys(tmp_path / "key.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_an_encrypted_key_wants_its_passphrase(tmp_path):
    path = signing.generate_keys(tmp_path / "key.pem", b"Korrekt Pferd").private_path
    assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    one, other = (
        signing.load_signer(path, b"Korrekt Pferd"),
        signing.load_signer(path, lambda: b"Korrekt Pferd"),
    )
    assert one.sign(PAYLOAD) == other.sign(PAYLOAD)
    with pytest.raises(InputError, match="wrong passphrase, or a damaged file"):
        signing.load_signer(path, b"korrekt pferd")
    for missing in (None, b"", lambda: b""):
        with pytest.raises(InputError, match="no passphrase was given"):
            signing.load_signer(path, missing)


def test_nobody_is_asked_for_a_passphrase_in_vain(pair):
    def ask():
        raise AssertionError("asked")

    signing.load_signer(pair.private_path, ask)


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1024])
def test_a_passphrase_has_a_length(tmp_path, passphrase):
    with pytest.raises(InputError, match="give 1 to 1023"):
        signing.generate_keys(tmp_path / "key.pem", passphrase)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PEM key"),
        (b"\x00\xff" * 50, "not a PEM key"),
        (b"-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n", "a damaged file"),
        (b"x" * 70_000, "this is no key file"),
        (pem(rsa.generate_private_key(65537, 2048)), "of kind RSA; allowed is Ed25519"),
        (
            pem(ed25519.Ed25519PrivateKey.generate().public_key(), secret=False),
            "this is a public key",
        ),
    ],
    ids=["empty", "binary", "cut", "large", "rsa", "public"],
)
def test_what_is_no_private_key_is_refused(tmp_path, content, message):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        signing.load_signer(path, b"secret")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a public key in PEM"),
        (b"\xff\xfe", "not a public key in PEM"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "this is a private key"),
        (
            pem(rsa.generate_private_key(65537, 2048).public_key(), secret=False),
            "of kind RSA; allowed is Ed25519",
        ),
    ],
    ids=["empty", "binary", "private", "rsa"],
)
def test_what_is_no_public_key_is_refused(tmp_path, content, message):
    path = tmp_path / "key.pub.pem"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        signing.load_public_key(path)


def test_a_missing_key_is_named(tmp_path):
    for load in (signing.load_signer, signing.load_public_key):
        with pytest.raises(InputError, match="No such file"):
            load(tmp_path / "none.pem")
        with pytest.raises(InputError, match="Is a directory"):
            load(tmp_path)


@needs_openssl
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_key_made_by_openssl_signs(tmp_path, encrypted):
    path, extra = tmp_path / "key.pem", ("-aes256", "-pass", "pass:secret") if encrypted else ()
    openssl("genpkey", "-algorithm", "ed25519", *extra, "-out", path)
    signer = signing.load_signer(path, b"secret")
    public = openssl("pkey", "-in", path, "-passin", "pass:secret", "-pubout")
    assert signer.public_pem == public
    assert signing.open_envelope(signer.sign(PAYLOAD), public) == PAYLOAD
    der = subprocess.run(
        [OPENSSL, "pkey", "-pubin", "-outform", "DER"],
        input=public.encode(),
        capture_output=True,
        check=True,
    ).stdout
    digest = subprocess.run(
        [OPENSSL, "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True
    ).stdout
    assert digest.decode().split()[0] == signer.key_id


# Envelopes


def test_the_envelope_gives_back_what_was_signed(envelope, signer):
    assert signing.open_envelope(envelope, signer.public_pem) == PAYLOAD
    content = json.loads(envelope)
    assert content["payloadType"] == "application/vnd.in-toto+json"
    assert [one["keyid"] for one in content["signatures"]] == [signer.key_id]


def test_cryptography_alone_finds_the_signature_good(envelope, signer):
    content = json.loads(envelope)
    signed = pae(content["payloadType"], base64.b64decode(content["payload"]))
    signature = base64.b64decode(content["signatures"][0]["sig"])
    key = serialization.load_pem_public_key(signer.public_pem.encode())
    key.verify(signature, signed)
    with pytest.raises(InvalidSignature):
        key.verify(signature, signed + b" ")


@needs_openssl
def test_openssl_finds_the_signature_good(envelope, pair, tmp_path):
    content = json.loads(envelope)
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(pae(content["payloadType"], base64.b64decode(content["payload"])))
    signature.write_bytes(base64.b64decode(content["signatures"][0]["sig"]))
    arguments = ("pkeyutl", "-verify", "-pubin", "-inkey", pair.public_path, "-rawin")
    said = openssl(*arguments, "-sigfile", signature, "-in", signed)
    assert "Verified Successfully" in said
    signed.write_bytes(signed.read_bytes() + b" ")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*arguments, "-sigfile", signature, "-in", signed)


def test_equal_payloads_give_equal_texts(envelope, pair):
    assert signing.load_signer(pair.private_path).sign(PAYLOAD) == envelope


def test_every_changed_byte_is_found(envelope, signer):
    missed = []
    for place in range(len(envelope)):
        old = ord(envelope[place])
        for new in {old ^ 1, old ^ 32, 32, 48, 65}:
            changed = envelope[:place] + chr(new) + envelope[place + 1 :]
            if new != old and not refused(changed, signer.public_pem):
                missed.append((place, chr(new)))
    assert missed == []


def test_every_cut_and_every_added_byte_is_found(envelope, signer):
    places = range(len(envelope))
    cut = [envelope[:place] + envelope[place + 1 :] for place in places]
    added = [envelope[:place] + " " + envelope[place:] for place in (*places, len(envelope))]
    ended = [envelope[:place] for place in places]
    changed = {text for text in (*cut, *added, *ended) if text != envelope}
    assert len(changed) > 900
    assert [text for text in changed if not refused(text, signer.public_pem)] == []


def refused(text, public_pem):
    try:
        signing.open_envelope(text, public_pem)
    except IntegrityError as error:
        return "\n" not in str(error)
    return False


def edited(envelope, **changes):
    return pretty_json({**json.loads(envelope), **changes})


@pytest.mark.parametrize("other", ["key", "payload type", "key id"])
def test_another_signature_is_refused(envelope, signer, other, tmp_path):
    content = json.loads(envelope)
    stranger = signing.load_signer(signing.generate_keys(tmp_path / "k.pem").private_path)
    if other == "key":
        made, message = stranger.sign(PAYLOAD), "the signature is another signer's"
    elif other == "payload type":
        made, message = edited(envelope, payloadType="text/plain"), "payloadType"
    else:
        forged = {**json.loads(stranger.sign(PAYLOAD))["signatures"][0], "keyid": signer.key_id}
        made, message = edited(envelope, signatures=[forged]), "does not fit"
    assert made != pretty_json(content)
    with pytest.raises(IntegrityError, match=message):
        signing.open_envelope(made, signer.public_pem)


def test_another_payload_is_refused(envelope, signer):
    other = base64.b64encode(PAYLOAD.replace(b"v1", b"v2")).decode()
    with pytest.raises(IntegrityError, match="does not fit"):
        signing.open_envelope(edited(envelope, payload=other), signer.public_pem)


def test_nothing_may_be_added_to_an_envelope(envelope, signer):
    (one,) = json.loads(envelope)["signatures"]
    for changes in (
        {"signatures": [one, one]},
        {"signatures": []},
        {"signatures": [{**one, "note": "x"}]},
        {"signatures": {"0": one}},
        {"note": "x"},
        {"payload": None},
        {"payload": "ä"},
    ):
        assert refused(edited(envelope, **changes), signer.public_pem), changes
    for text in ("", "[]", "null", "NaN", "[" * 100_000, '{"payload": "' + "A" * 10**6):
        assert refused(text, signer.public_pem), text[:20]


def test_a_key_that_is_none_opens_nothing(envelope):
    with pytest.raises(IntegrityError, match="not a public key"):
        signing.open_envelope(envelope, "garbage")


def test_key_files_are_named_after_their_path(tmp_path):
    pair = signing.generate_keys(tmp_path / "key")
    assert pair.public_path == tmp_path / "key.pub.pem"


# The page's way without dpsynth

PAGE = Path(__file__).parents[2] / "docs" / "signing.md"
TOOLS = ("bash", "openssl", "base64", "sha256sum", "sed", "grep")


@pytest.fixture
def check(contents, signer, pair, tmp_path):
    """Run the page's commands on a signed bundle: a function that does, and the bundle."""
    block = PAGE.read_text("utf-8").split("## Check without dpsynth")[1].split("```")[1]
    bundle = write_bundle(tmp_path / "bundle", contents(signer=signer))
    shutil.copy(pair.public_path, bundle / "release-key.pub.pem")

    def run():
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block.removeprefix("text")],
            cwd=bundle,
            capture_output=True,
            text=True,
        )

    return run, bundle


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
def test_the_page_checks_a_bundle_without_dpsynth(check):
    run, bundle = check
    done = run()
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    listed = {line.split(": ")[0] for line in done.stdout.splitlines() if line.endswith(": OK")}
    there = {f"public/{path.name}" for path in (bundle / "public").iterdir()}
    assert listed == there - {"public/manifest.dsse.json"}


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
@pytest.mark.parametrize("name", ["card.md", "synthetic.csv", "manifest.json", "signing-key.pem"])
def test_the_page_finds_a_changed_file(check, name):
    run, bundle = check
    with (bundle / "public" / name).open("ab") as file:
        file.write(b" ")
    done = run()
    assert done.returncode != 0
    assert f"public/{name}: FAILED" in done.stdout


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
def test_the_page_finds_another_signer(check, tmp_path):
    run, bundle = check
    other = signing.generate_keys(tmp_path / "other.pem").public_path
    shutil.copy(other, bundle / "release-key.pub.pem")
    done = run()
    assert done.returncode != 0
    assert "Signature Verified Successfully" not in done.stdout
