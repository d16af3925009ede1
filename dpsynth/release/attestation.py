"""What is signed: an in-toto statement that names every public file of a bundle by its hash.

`public/manifest.json` lists the other public files and pins the internal ones, so that a signature
over this statement covers the whole bundle. It is a pure function of the manifest: whoever verifies
makes it again and compares bytes.

Source: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1).
"""

from dpsynth.release.canonical import canonical_json
from dpsynth.release.manifest import NAME, Manifest

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
#: Names our kind of statement and claims no domain of the net.
PREDICATE_TYPE = "urn:dpsynth:release:1"


def attestation_payload(manifest: Manifest, manifest_sha256: str) -> bytes:
    """The bytes to sign.

    Args:
        manifest: of the public folder.
        manifest_sha256: of `public/manifest.json` as it lies there, in hexadecimal.

    Returns:
        Canonical JSON. Subjects are `public/manifest.json` and every file that it lists, sorted by
        name; the predicate is all else that the manifest says.
    """
    hashes = {f"public/{record.path}": record.sha256 for record in manifest.files}
    hashes[f"public/{NAME}"] = manifest_sha256
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": hashes[name]}} for name in sorted(hashes)],
        "predicateType": PREDICATE_TYPE,
        "predicate": manifest.model_dump(mode="json", exclude={"files", "self_sha256"}),
    }
    return canonical_json(statement).encode("ascii")
