"""Whoever answers for a release decides on the finished bundle, without the private rows."""

import math
import re
import shutil
import zipfile
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.statement import make_statement
from dpsynth.release.about import About
from dpsynth.release.approve import approve
from dpsynth.release.bundle import write_bundle
from dpsynth.release.decisions import read_decision
from dpsynth.release.manifest import Manifest, read_manifest
from dpsynth.release.policy import parse_policy, policy_hash
from dpsynth.release.signing import generate_keys, load_signer
from dpsynth.release.verify import verify_bundle
from dpsynth.release.waivers import Waiver

REFUSING = """
name = "test"
waivers = "any"
min_rows = 100000

[[finding]]
name = "closest_record"
inconclusive = "allow"
"""
DEMANDING = REFUSING.replace("min_rows = 100000", "require_signature = true")
WAIVER = Waiver(
    rule="min_rows",
    name="Erika <b>Muster</b>",
    reason="The whole village is in the table.",
    date="2026-02-03",
)
NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return load_signer(generate_keys(tmp_path_factory.mktemp("keys") / "key.pem").private_path)


@pytest.fixture(scope="module")
def stopped(contents, tmp_path_factory):
    """A refused bundle, as the run left it; read only."""
    return write_bundle(tmp_path_factory.mktemp("stopped") / "bundle", contents(REFUSING))


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest_of(folder):
    return read_manifest(folder / "public" / "manifest.json", Manifest)


def test_a_waiver_lets_the_table_out(stopped, tmp_path, signer):
    before = bytes_of(stopped)
    out = tmp_path / "approved"
    decision = approve(stopped, out, waivers=(WAIVER,), signer=signer, now=NOON)
    assert decision.verdict == "allow"
    assert [rule.waiver for rule in decision.rules if rule.waiver] == [WAIVER]
    assert bytes_of(stopped) == before, "the bundle of the run stays as it is"
    outcome = verify_bundle(out, key=signer.public_pem)
    assert outcome.ok, outcome.failures
    after = bytes_of(out)
    assert after["public/synthetic.csv"] == before["internal/quarantine/synthetic.csv"]
    assert "internal/quarantine/synthetic.csv" not in after
    for name in ("audit.json", "privacy.json", "policy.toml", "holdout.json", "columns.json"):
        assert after[f"internal/{name}"] == before[f"internal/{name}"], name
    assert after["internal/model/deep/weights.bin"] == bytes(range(200))


def test_name_reason_and_date_of_a_waiver_show(stopped, tmp_path):
    out = tmp_path / "approved"
    approve(stopped, out, waivers=(WAIVER,), now=NOON)
    stored = read_decision(out / "public" / "decision.json")
    assert [rule.waiver for rule in stored.rules if rule.rule == "min_rows"] == [WAIVER]
    for name in ("public/report.html", "internal/report.html"):
        text = (out / name).read_text("utf-8")
        assert "Erika" in text, name
        assert "The whole village" in text, name
        assert "2026-02-03" in text, name
        assert "<b>Muster" not in text, name
    card = (out / "public" / "card.md").read_text("utf-8")
    assert "Erika" in card and "The whole village" in card, card


def test_the_time_is_that_of_the_approval(stopped, tmp_path):
    approve(stopped, tmp_path / "approved", waivers=(WAIVER,), now=NOON)
    assert manifest_of(tmp_path / "approved").created == "2026-02-03T12:00:00+00:00"
    approve(stopped, tmp_path / "now", waivers=(WAIVER,))
    assert re.match(r"20\d\d-", manifest_of(tmp_path / "now").created)
    assert manifest_of(tmp_path / "now").created > manifest_of(stopped).created


def test_a_bundle_can_be_signed_without_any_waiver(stopped, allowed, tmp_path, signer):
    for name, bundle, verdict in (("one", stopped, "refuse"), ("two", allowed, "allow")):
        assert approve(bundle, tmp_path / name, signer=signer).verdict == verdict
        assert manifest_of(tmp_path / name).signed_by == signer.key_id
        assert verify_bundle(tmp_path / name, key=signer.public_pem).ok
        assert (tmp_path / name / "public" / "synthetic.csv").exists() == (verdict == "allow")


def test_the_owner_may_say_more(allowed, tmp_path):
    approve(allowed, tmp_path / "approved", about=About(title="Visits 2025", curator="Ulm"))
    assert "Visits 2025" in (tmp_path / "approved/public/report.html").read_text("utf-8")
    assert verify_bundle(tmp_path / "approved").ok


def test_a_second_officer_adds_to_what_the_first_one_set_aside(contents, tmp_path):
    text = REFUSING + '[[finding]]\nname = "an_attack_of_next_year"\n'
    first = write_bundle(tmp_path / "run", contents(text))
    assert approve(first, tmp_path / "a", waivers=(WAIVER,), now=NOON).verdict == "inconclusive"
    other = WAIVER.model_copy(update={"rule": "finding an_attack_of_next_year", "name": "Max"})
    decision = approve(tmp_path / "a", tmp_path / "b", waivers=(other,), now=NOON)
    assert decision.verdict == "allow"
    assert {rule.waiver.name for rule in decision.rules if rule.waiver} == {WAIVER.name, "Max"}
    assert verify_bundle(tmp_path / "b").ok


def test_a_zip_can_be_approved(stopped, tmp_path, signer):
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for name, data in bytes_of(stopped).items():
            archive.writestr(name, data)
    approve(tmp_path / "bundle.zip", tmp_path / "approved", signer=signer)
    assert verify_bundle(tmp_path / "approved").ok


# What stops an approval


@pytest.fixture
def place(stopped, tmp_path):
    """A copy to damage, and a check at the end that nothing new lies beside it."""
    bundle = shutil.copytree(stopped, tmp_path / "bundle")
    yield bundle
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_changed_bundle_is_not_approved(place):
    path = place / "internal" / "audit.json"
    path.write_bytes(path.read_bytes().replace(b"leak", b"none", 1))
    with pytest.raises(IntegrityError, match=r"does not verify.*audit\.json"):
        approve(place, place.parent / "approved", waivers=(WAIVER,), now=NOON)


def test_an_approval_of_nothing_is_refused(place):
    with pytest.raises(InputError, match="nothing to approve"):
        approve(place, place.parent / "approved")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "min_row"}, "min_rows"),
        ({"rule": "budget"}, "budget"),
        ({"date": "2026-02-05"}, "2026-02-05"),
    ],
    ids=["unknown", "never", "future"],
)
def test_a_waiver_that_does_not_fit_is_refused(place, changes, message):
    waiver = WAIVER.model_copy(update=changes)
    with pytest.raises(InputError, match=message):
        approve(place, place.parent / "approved", waivers=(waiver,), now=NOON)


def test_the_same_rule_is_not_waived_twice(stopped, tmp_path):
    approve(stopped, tmp_path / "a", waivers=(WAIVER,), now=NOON)
    with pytest.raises(InputError, match="min_rows"):
        approve(tmp_path / "a", tmp_path / "b", waivers=(WAIVER,), now=NOON)
    assert not (tmp_path / "b").exists()


def test_a_bundle_is_not_approved_into_itself_or_over_another(place):
    for out in (place / "approved", place / "public" / "x", place):
        with pytest.raises(InputError, match="lies in the bundle"):
            approve(place, out, waivers=(WAIVER,), now=NOON)
    (place.parent / "other").mkdir()
    with pytest.raises(InputError, match="already exists"):
        approve(place, place.parent / "other", waivers=(WAIVER,), now=NOON)
    (place.parent / "other").rmdir()


def test_a_signed_bundle_is_not_replaced_by_an_unsigned_one(allowed, tmp_path, signer):
    approve(allowed, tmp_path / "signed", signer=signer)
    with pytest.raises(InputError, match="give the key to sign it with"):
        approve(tmp_path / "signed", tmp_path / "bare", about=About(title="x"))
    assert not (tmp_path / "bare").exists()


def test_a_policy_can_demand_a_signature(contents, tmp_path, signer):
    made = contents(DEMANDING)
    assert made.decision.verdict == "allow"
    with pytest.raises(InputError, match="demands a signed bundle"):
        write_bundle(tmp_path / "bare", made)
    assert list(tmp_path.iterdir()) == []
    path = write_bundle(tmp_path / "signed", contents(DEMANDING, signer=signer))
    assert verify_bundle(path).ok, verify_bundle(path).failures


# The ledger


@pytest.fixture
def booked(contents, tmp_path):
    """A refused bundle whose charges are in a ledger."""
    where = tmp_path / "ledger.db"
    book = Ledger.open(where, dataset="people", epsilon=3.0, delta=1e-5)
    fixed = {"policy_hash": policy_hash(parse_policy(REFUSING)), "input_generation": 0}
    charges = [
        Charge("count: rows", GaussianEvent(noise_multiplier=1 / (0.24 * math.sqrt(0.1)))),
        Charge("training: gradients", GaussianEvent(noise_multiplier=1 / (0.24 * math.sqrt(0.9)))),
    ]
    reservation = book.reserve(charges, release="first", facts=fixed)
    claim = make_statement(
        epsilon=1.0,
        delta=1e-5,
        charges=charges,
        privacy_unit="row",
        max_rows_per_unit=1,
        sampling="full batch",
        noise_source="ChaCha20 seeded by the operating system",
        releasable=True,
        generator="autoregressive",
        clamping=(),
        unprotected=("column names",),
        versions={"dpsynth": "0.1.0"},
        booking=reservation.booking,
        **fixed,
    )
    made = contents(REFUSING, statement=claim, ledger_text=book.extract("first"))
    path = write_bundle(tmp_path / "bundle", made)
    return SimpleNamespace(path=path, where=where, book=book, contents=made)


def test_the_new_bundle_is_noted_in_the_ledger(booked, tmp_path):
    assert verify_bundle(booked.path).ok, verify_bundle(booked.path).failures
    approve(booked.path, tmp_path / "out", waivers=(WAIVER,), now=NOON, ledger=booked.where)
    (release,) = booked.book.releases()
    assert release.verdict == "allow"
    assert verify_bundle(tmp_path / "out", ledger=booked.book).ok
    facts = booked.book.entries()[-1].facts
    assert facts["created"] == "2026-02-03T12:00:00+00:00"
    booked.book.verify()


def test_another_ledger_stops_the_approval(booked, allowed, tmp_path):
    where = tmp_path / "other.db"
    Ledger.open(where, dataset="people", epsilon=3.0, delta=1e-5)
    for bundle, place, message in (
        (booked.path, where, "was not charged here"),
        (booked.path, tmp_path / "none.db", "none.db"),
        (allowed, where, "names no ledger"),
    ):
        with pytest.raises(InputError, match=message):
            approve(bundle, tmp_path / "out", about=About(title="x"), ledger=place)
        assert not (tmp_path / "out").exists()


def test_a_ledger_that_was_begun_anew_stops_the_approval(booked, tmp_path):
    where = tmp_path / "anew.db"
    book = Ledger.open(where, dataset="people", epsilon=3.0, delta=1e-5)
    book.reserve([Charge("count: rows", GaussianEvent(noise_multiplier=50.0))], release="first")
    with pytest.raises(IntegrityError, match=r"anew\.db"):
        approve(booked.path, tmp_path / "out", waivers=(WAIVER,), now=NOON, ledger=where)
    assert not (tmp_path / "out").exists()


def test_without_its_note_there_is_no_new_bundle(booked, tmp_path, monkeypatch):
    def locked(self, release, facts):
        raise InputError("another program holds the ledger")

    monkeypatch.setattr(Ledger, "record_release", locked)
    with pytest.raises(InputError, match="holds the ledger"):
        approve(booked.path, tmp_path / "out", waivers=(WAIVER,), now=NOON, ledger=booked.where)
    assert not (tmp_path / "out").exists()
