import json
import shutil
from pathlib import Path

import pytest

from dpsynth.errors import InputError
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.bundle import write_bundle
from dpsynth.release.commands import attack_summaries, decide_files, verify_command
from dpsynth.release.replay import replay
from dpsynth.release.signing import generate_keys, load_signer
from dpsynth.release.waivers import Waiver


@pytest.fixture
def private(tables, tmp_path):
    paths = []
    for role in ("train", "holdout"):
        paths.append(tmp_path / f"{role}.csv")
        tables[role].to_csv(paths[-1], index=False)
    return paths


def test_the_same_rows_give_the_same_figures(allowed, refused, private):
    for folder in (allowed, refused):
        check = replay(folder, *private)
        assert check.ok, check.message
        assert "figures came out the same" in check.message


def test_other_rows_are_noticed(allowed, private):
    check = replay(allowed, private[1], private[0])
    assert not check.ok
    assert "train: 317 rows stored, 151 now" in check.message


def test_a_single_changed_row_is_noticed(allowed, tables, private):
    changed = tables["train"].copy()
    changed.loc[0, ["age", "income"]] = [99, 199.9]
    check = replay(allowed, changed, private[1])
    assert not check.ok
    assert "stored" in check.message


def test_the_whole_table_is_cut_by_the_stored_row_numbers(contents, tables, tmp_path):
    import pandas as pd

    whole = pd.concat([tables["holdout"], tables["train"]], ignore_index=True)
    rows = range(len(tables["holdout"]))
    folder = write_bundle(tmp_path / "bundle", contents(holdout_rows=rows))
    assert replay(folder, whole).ok
    check = replay(folder, tables["train"].head(100))
    assert not check.ok
    assert "do not fit the private table" in check.message


def test_broken_parts_are_a_failed_check(bundle, tables):
    holdout = bundle / "internal" / "holdout.json"
    for broken in (
        {"format": "dpsynth.holdout/2", "rows": []},
        {"format": "dpsynth.holdout/1", "rows": [10**30]},
        {"format": "dpsynth.holdout/1", "rows": ["1"]},
        {"format": "dpsynth.holdout/1", "rows": [True]},
        {"format": "dpsynth.holdout/1"},
    ):
        holdout.write_text(json.dumps(broken))
        check = replay(bundle, tables["train"])
        assert not check.ok
        assert "holdout.json" in check.message
    (bundle / "internal" / "audit.json").unlink()
    assert "audit.json: cannot be read" in replay(bundle, tables["train"]).message


def test_a_missing_private_table_is_bad_input(allowed, tmp_path):
    with pytest.raises(InputError):
        replay(allowed, tmp_path / "nowhere.csv")


def test_a_waiver_takes_nothing_from_the_replay(contents, private, tmp_path):
    waiver = Waiver(rule="min_rows", name="A. B.", reason="a test", date="2026-01-02")
    policy = contents().policy_text.replace("min_rows = 100", "min_rows = 100000")
    folder = write_bundle(tmp_path / "waived", contents(policy, waivers=(waiver,)))
    outcome = verify_command(folder, replay=True, train=private[0], holdout=private[1])
    assert outcome.ok, outcome.failures


def test_a_changed_figure_is_named(bundle, private):
    path = bundle / "internal" / "audit.json"
    data = json.loads(path.read_text())
    (finding,) = [f for f in data["findings"] if f["name"] == "closest_record"]
    finding["figures"]["auroc"]["value"] = finding["figures"]["auroc"]["lower"]
    path.write_text(json.dumps(data))
    check = replay(bundle, *private)
    assert not check.ok
    assert check.message.startswith("closest_record.auroc: ")


def test_verify_command_with_a_zip_a_key_and_a_ledger(contents, tmp_path):
    keys = generate_keys(tmp_path / "key.pem")
    other = generate_keys(tmp_path / "other.pem")
    signed = contents(signer=load_signer(keys.private_path))
    folder = write_bundle(tmp_path / "bundle", signed)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    for place in (folder, packed):
        assert verify_command(place, key=keys.public_path).ok
        (failed,) = verify_command(place, key=other.public_path).failures
        assert failed.name == "signing key"
    with pytest.raises(InputError, match="this is a private key"):
        verify_command(folder, key=keys.private_path)
    with pytest.raises(InputError, match="does not exist"):
        verify_command(folder, ledger=str(tmp_path / "none.db"))
    Ledger.open(tmp_path / "l.db", dataset="a", epsilon=1.0, delta=1e-5)
    Ledger.open(tmp_path / "l.db", dataset="b", epsilon=1.0, delta=1e-5)
    (failed,) = verify_command(folder, ledger=str(tmp_path / "l.db")).failures
    assert (failed.name, "names no ledger" in failed.message) == ("ledger", True)


def test_replay_needs_what_it_replays(allowed, private):
    with pytest.raises(InputError, match="replay needs internal/"):
        verify_command(allowed, replay=True, train=private[0], public_only=True)


def test_verify_command(allowed, private):
    plain = verify_command(allowed)
    assert plain.ok
    again = verify_command(allowed, replay=True, train=private[0], holdout=private[1])
    assert again.ok
    assert [check.name for check in again.checks[len(plain.checks) :]] == ["replay"]
    with pytest.raises(InputError, match="give --train"):
        verify_command(allowed, replay=True)


def test_decide_files(allowed, tmp_path):
    statement = allowed / "public" / "privacy.json"
    audit = allowed / "internal" / "audit.json"
    policy = allowed / "internal" / "policy.toml"
    assert decide_files(statement, audit, policy).verdict == "allow"
    by_default = decide_files(statement, audit)
    assert by_default.policy_name == "internal"
    assert by_default.verdict == "refuse", "317 rows are too few for the default policy"
    with pytest.raises(InputError, match="cannot be read"):
        decide_files(statement, tmp_path / "nowhere.json")
    with pytest.raises(InputError):
        decide_files(audit, audit)
    with pytest.raises(InputError, match=r"this version reads 'audits\.result/2'"):
        decide_files(statement, statement)


def test_attacks_say_what_they_need():
    found = attack_summaries()
    assert "closest_record" in found
    assert all(found.values())


def test_the_statement_in_the_bundle_is_the_one_given(allowed, contents):
    text = (allowed / "public" / "privacy.json").read_text(encoding="utf-8")
    assert PrivacyStatement.from_json_text(text) == contents().statement
