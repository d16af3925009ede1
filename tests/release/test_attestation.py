"""What is signed names every public file, and is an in-toto statement to others as well."""

import hashlib
import json

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from dpsynth.privacy.lineage_record import Parent
from dpsynth.release.attestation import attestation_payload
from dpsynth.release.manifest import Manifest, read_manifest

DIGEST = "ab" * 32


@pytest.fixture
def manifest(allowed):
    return read_manifest(allowed / "public" / "manifest.json", Manifest)


def as_in_toto(payload):
    """The statement as the reference library reads it."""
    return Statement.copy_from_pb(json_format.Parse(payload, statement_pb2.Statement()))


def test_it_is_an_in_toto_statement(manifest):
    as_in_toto(attestation_payload(manifest, DIGEST)).validate()


def test_the_reference_library_turns_others_away(manifest):
    wrong = attestation_payload(manifest, DIGEST).replace(b"Statement/v1", b"Statement/v0")
    with pytest.raises(ValueError, match="Wrong statement type"):
        as_in_toto(wrong).validate()


def test_every_public_file_is_a_subject(manifest, allowed):
    statement = json.loads(attestation_payload(manifest, DIGEST))
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    files = {f"public/{path.name}": path for path in (allowed / "public").iterdir()}
    assert subjects.keys() == files.keys()
    assert subjects.pop("public/manifest.json") == DIGEST
    for name, digest in subjects.items():
        assert digest == hashlib.sha256(files[name].read_bytes()).hexdigest(), name
    names = [one["name"] for one in statement["subject"]]
    assert names == sorted(names)


def test_the_predicate_says_what_the_manifest_says(manifest):
    statement = json.loads(attestation_payload(manifest, DIGEST))
    assert statement["predicateType"] == "urn:dpsynth:release:1"
    said = manifest.model_dump(mode="json")
    for field in Manifest.model_fields.keys() - {"files", "self_sha256"}:
        assert statement["predicate"][field] == said[field], field


@pytest.mark.parametrize("field", sorted(Manifest.model_fields.keys() - {"self_sha256"}))
def test_every_field_of_the_manifest_is_signed(manifest, field):
    parents = (Parent(known_by="declared", generation=1),)
    others = {"files": manifest.files[1:], "versions": {}, "generation": 7, "made_from": parents}
    other = others.get(field, "other")
    changed = manifest.model_copy(update={field: other})
    assert attestation_payload(changed, DIGEST) != attestation_payload(manifest, DIGEST)


def test_equal_manifests_give_equal_bytes(manifest):
    assert attestation_payload(manifest, DIGEST) == attestation_payload(manifest, DIGEST)
    assert attestation_payload(manifest, "cd" * 32) != attestation_payload(manifest, DIGEST)
