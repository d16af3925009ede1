"""`dpsynth ledger open`, `show` and `verify`, and the check of a bundle against its ledger."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dpsynth.cli import invoke
from dpsynth.errors import InputError
from dpsynth.ledger_bundle import check_bundle
from dpsynth.ledger_text import left
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge, Ledger
from dpsynth.privacy.statement import make_statement

CHARGES = (Charge("count", GaussianEvent(20.0)), Charge("marginals", GaussianEvent(8.0)))
HASH = "ab" * 32
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def book(place: str) -> Ledger:
    Ledger.create(place, dataset="census", epsilon=2.0, delta=1e-6)
    return Ledger.create(place, dataset="people", epsilon=3.0, delta=1e-5)


@pytest.fixture
def bundle(book: Ledger, tmp_path: Path) -> Path:
    """The public part of a bundle, charged to the ledger and not yet noted in it."""
    booking = book.reserve(CHARGES, release="spring", facts={"policy_hash": HASH}).booking
    statement = make_statement(
        epsilon=1.0, delta=1e-5, charges=CHARGES, privacy_unit="row", max_rows_per_unit=1,
        sampling="full batch", noise_source="ChaCha20", releasable=True, generator="g",
        clamping=(), unprotected=(), versions={}, booking=booking, policy_hash=HASH,
    )  # fmt: skip
    public = tmp_path / "bundle" / "public"
    public.mkdir(parents=True)
    (public / "privacy.json").write_text(statement.to_json_text())
    (public / "manifest.json").write_text("{}\n")
    return public.parent


def manifest_of(bundle: Path) -> str:
    return hashlib.sha256((bundle / "public" / "manifest.json").read_bytes()).hexdigest()


def as_json(capsys: Capture, *arguments: object) -> Any:
    capsys.readouterr()
    assert invoke([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def error(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    assert invoke([*map(str, arguments)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    (line,) = out.err.splitlines()
    assert line.startswith("error: ")
    return line


def test_open_fixes_a_budget_once(place: str, capsys: Capture) -> None:
    arguments = ["ledger", "open", place, "--dataset", "people", "--epsilon", "3"]
    assert as_json(capsys, *arguments) == {
        "ledger": Ledger.read(place).name,
        "dataset": "people",
        "epsilon": 3.0,
        "delta": 1e-5,
    }
    line = error(capsys, *arguments)
    assert "has its budget already (epsilon 3 at delta 1e-05)" in line
    assert Ledger.read(place).budget.epsilon == 3.0
    assert "epsilon=-1.0 must be" in error(
        capsys, "ledger", "open", place, "--dataset", "x", "--epsilon", "-1"
    )


def test_show_has_a_line_for_each_release(place: str, book: Ledger, capsys: Capture) -> None:
    book.reserve(CHARGES, release="spring", facts={"policy_hash": "cd" * 32})
    book.record_release("spring", {"verdict": "allow", "manifest_sha256": HASH})
    book.reserve([Charge("x", GaussianEvent(9.0))], release="summer")
    assert invoke(["ledger", "show", place]) == 0
    shown = capsys.readouterr().out
    assert "dataset 'census': spent epsilon 0 of 2 at delta 1e-06; 2 left" in shown
    assert "no releases yet" in shown
    (spring,) = (line.split() for line in shown.splitlines() if "spring" in line)
    assert spring[1:] == ["spring", f"{book.releases()[0].epsilon:.4g}", "cdcdcdcd", "allow"]
    (summer,) = (line for line in shown.splitlines() if "summer" in line)
    assert summer.split()[3:] == ["none", "not", "finished"]
    assert invoke(["ledger", "show", place, "--dataset", "people"]) == 0
    assert "census" not in capsys.readouterr().out


def test_show_as_json_has_it_all(place: str, book: Ledger, capsys: Capture) -> None:
    book.reserve(CHARGES, release="spring", facts={"policy_hash": HASH})
    shown = as_json(capsys, "ledger", "show", place)
    assert [d["dataset"] for d in shown["datasets"]] == ["census", "people"]
    people = shown["datasets"][1]
    assert people["budget"] == {"epsilon": 3.0, "delta": 1e-5}
    assert people["spent"] == book.spent()
    assert people["left"] == left(book)
    assert people["releases"][0]["verdict"] == "not finished"
    assert people["releases"][0]["policy_hash"] == HASH
    assert [entry["kind"] for entry in shown["entries"]] == [
        "budget", "budget", "opening", "charge", "charge"
    ]  # fmt: skip
    assert shown["entries"][-1]["hash"] == book.head.hash
    one = as_json(capsys, "ledger", "show", place, "--dataset", "census")
    assert [entry["dataset"] for entry in one["entries"]] == ["census"]
    assert "has no dataset 'nobody'" in error(
        capsys, "ledger", "show", place, "--dataset", "nobody"
    )


def test_left_is_what_one_more_release_could_have() -> None:
    ledger = Ledger.open("sqlite://", dataset="d", epsilon=3.0, delta=1e-5)
    assert left(ledger) == 3.0
    ledger.reserve([Charge("x", GaussianEvent(3.7306317 / 2.0))], release="one")
    assert 0.0 < left(ledger) < 3.0


def test_verify_with_a_bundle(place: str, bundle: Path, book: Ledger, capsys: Capture) -> None:
    arguments = ["ledger", "verify", place, "--bundle", bundle]
    expected = {"ok": True, "entries": 5, "dataset": "people", "release": "spring"}
    assert as_json(capsys, *arguments) == {**expected, "noted": False}
    book.record_release("spring", {"verdict": "inconclusive", "manifest_sha256": HASH})
    assert "it is not the bundle that came out" in error(capsys, *arguments)
    book.record_release("spring", {"verdict": "allow", "manifest_sha256": manifest_of(bundle)})
    assert as_json(capsys, *arguments) == {**expected, "entries": 7, "noted": True}
    assert as_json(capsys, "ledger", "verify", place) == {"ok": True, "entries": 7}
    (bundle / "public" / "manifest.json").write_text("{} \n")
    assert "it is not the bundle that came out" in error(capsys, *arguments)


def test_a_bundle_of_another_ledger(bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other.db"
    Ledger.open(other, dataset="people", epsilon=3.0, delta=1e-5)
    line = error(capsys, "ledger", "verify", other, "--bundle", bundle)
    assert "must have hash" in line


def test_a_bundle_whose_release_was_renamed(place: str, bundle: Path, capsys: Capture) -> None:
    privacy = bundle / "public" / "privacy.json"
    privacy.write_text(privacy.read_text().replace('"release": "spring"', '"release": "autumn"'))
    line = error(capsys, "ledger", "verify", place, "--bundle", bundle)
    assert "release 'autumn' was never charged" in line


def test_a_bundle_that_claims_less_than_was_booked(
    place: str, bundle: Path, capsys: Capture
) -> None:
    privacy = bundle / "public" / "privacy.json"
    data = json.loads(privacy.read_text())
    data["events"][0]["event"]["noise_multiplier"] *= 9
    privacy.write_text(json.dumps(data))
    line = error(capsys, "ledger", "verify", place, "--bundle", bundle)
    assert "books another event than the statement has" in line


@pytest.mark.parametrize("name", ["privacy.json", "manifest.json"])
def test_a_pipe_in_a_bundle_is_not_waited_for(
    place: str, bundle: Path, capsys: Capture, name: str
) -> None:
    path = bundle / "public" / name
    path.unlink()
    line = error(capsys, "ledger", "verify", place, "--bundle", bundle)
    assert f"{name}: cannot be read" in line
    os.mkfifo(path)
    line = error(capsys, "ledger", "verify", place, "--bundle", bundle)
    assert f"{name}: is not a plain file" in line


def test_what_is_no_bundle(place: str, book: Ledger, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "absent", tmp_path / "empty"):
        error(capsys, "ledger", "verify", place, "--bundle", where)


def test_a_bundle_without_a_ledger(place: str, bundle: Path) -> None:
    privacy = bundle / "public" / "privacy.json"
    data = json.loads(privacy.read_text())
    privacy.write_text(json.dumps({**data, "ledger": None}))
    with pytest.raises(InputError, match="names no ledger"):
        check_bundle(place, bundle)
    shutil.rmtree(bundle)


SCHEMA = """
unit = "person"
max_rows_per_unit = 2

[[columns]]
name = "person"
kind = "identifier"

[[columns]]
name = "sex"
kind = "categorical"
categories = ["f", "m"]
"""


@pytest.mark.slow
def test_a_renamed_table_is_refused_whatever_is_held_out(tmp_path: Path, capsys: Capture) -> None:
    """Each run holds out other people; they are the people of one table nevertheless."""
    rows = "".join(f"p{number % 500},{'fm'[number % 3 % 2]}\n" for number in range(700))
    for name in ("people.csv", "renamed.csv"):
        (tmp_path / name).write_text("person,sex\n" + rows)
    (tmp_path / "schema.toml").write_text(SCHEMA)
    common = ["--epsilon", "4", "--schema", str(tmp_path / "schema.toml")]
    common += ["--ledger", str(tmp_path / "l.db"), "--total-epsilon", "20"]
    first, second = (str(tmp_path / name) for name in ("people.csv", "renamed.csv"))
    assert invoke(["run", first, *common, "-o", str(tmp_path / "one")]) in (0, 3, 4)
    capsys.readouterr()
    assert invoke(["run", second, *common, "-o", str(tmp_path / "two")]) == 2
    assert "exactly the people of dataset 'people.csv'" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()
    again = [*common, "--dataset", "people.csv", "-o", str(tmp_path / "two")]
    assert invoke(["run", second, *again]) in (0, 3, 4)
    ledger = Ledger.read(tmp_path / "l.db", dataset="people.csv")
    assert len(ledger.releases()) == 2
    ledger.verify()
