import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dpsynth.errors import InputError
from dpsynth.privacy.events import NonPrivateEvent
from dpsynth.privacy.ledger import Charge
from dpsynth.release.bundle import write_bundle
from dpsynth.release.domain import read_domain
from dpsynth.release.verify import verify_bundle

PUBLIC = {
    *("synthetic.csv", "schema.json", "privacy.json", "decision.json"),
    *("card.md", "report.html", "manifest.json"),
}
INTERNAL = {
    *("audit.json", "decision.json", "schema.json", "report.html", "policy.toml"),
    *("holdout.json", "manifest.json", "model/model.json", "model/deep/weights.bin"),
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
    assert files(refused / "public") == PUBLIC - {"synthetic.csv"}
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


def test_no_private_row_leaves(contents, tables, tmp_path):
    real = tables["train"].copy()
    real.loc[:40, "town"] = "Zwiefalten-7193"
    real.loc[:40, "income"] = 173.9
    real.loc[:40, "age"] = 98
    path = write_bundle(tmp_path / "bundle", contents(real=real))
    for name in files(path):
        assert b"Zwiefalten" not in (path / name).read_bytes(), name
