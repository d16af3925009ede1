import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.events import NonPrivateEvent
from dpsynth.privacy.ledger import Charge
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import sha256_file
from dpsynth.release.domain import read_domain
from dpsynth.release.manifest import Manifest, read_manifest
from dpsynth.release.reading import read_bundle
from dpsynth.release.report.columns import column_shares
from dpsynth.release.signing import generate_keys, load_signer, open_envelope
from dpsynth.release.verify import verify_bundle

POLICY = """
name = "test"
min_rows = 100
[[finding]]
name = "closest_record"
inconclusive = "allow"
"""
REFUSING = POLICY.replace("min_rows = 100", "min_rows = 100000")
PUBLIC = {
    *("synthetic.csv", "croissant.json", "schema.json", "privacy.json", "decision.json"),
    *("certificate.json", "card.md", "report.html", "training.json", "manifest.json"),
}
ONLY_WITH_THE_TABLE = {"synthetic.csv", "croissant.json", "training.json"}
INTERNAL = {
    *("audit.json", "privacy.json", "decision.json", "schema.json", "report.html", "columns.json"),
    *("policy.toml", "waivers.json", "about.json", "holdout.json", "manifest.json"),
    *("training.json", "model/model.json", "model/deep/weights.bin"),
}


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_allowed_bundle_has_the_table_in_public(allowed):
    assert files(allowed / "public") == PUBLIC
    assert files(allowed / "internal") == INTERNAL
    decision = json.loads((allowed / "public" / "decision.json").read_text(encoding="utf-8"))
    assert decision["shareable"] is True
    assert decision["edition"] == "public"
    verification = verify_bundle(allowed)
    assert verification.ok, verification.failures
    assert verification.exit_code == 0


def test_a_refused_bundle_keeps_the_table_inside(refused, schema):
    assert files(refused / "public") == PUBLIC - ONLY_WITH_THE_TABLE
    assert files(refused / "internal") == INTERNAL | {"quarantine/synthetic.csv"}
    decision = json.loads((refused / "public" / "decision.json").read_text(encoding="utf-8"))
    assert decision["shareable"] is False
    assert "Nothing in public/ may be shared" in decision["note"]
    report = (refused / "public" / "report.html").read_text(encoding="utf-8")
    assert "Nothing in public/ may be shared" in report
    assert "Column by column" not in report
    shown = read_domain(json.loads((refused / "public" / "schema.json").read_text("utf-8")))
    inside = read_domain(json.loads((refused / "internal" / "schema.json").read_text("utf-8")))
    assert inside == schema
    assert shown.column("age").lower is None, "learned bounds stay inside as well"
    verification = verify_bundle(refused)
    assert verification.ok, verification.failures


def test_an_inconclusive_bundle_keeps_the_table_inside(contents, tmp_path):
    made = contents('name = "x"\n[[finding]]\nname = "an_attack_of_next_year"')
    path = write_bundle(tmp_path / "bundle", made)
    assert made.decision.verdict == "inconclusive"
    assert not (path / "public" / "synthetic.csv").exists()
    assert (path / "internal" / "quarantine" / "synthetic.csv").exists()
    assert verify_bundle(path).ok


def test_a_run_without_privacy_is_refused_and_says_so(contents, statement, tmp_path):
    bare = statement(charges=[Charge("training: gradients", NonPrivateEvent())])
    made = contents(statement=bare)
    assert made.decision.verdict == "refuse"
    path = write_bundle(tmp_path / "bundle", made)
    (failed,) = verify_bundle(path).failures
    assert failed.name == "budget"
    report = (path / "public" / "report.html").read_text(encoding="utf-8")
    assert "unlimited" in report
    assert "nan" not in report.lower()


def test_the_table_survives_as_csv_and_parquet(contents, tables, tmp_path):
    path = write_bundle(tmp_path / "bundle", contents(output="parquet"))
    assert verify_bundle(path).ok
    made = pd.read_parquet(path / "public" / "synthetic.parquet")
    pd.testing.assert_frame_equal(made, tables["synthetic"])


def test_equal_contents_give_equal_bytes_but_for_the_salt(contents, allowed, tmp_path):
    again = write_bundle(tmp_path / "again", contents())
    for name in sorted(files(allowed) - {"internal/manifest.json", "public/manifest.json"}):
        assert (allowed / name).read_bytes() == (again / name).read_bytes(), name
    salts = {
        json.loads((path / "internal" / "manifest.json").read_text())["salt"]
        for path in (allowed, again)
    }
    assert len(salts) == 2


def test_an_existing_folder_is_refused(allowed, contents):
    before = {name: (allowed / name).read_bytes() for name in files(allowed)}
    with pytest.raises(InputError, match="already exists"):
        write_bundle(allowed, contents())
    assert {name: (allowed / name).read_bytes() for name in files(allowed)} == before


@pytest.mark.parametrize("good_writes", [0, 1, 5, 11, 13])
def test_a_full_disk_leaves_nothing(contents, tmp_path, monkeypatch, good_writes):
    real, done = Path.write_bytes, []

    def full(self, data):
        done.append(self)
        if len(done) > good_writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_bundle(tmp_path / "bundle", contents())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a//b", "a\\b", "./a", "", "a/../b"])
def test_a_model_file_may_not_climb(contents, tmp_path, name):
    with pytest.raises(InputError, match="not a plain path"):
        write_bundle(tmp_path / "bundle", contents(model_files={name: b""}))
    assert list(tmp_path.iterdir()) == []


def test_a_decision_from_elsewhere_is_refused(contents, tmp_path):
    made = contents()
    other = made.decision.model_copy(update={"policy_hash": "0" * 64})
    with pytest.raises(InputError, match="does not follow"):
        write_bundle(tmp_path / "bundle", replace(made, decision=other))


def test_wrong_output_and_wrong_columns_are_refused(contents, tables, tmp_path):
    with pytest.raises(InputError, match="give 'csv' or 'parquet'"):
        write_bundle(tmp_path / "bundle", contents(output="xlsx"))
    with pytest.raises(InputError, match="town"):
        write_bundle(
            tmp_path / "bundle", contents(synthetic=tables["synthetic"].drop(columns="town"))
        )
    assert list(tmp_path.iterdir()) == []


def test_the_clock_is_used_where_no_time_is_given(contents, tmp_path):
    path = write_bundle(tmp_path / "bundle", contents(created=None))
    manifest = json.loads((path / "public" / "manifest.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["created"])


def test_no_private_row_leaves(contents, tables, schema, tmp_path):
    real = tables["train"].copy()
    real.loc[:40, "town"] = "Zwiefalten-7193"
    real.loc[:40, "income"] = 173.9
    real.loc[:40, "age"] = 98
    columns = column_shares(schema, tables["synthetic"], real)
    path = write_bundle(tmp_path / "bundle", contents(columns=columns))
    for name in files(path):
        assert b"Zwiefalten" not in (path / name).read_bytes(), name


# Signed bundles


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return load_signer(generate_keys(tmp_path_factory.mktemp("keys") / "key.pem").private_path)


@pytest.fixture(scope="module")
def signed(contents, signer, tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("signed") / "bundle", contents(signer=signer))


def test_a_signed_bundle_holds_key_and_envelope(signed, signer):
    assert files(signed / "public") == PUBLIC | {"signing-key.pem", "manifest.dsse.json"}
    assert (signed / "public" / "signing-key.pem").read_text() == signer.public_pem
    manifest = read_manifest(signed / "public" / "manifest.json", Manifest)
    assert manifest.signed_by == signer.key_id
    listed = {record.path for record in manifest.files}
    assert "signing-key.pem" in listed
    assert "manifest.dsse.json" not in listed


def test_the_signature_covers_every_public_file_and_pins_the_rest(signed, signer):
    envelope = (signed / "public" / "manifest.dsse.json").read_text()
    statement = json.loads(open_envelope(envelope, signer.public_pem))
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    for name in files(signed / "public") - {"manifest.dsse.json"}:
        assert subjects.pop(f"public/{name}") == sha256_file(signed / "public" / name), name
    assert subjects == {}
    inner = sha256_file(signed / "internal" / "manifest.json")
    assert statement["predicate"]["internal_manifest"] == inner


def test_a_signed_bundle_verifies_and_a_refused_one_can_be_signed_too(signed, contents, signer):
    assert verify_bundle(signed).ok, verify_bundle(signed).failures
    stopped = write_bundle(signed.parent / "stopped", contents(REFUSING, signer=signer))
    assert verify_bundle(stopped).ok, verify_bundle(stopped).failures
    assert (stopped / "public" / "manifest.dsse.json").exists()


def test_unsigned_works_and_says_so(allowed, signed):
    manifest = read_manifest(allowed / "public" / "manifest.json", Manifest)
    assert manifest.signed_by is None
    assert not (allowed / "public" / "manifest.dsse.json").exists()
    assert not (allowed / "public" / "signing-key.pem").exists()
    for name in ("card.md", "report.html"):
        bare, full = ((path / "public" / name).read_text("utf-8") for path in (allowed, signed))
        assert "not signed" in bare.lower(), name
        assert "not signed" not in full.lower(), name


def test_nothing_in_public_changes_between_two_writes(contents, signer, signed, tmp_path):
    again = write_bundle(tmp_path / "again", contents(signer=signer))
    # The public manifest pins the internal one, whose salt is new; the envelope signs the manifest.
    pinned = {"manifest.json", "manifest.dsse.json"}
    for name in files(signed / "public") - pinned:
        one, other = (path / "public" / name for path in (signed, again))
        assert one.read_bytes() == other.read_bytes(), name
    one, other = (
        read_manifest(path / "public" / "manifest.json", Manifest) for path in (signed, again)
    )
    assert one.internal_manifest != other.internal_manifest
    hidden = {"internal_manifest": "", "self_sha256": ""}
    assert one.model_copy(update=hidden) == other.model_copy(update=hidden)


def test_a_signer_that_fails_leaves_nothing(contents, signer, tmp_path):
    class Broken:
        key_id, public_pem = signer.key_id, signer.public_pem

        def sign(self, payload):
            raise OSError(errno.EIO, "token was pulled out")

    with pytest.raises(InputError, match="token was pulled out"):
        write_bundle(tmp_path / "bundle", contents(signer=Broken()))
    assert list(tmp_path.iterdir()) == []


# Tables that are copied, bundles that are read back


def test_a_table_file_is_copied_as_it_is(contents, tmp_path):
    table = tmp_path / "made-elsewhere.csv"
    table.write_bytes(b"age,income\r\n1,2\r\n")
    path = write_bundle(tmp_path / "bundle", contents(synthetic=table, rows=1))
    assert (path / "public" / "synthetic.csv").read_bytes() == table.read_bytes()


def test_a_table_file_must_fit_the_output(contents, tmp_path):
    with pytest.raises(InputError, match="output is 'parquet'"):
        write_bundle(tmp_path / "b", contents(synthetic=tmp_path / "t.csv", output="parquet"))
    with pytest.raises(InputError, match="No such file"):
        write_bundle(tmp_path / "b", contents(synthetic=tmp_path / "t.csv"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["csv", "parquet"])
@pytest.mark.parametrize("policy", [POLICY, REFUSING], ids=["allowed", "refused"])
def test_read_back_and_written_again_it_is_the_same(contents, tmp_path, output, policy):
    one = write_bundle(tmp_path / "one", contents(policy, output=output, ledger_text="{}\n"))
    other = write_bundle(tmp_path / "other", read_bundle(one))
    assert files(one) == files(other)
    for name in files(one) - {"internal/manifest.json", "public/manifest.json"}:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("internal/schema.json", '{"format": "dpsynth.schema/1", "columns": []}'),
        ("internal/audit.json", "{}"),
        ("internal/holdout.json", '{"format": "dpsynth.holdout/9", "rows": []}'),
        ("internal/waivers.json", '[{"rule": "x"}]'),
        ("internal/about.json", '{"title": 7}'),
        ("internal/columns.json", "[{}]"),
        ("internal/privacy.json", "{"),
        ("public/manifest.json", "{}"),
    ],
)
def test_what_cannot_be_read_back_is_named(bundle, name, text):
    (bundle / name).write_text(text)
    with pytest.raises(IntegrityError) as caught:
        read_bundle(bundle)
    assert "\n" not in str(caught.value)
    (bundle / name).unlink()
    with pytest.raises(IntegrityError, match=Path(name).name):
        read_bundle(bundle)
