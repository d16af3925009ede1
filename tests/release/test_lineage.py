import html
import shutil

import pytest

from dpsynth.errors import InputError
from dpsynth.privacy.lineage_record import WHOLE, LineageRecord, Parent, Share
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import sha256_file
from dpsynth.release.lineage import input_generation, input_parents
from dpsynth.release.manifest import Manifest, read_manifest
from dpsynth.release.policy import parse_policy, policy_hash
from dpsynth.release.report.lineage_words import made_from
from dpsynth.release.verify import verify_bundle

HALF = Share(value=0.5, lower=0.4, upper=0.6)


def test_a_table_in_its_bundle_is_recognized(allowed, refused):
    assert input_generation(allowed / "public" / "synthetic.csv") == 1
    assert input_generation(str(refused / "internal" / "quarantine" / "synthetic.csv")) == 1


def test_any_other_table_is_taken_for_real(allowed, tmp_path, tables):
    copy = tmp_path / "synthetic.csv"
    shutil.copy(allowed / "public" / "synthetic.csv", copy)
    for data in (copy, tables["train"], "sqlite:///people.db", tmp_path / "absent.csv"):
        assert input_generation(data) == 0


def test_a_table_is_known_by_a_manifest_wherever_both_are_copied(allowed, refused, tmp_path):
    digest = sha256_file(allowed / "public" / "manifest.json")
    shutil.copytree(allowed / "public", tmp_path / "from a partner")
    apart = tmp_path / "apart"
    apart.mkdir()
    shutil.copy(allowed / "public" / "synthetic.csv", apart / "renamed.csv")
    shutil.copy(allowed / "public" / "manifest.json", apart / "manifest.json")
    for table in (tmp_path / "from a partner" / "synthetic.csv", apart / "renamed.csv"):
        (parent,) = input_parents(table)
        assert parent.known_by == "manifest"
        assert parent.manifest_sha256 == digest
        assert parent.share == WHOLE
    (apart / "renamed.csv").write_text("age\n1\n", encoding="utf-8")
    assert input_parents(apart / "renamed.csv") == ()


def test_manifests_of_other_programs_and_changed_ones_tell_nothing(bundle, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("age\n1\n", encoding="utf-8")
    (tmp_path / "manifest.json").write_text('{"name": "an app"}', encoding="utf-8")
    assert input_parents(table) == ()
    manifest = bundle / "public" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"generation": 1', '"generation": 5'), encoding="utf-8")
    assert input_parents(bundle / "public" / "synthetic.csv") == ()


def test_a_quarantined_table_needs_both_manifests(refused, tmp_path):
    copy = shutil.copytree(refused, tmp_path / "copy")
    table = copy / "internal" / "quarantine" / "synthetic.csv"
    assert input_generation(table) == 1
    other = (copy / "internal" / "manifest.json").read_text(encoding="utf-8") + " "
    (copy / "internal" / "manifest.json").write_text(other, encoding="utf-8")
    assert input_generation(table) == 0


def test_what_the_owner_declares_is_a_parent_without_a_bundle(allowed):
    (parent,) = input_parents("people.csv", declared=2)
    assert (parent.known_by, parent.generation, parent.manifest_sha256) == ("declared", 2, None)
    assert input_parents("people.csv", declared=0) == input_parents("people.csv") == ()
    (parent,) = input_parents(allowed / "public" / "synthetic.csv", declared=3)
    assert (parent.known_by, parent.generation) == ("manifest", 3)


def test_a_bundle_says_from_what_it_was_made(contents, statement, tmp_path):
    lineage = LineageRecord(
        made_from=(Parent(known_by="rows", generation=1, manifest_sha256="ab" * 32, share=HALF),),
        compared=1,
        noticeable_share=0.04,
        false_alarm_rate=0.001,
    )
    claim = statement(
        input_generation=1,
        lineage=lineage,
        policy_hash=policy_hash(parse_policy(contents().policy_text)),
    )
    folder = write_bundle(tmp_path / "bundle", contents(statement=claim))
    manifest = read_manifest(folder / "public" / "manifest.json", Manifest)
    assert manifest.generation == 2
    assert manifest.made_from == lineage.made_from
    assert verify_bundle(folder).ok
    for name in ("public/card.md", "public/report.html", "internal/report.html"):
        text = html.unescape((folder / name).read_text(encoding="utf-8"))
        assert "About 50% of the rows it was learned from (40% to 60%) were not real" in text
        assert "these are synthetic: 50.0% (40.0% to 60.0%), of generation 1 of the bundle" in text
        assert "a share of 4.0% or more would have been noticed" in text


def test_manifest_and_statement_must_name_the_same_parents(contents, statement, tmp_path):
    folder = write_bundle(tmp_path / "bundle", contents())
    path = folder / "public" / "manifest.json"
    manifest = read_manifest(path, Manifest)
    parent = Parent(known_by="declared", generation=1)
    other = manifest.model_copy(update={"made_from": (parent,)}).sealed()
    path.write_text(other.to_json_text(), encoding="utf-8")
    (failure,) = [f for f in verify_bundle(folder).failures if f.name == "verdict"]
    assert "name different tables that the input was made from" in failure.message


@pytest.mark.parametrize(
    ("lineage", "said"),
    [
        ({}, "real rows as far as is known. The ledger held no earlier release"),
        ({"compared": 2, "noticeable_share": 0.03}, "Rows of 2 earlier releases"),
        ({"compared": 1, "noticeable_share": 0.9}, "too noisy, or among rows that repeat too much"),
        ({"not_compared": 1}, "1 earlier release could not be compared"),
        ({"not_compared": 1}, "declare the generation"),
    ],
)
def test_how_closely_was_looked_is_said(statement, lineage, said):
    assert said in made_from(statement(lineage=LineageRecord(**lineage)))


def test_what_the_manifest_tells_is_said_without_more(statement):
    parent = Parent(known_by="manifest", generation=2, manifest_sha256="ab" * 32)
    text = made_from(statement(input_generation=2, lineage=LineageRecord(made_from=(parent,))))
    assert text == (
        "Generation 3. Of the rows it was made from, these are synthetic: all, of generation 2 of "
        "the bundle with manifest abababababab (by the manifest beside them)."
    )
    assert "of generation 2." in made_from(statement(input_generation=2))


def test_another_file_in_a_bundle_is_not_its_table(bundle):
    stray = bundle / "public" / "stray.csv"
    stray.write_text("age\n1\n", encoding="utf-8")
    assert input_generation(stray) == 0


def test_the_owner_may_say_more_but_not_less(allowed):
    table = allowed / "public" / "synthetic.csv"
    assert input_generation(table, declared=3) == 3
    assert input_generation("people.csv", declared=2) == 2
    with pytest.raises(InputError, match=r"of generation 1; 0 was declared"):
        input_generation(table, declared=0)
    for wrong in (-1, 1001):
        with pytest.raises(InputError, match="give 0 for real rows"):
            input_generation("people.csv", declared=wrong)
