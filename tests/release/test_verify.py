import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import read_json, read_text, sha256_file
from dpsynth.release.manifest import Manifest, read_manifest
from dpsynth.release.verification.checks import Check
from dpsynth.release.verify import read_decision, verify_bundle


def names(verification):
    return " | ".join(f"{check.name}: {check.message}" for check in verification.failures)


def test_damage_to_the_public_half_alone_is_found(allowed, tmp_path):
    public = Path(shutil.copytree(allowed / "public", tmp_path / "bundle" / "public"))
    assert verify_bundle(tmp_path / "bundle", public_only=True).ok
    without = verify_bundle(tmp_path / "bundle")
    assert "internal/ is missing" in names(without)
    (public / "card.md").write_text("changed", encoding="utf-8")
    assert "public/card.md" in names(verify_bundle(tmp_path / "bundle", public_only=True))


def test_a_link_is_refused_even_if_it_leads_to_the_same_bytes(bundle, tmp_path):
    card = bundle / "public" / "card.md"
    shutil.copy(card, tmp_path / "outside.md")
    card.unlink()
    card.symlink_to(tmp_path / "outside.md")
    assert "public/card.md is not a plain file" in names(verify_bundle(bundle))


@pytest.mark.parametrize("name", ["public/manifest.json", "public/synthetic.csv", "internal"])
def test_links_in_other_places_are_refused(bundle, tmp_path, name):
    (bundle / name).rename(tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    found = names(verify_bundle(bundle))
    assert "a link" in found
    assert Path(name).name in found


def test_stray_files_and_folders_are_named(bundle):
    (bundle / "notes.txt").write_text("hello", encoding="utf-8")
    (bundle / "public" / "empty").mkdir()
    found = names(verify_bundle(bundle))
    assert "notes.txt does not belong" in found
    assert "public/empty/ is not listed" in found


def test_no_folder_and_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        verify_bundle(tmp_path / "nowhere")
    found = names(verify_bundle(tmp_path))
    assert "public/ is missing" in found
    assert "signature: public/manifest.json cannot be read" in found


def test_a_climbing_path_in_a_manifest_is_refused(bundle):
    manifest = read_manifest(bundle / "public" / "manifest.json", Manifest)
    record = manifest.files[0].model_copy(update={"path": "../internal/audit.json"})
    forged = manifest.model_copy(update={"files": (record, *manifest.files[1:])}).sealed()
    (bundle / "public" / "manifest.json").write_text(forged.to_json_text(), encoding="utf-8")
    assert "may not climb" in names(verify_bundle(bundle))


def test_a_path_listed_twice_is_refused(bundle):
    manifest = read_manifest(bundle / "public" / "manifest.json", Manifest)
    forged = manifest.model_copy(update={"files": (*manifest.files, manifest.files[0])}).sealed()
    (bundle / "public" / "manifest.json").write_text(forged.to_json_text(), encoding="utf-8")
    assert "lists a path twice" in names(verify_bundle(bundle))


def test_a_decision_must_be_one(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(IntegrityError, match="has no 'format'"):
        read_decision(path)
    path.write_text('{"format": "dpsynth.decision/2"}', encoding="utf-8")
    with pytest.raises(IntegrityError, match="not a decision this version reads"):
        read_decision(path)


def test_small_readers_refuse_what_is_not_theirs(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    path.write_bytes(b'"\xff"')
    with pytest.raises(IntegrityError, match="byte 1 is not UTF-8"):
        read_text(path)
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(IntegrityError, match="not JSON"):
        read_json(path)
    monkeypatch.setattr("dpsynth.release.canonical.MAX_JSON_BYTES", 10)
    with pytest.raises(IntegrityError, match="at most 10 are read"):
        read_text(path)


def test_an_unreadable_file_is_one_failed_check(bundle, monkeypatch):
    """Taken away by hand, since root may read a file whatever its mode."""
    opened = Path.open

    def refuse(path, *args, **kwargs):
        if path.name == "card.md":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert "card.md" in names(verify_bundle(bundle))


def test_verifying_loads_no_torch(allowed):
    code = (
        "import sys; from dpsynth.release.verify import verify_bundle; "
        f"assert verify_bundle({str(allowed)!r}).ok; "
        "print({'torch', 'matplotlib', 'opacus'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


STRANGE = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1e999",
    "nan": b'{"format": NaN}',
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 900 + b"]" * 900,
    "deep object": b'{"format":' * 500 + b"1" + b"}" * 500,
    "huge number": b'{"format": ' + b"9" * 5000 + b"}",
    "binary": bytes(range(256)) * 40,
    "zeros": bytes(4096),
    "byte order mark": b"\xef\xbb\xbf{}",
    "half a surrogate": b'{"format": "\\ud800"}',
    "terminal codes": b'{"format": "\\u001b[2J\\u0007"}',
    "long word": b'{"format": "' + b"x" * 100_000 + b'"}',
}


def accused(folder):
    """What verify says, which must always be lines that any terminal can show."""
    found = names(verify_bundle(folder))
    assert found.isprintable()
    assert len(found) < 20_000
    return found


@pytest.mark.parametrize("strange", STRANGE, ids=str)
def test_a_strange_file_is_a_failed_check_and_no_crash(bundle, strange):
    """All but the manifests, which would hide the rest."""
    for path in bundle.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            path.write_bytes(STRANGE[strange])
    found = accused(bundle)
    for path in bundle.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            assert str(path.relative_to(bundle)) in found, path


@pytest.mark.slow
@pytest.mark.parametrize("strange", STRANGE, ids=str)
def test_each_file_by_itself_may_be_strange(bundle, refused, strange):
    for whole in (bundle, Path(shutil.copytree(refused, bundle.parent / "stopped"))):
        for path in sorted(p for p in whole.rglob("*") if p.is_file()):
            before = path.read_bytes()
            path.write_bytes(STRANGE[strange])
            assert str(path.relative_to(whole)) in accused(whole), path
            path.write_bytes(before)
        assert verify_bundle(whole).ok


VALUES = (None, -1, 10**400, "x", [], {}, True, 1e308, "\u202e")


def fields(bundle):
    """(file, its content, key) of every top field of every JSON file."""
    for path in sorted(bundle.rglob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        yield from ((path, data, key) for key in (data if isinstance(data, dict) else ()))


def strange_values(bundle, chosen):
    for place, (path, data, key) in enumerate(list(fields(bundle))):
        before = path.read_bytes()
        for value in chosen(place):
            if data[key] is not value and data[key] != value:
                path.write_text(json.dumps({**data, key: value}), encoding="utf-8")
                assert str(path.relative_to(bundle)) in accused(bundle), (path, key, value)
        path.write_bytes(before)
    assert verify_bundle(bundle).ok


def test_a_strange_value_is_a_failed_check_and_no_crash(bundle):
    strange_values(bundle, lambda place: [VALUES[place % len(VALUES)]] if place % 4 == 0 else [])


@pytest.mark.slow
def test_every_strange_value_anywhere_is_a_failed_check_and_no_crash(bundle):
    strange_values(bundle, lambda place: VALUES)


@pytest.mark.parametrize("name", ["public/privacy.json", "internal/audit.json", "public/card.md"])
def test_a_pipe_is_not_waited_for(bundle, name):
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert f"{name} is not a plain file" in names(verify_bundle(bundle)).replace(": is", " is")


def test_folders_without_end_are_a_failed_check(bundle):
    deep = bundle / "public"
    for _ in range(1200):
        deep /= "d"
        deep.mkdir()
    found = names(verify_bundle(bundle))
    while deep != bundle / "public":  # pytest cannot remove what lies so deep
        deep.rmdir()
        deep = deep.parent
    assert "file public/d/d/d/" in found
    assert verify_bundle(bundle).ok


def test_names_that_no_terminal_can_show_are_written_out(bundle):
    (bundle / "public" / os.fsdecode(b"bad-\xff\n\x1b[31m.txt")).write_text("x")
    found = names(verify_bundle(bundle))
    assert found.isprintable()
    assert "bad-" in found


def test_a_file_that_claims_too_much_is_not_read(bundle, monkeypatch):
    with (bundle / "public" / "privacy.json").open("r+b") as file:
        file.truncate(300 * 2**20)
    found = names(verify_bundle(bundle))
    assert "public/privacy.json: 314572800 bytes, at most 67108864 are read" in found


def test_a_parquet_table_that_claims_too_much_is_not_read(contents, tables, tmp_path, monkeypatch):
    """Two columns of one value repeated: a small file that stands for many cells."""
    folder = write_bundle(tmp_path / "bundle", contents(output="parquet"))
    assert verify_bundle(folder).ok
    table = folder / "public" / "synthetic.parquet"
    pq.write_table(pa.table({name: pa.array([1] * 2_000_000) for name in "ab"}), table)
    assert table.stat().st_size < 100_000
    monkeypatch.setattr("dpsynth.release.domain.MAX_CELLS", 1_000_000)
    found = names(verify_bundle(folder))
    assert "claims 2000000 rows of 2 columns" in found
    table.write_bytes(table.read_bytes()[:-7])
    assert "not a readable Parquet file" in names(verify_bundle(folder))


def test_check_lines_are_one_line_and_bounded():
    check = Check("a\nb", False, "x\x1b" + "y" * 5000)
    assert check.name == "a b"
    assert check.message.startswith("x\\x1by")
    assert len(check.message) == 600


def booked_in(book, plain):
    """The statement of a bundle, its charges booked as release r1, and the ledger's extract."""
    charges = [
        Charge(record.label, event)
        for record, event in zip(
            plain.statement.events, plain.statement.replay_events(), strict=True
        )
    ]
    facts = {"policy_hash": plain.statement.policy_hash, "input_generation": 0}
    booking = book.reserve(charges, release="r1", facts=facts).booking
    record = {
        "head": booking.head.hash,
        "entries": booking.head.entries,
        "release": booking.release,
        "releases": booking.releases,
        "total_epsilon": booking.total_epsilon,
        "total_delta": booking.budget.delta,
        "budget_epsilon": booking.budget.epsilon,
        "shared": booking.shared,
    }
    claim = type(plain.statement).model_validate(
        plain.statement.model_dump(mode="json") | {"ledger": record}
    )
    return claim, book.extract("r1")


@pytest.fixture
def booked(contents, statement, tmp_path):
    """A bundle whose charges stand in a ledger, and that ledger."""
    book = Ledger.open(tmp_path / "l.db", dataset="people", epsilon=3.0, delta=1e-5)
    claim, text = booked_in(book, contents())
    made = contents(statement=claim, ledger_text=text)
    return write_bundle(tmp_path / "bundle", made), book


def test_a_bundle_with_its_ledger(booked, tmp_path):
    folder, book = booked
    assert verify_bundle(folder, ledger=book).ok, names(verify_bundle(folder, ledger=book))
    digest = sha256_file(folder / "public" / "manifest.json")
    book.record_release("r1", {"verdict": "allow", "manifest_sha256": digest})
    (check,) = [c for c in verify_bundle(folder, ledger=book).checks if c.name == "ledger"]
    assert "noted with this very bundle" in check.message
    book.record_release("r1", {"verdict": "refuse", "manifest_sha256": "0" * 64})
    (check,) = [c for c in verify_bundle(folder, ledger=book).checks if c.name == "ledger"]
    assert "which a later one has replaced" in check.message


def hide_the_first_release(made):
    """Call all entries before the last release another dataset's, and lower the totals to fit."""
    claim, text = made
    data = json.loads(text)
    kept = [e for e in data["entries"] if e.get("kind") == "budget" or e.get("release") == "r1"]
    data["entries"] = [
        entry if entry in kept else {name: entry[name] for name in ("seq", "previous", "hash")}
        for entry in data["entries"]
    ]
    alone = accounting.epsilon(claim.replay_events(), delta=claim.ledger.total_delta)
    record = claim.ledger.model_copy(update={"releases": 1, "total_epsilon": alone})
    return claim.model_copy(update={"ledger": record}), json.dumps(data)


def test_an_earlier_release_that_an_extract_hides_is_found_by_the_ledger(contents, tmp_path):
    book = Ledger.open(tmp_path / "l.db", dataset="people", epsilon=3.0, delta=1e-5)
    book.reserve([Charge("x", GaussianEvent(noise_multiplier=9.0))], release="r0")
    claim, text = hide_the_first_release(booked_in(book, contents()))
    folder = write_bundle(tmp_path / "bundle", contents(statement=claim, ledger_text=text))
    alone = verify_bundle(folder)
    assert alone.ok, names(alone)
    (said,) = [c.message for c in alone.checks if c.name == "ledger extract"]
    assert "1 of them are said to be of other datasets" in said
    for public_only in (False, True):
        (failed,) = verify_bundle(folder, ledger=book, public_only=public_only).failures
        assert failed.name == "ledger"
        assert "does not say what was booked: ledger extract: gives releases 2" in failed.message


def test_another_ledger_and_another_bundle_are_found(booked, allowed, tmp_path):
    folder, book = booked
    assert "names no ledger" in names(verify_bundle(allowed, ledger=book))
    book.record_release("r1", {"verdict": "allow", "manifest_sha256": "0" * 64})
    assert "this is not the bundle that was made of it" in names(verify_bundle(folder, ledger=book))
    other = Ledger.open(tmp_path / "other.db", dataset="people", epsilon=3.0, delta=1e-5)
    assert "ledger: " in names(verify_bundle(folder, ledger=other))
    other.reserve([Charge("x", GaussianEvent(noise_multiplier=9.0))], release="r2")
    (failed,) = verify_bundle(folder, ledger=other).failures
    assert failed.name == "ledger"


def test_a_missing_or_changed_extract_is_found(booked, tmp_path):
    folder, _ = booked
    path = folder / "internal" / "ledger.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["entries"][-1]["time"] = "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert "ledger extract: internal/ledger.json" in names(verify_bundle(folder))
    path.unlink()
    assert "ledger extract: internal/ledger.json: cannot be read" in names(verify_bundle(folder))


def test_a_waiver_from_the_future_is_found(contents, finding, audit, tmp_path):
    from dpsynth.release.waivers import Waiver

    waiver = Waiver(rule="min_rows", name="A. B.", reason="small", date="2026-01-02")
    policy = contents().policy_text.replace("min_rows = 100", "min_rows = 100000")
    folder = write_bundle(tmp_path / "bundle", contents(policy, waivers=(waiver,)))
    assert verify_bundle(folder).ok, names(verify_bundle(folder))
    path = folder / "internal" / "waivers.json"
    path.write_text(path.read_text().replace("2026-01-02", "2031-01-02"), encoding="utf-8")
    found = names(verify_bundle(folder))
    assert "waivers: internal/waivers.json: waiver of rule 'min_rows'" in found
    assert "is dated 2031-01-02" in found


def test_an_unsigned_bundle_under_a_policy_that_demands_a_signature(bundle):
    policy = bundle / "internal" / "policy.toml"
    text = policy.read_text(encoding="utf-8")
    policy.write_text(f"require_signature = true\n{text}", encoding="utf-8")
    assert "signature: not signed, but internal/policy.toml demands" in names(verify_bundle(bundle))
