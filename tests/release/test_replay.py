import json

import pytest

from dpsynth.errors import InputError
from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.commands import attack_summaries, decide_files, verify_command
from dpsynth.release.replay import replay


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

    from dpsynth.release.bundle import write_bundle

    whole = pd.concat([tables["holdout"], tables["train"]], ignore_index=True)
    rows = range(len(tables["holdout"]))
    folder = write_bundle(tmp_path / "bundle", contents(holdout_rows=rows))
    assert replay(folder, whole).ok
    check = replay(folder, tables["train"].head(100))
    assert not check.ok
    assert "do not fit the private table" in check.message


def test_broken_parts_are_a_failed_check(bundle, tables):
    holdout = bundle / "internal" / "holdout.json"
    holdout.write_text(json.dumps({"format": "dpsynth.holdout/2", "rows": []}))
    check = replay(bundle, tables["train"])
    assert not check.ok
    assert "holdout.json" in check.message
    (bundle / "internal" / "audit.json").unlink()
    assert "audit.json: cannot be read" in replay(bundle, tables["train"]).message


def test_a_missing_private_table_is_bad_input(allowed, tmp_path):
    with pytest.raises(InputError):
        replay(allowed, tmp_path / "nowhere.csv")


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
    assert by_default.policy_name == "default"
    assert by_default.verdict == "refuse", "317 rows are too few for the default policy"
    with pytest.raises(InputError, match="cannot be read"):
        decide_files(statement, tmp_path / "nowhere.json")
    with pytest.raises(InputError):
        decide_files(audit, audit)
    with pytest.raises(InputError, match="audit result has format"):
        decide_files(statement, statement)


def test_attacks_say_what_they_need():
    found = attack_summaries()
    assert "closest_record" in found
    assert all(found.values())


def test_the_statement_in_the_bundle_is_the_one_given(allowed, contents):
    text = (allowed / "public" / "privacy.json").read_text(encoding="utf-8")
    assert PrivacyStatement.from_json_text(text) == contents().statement
