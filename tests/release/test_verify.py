import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.release.canonical import pretty_json, read_json, read_text, sha256_file
from dpsynth.release.manifest import InternalManifest, Manifest, list_files, read_manifest
from dpsynth.release.verify import read_decision, verify_bundle


def paths(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def names(verification):
    return " | ".join(f"{check.name}: {check.message}" for check in verification.failures)


def reseal(folder):
    """What a forger without a key would do: write the manifests anew after a change."""
    inner = read_manifest(folder / "internal" / "manifest.json", InternalManifest)
    inner = inner.model_copy(update={"files": list_files(folder / "internal")}).sealed()
    (folder / "internal" / "manifest.json").write_text(inner.to_json_text(), encoding="utf-8")
    outer = read_manifest(folder / "public" / "manifest.json", Manifest)
    changes = {
        "files": list_files(folder / "public"),
        "internal_manifest": sha256_file(folder / "internal" / "manifest.json"),
    }
    outer = outer.model_copy(update=changes).sealed()
    (folder / "public" / "manifest.json").write_text(outer.to_json_text(), encoding="utf-8")


def edit(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(pretty_json(data), encoding="utf-8")


def mutate(folder, kind, rng):
    """Damage one file; returns its path below the bundle."""
    name = str(rng.choice(paths(folder)))
    data = bytearray((folder / name).read_bytes())
    place = int(rng.integers(len(data)))
    if kind == "flip":
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[place:]
    elif kind == "add":
        data[place:place] = bytes(rng.integers(0, 256, 3, dtype=np.uint8))
    elif kind == "space":
        data += b" "
    elif kind == "swap":
        other = next(i for i in range(len(data)) if data[i] != data[place])
        data[place], data[other] = data[other], data[place]
    elif kind == "exchange":
        twin = str(rng.choice([p for p in paths(folder) if p != name]))
        data = bytearray((folder / twin).read_bytes())
    elif kind == "remove":
        (folder / name).unlink()
        return name
    elif kind == "new":
        name = f"{Path(name).parent}/extra-{place}.txt"
    (folder / name).write_bytes(bytes(data))
    return name


@pytest.mark.parametrize("verdict", ["allowed", "refused"])
@pytest.mark.parametrize(
    "kind", ["flip", "cut", "add", "space", "swap", "exchange", "remove", "new"]
)
def test_any_damage_is_found_and_named(request, tmp_path, kind, verdict):
    whole = request.getfixturevalue(verdict)
    rng = np.random.default_rng(sum(map(ord, kind + verdict)))
    for round_ in range(6):
        folder = Path(shutil.copytree(whole, tmp_path / str(round_)))
        name = mutate(folder, kind, rng)
        verification = verify_bundle(folder)
        assert not verification.ok, (kind, name)
        assert name in names(verification), (kind, name)
        assert verification.exit_code == 2


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
    assert "manifest.json: cannot be read" in found


@pytest.mark.parametrize("half", ["public", "internal"])
def test_a_newer_format_is_named(bundle, half):
    def newer(data):
        data["format"] = data["format"].replace("/1", "/2")

    edit(bundle / half / "manifest.json", newer)
    found = names(verify_bundle(bundle))
    assert f"{half}/manifest.json" in found
    assert "verify with the version that made the bundle" in found


def test_a_newer_schema_or_decision_is_named(bundle):
    edit(bundle / "public" / "schema.json", lambda data: data.update(format="dpsynth.schema/2"))
    edit(bundle / "public" / "decision.json", lambda data: data.update(format="dpsynth.decision/2"))
    reseal(bundle)
    found = names(verify_bundle(bundle))
    assert "domain: schema.json: format is 'dpsynth.schema/2'" in found
    assert "not a decision this version reads" in found


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


@pytest.mark.parametrize(
    ("field", "factor", "check"),
    [("epsilon_spent", 0.9, "epsilon (gdp)"), ("witness_epsilon", 1.1, "witness epsilon (rdp)")],
)
def test_an_epsilon_its_events_do_not_bear_out_is_found(bundle, field, factor, check):
    edit(bundle / "public" / "privacy.json", lambda d: d.update({field: d[field] * factor}))
    reseal(bundle)
    assert check in [failed.name for failed in verify_bundle(bundle).failures]


@pytest.mark.parametrize("claim", ["mu", "max_advantage", "tradeoff", "tpr_at_fpr"])
def test_a_claim_its_events_do_not_bear_out_is_found(bundle, claim):
    def flatter(data):
        values = {
            "mu": data["mu"] * 0.9,
            "max_advantage": data["max_advantage"] * 0.9,
            "tradeoff": [[x, min(1.0, y * 1.01)] for x, y in data["tradeoff"]],
            "tpr_at_fpr": {rate: tpr * 0.9 for rate, tpr in data["tpr_at_fpr"].items()},
        }
        data[claim] = values[claim]

    edit(bundle / "public" / "privacy.json", flatter)
    reseal(bundle)
    (failed,) = verify_bundle(bundle).failures
    assert failed.name == "claims"
    assert failed.message.startswith(claim)


def test_a_mu_that_is_not_there_is_found(bundle):
    edit(bundle / "public" / "privacy.json", lambda data: data.update(mu=None))
    reseal(bundle)
    assert [failed.name for failed in verify_bundle(bundle).failures] == ["claims"]


def test_a_lowered_budget_is_found(bundle):
    edit(bundle / "public" / "privacy.json", lambda data: data.update(epsilon=0.01))
    reseal(bundle)
    assert "budget" in [failed.name for failed in verify_bundle(bundle).failures]


def test_a_changed_event_is_found(bundle):
    def quieter(data):
        data["events"][0]["event"]["noise_multiplier"] *= 3

    edit(bundle / "public" / "privacy.json", quieter)
    reseal(bundle)
    assert "epsilon (gdp)" in [failed.name for failed in verify_bundle(bundle).failures]


def test_an_event_nobody_knows_is_refused(bundle):
    def strange(data):
        data["events"][0]["event"]["type"] = "MiracleEvent"

    edit(bundle / "public" / "privacy.json", strange)
    reseal(bundle)
    assert not verify_bundle(bundle).ok


def test_an_edited_verdict_is_found_though_the_manifests_were_written_anew(refused, tmp_path):
    folder = Path(shutil.copytree(refused, tmp_path / "bundle"))
    for half in ("public", "internal"):
        edit(folder / half / "decision.json", lambda data: data.update(verdict="allow"))
    reseal(folder)
    found = names(verify_bundle(folder))
    assert "decision" in found
    assert "'allow', the manifest 'refuse'" in found


def test_a_policy_changed_after_the_run_is_found(bundle):
    policy = bundle / "internal" / "policy.toml"
    policy.write_text(policy.read_text().replace("max_epsilon = 3.0", "max_epsilon = 4.0"))
    reseal(bundle)
    assert "it was changed after the run" in names(verify_bundle(bundle))


def test_changed_evidence_is_found(bundle):
    def hide(data):
        (finding,) = [f for f in data["findings"] if f["name"] == "closest_record"]
        del finding["figures"]["auroc"]

    edit(bundle / "internal" / "audit.json", hide)
    reseal(bundle)
    assert "decision" in [failed.name for failed in verify_bundle(bundle).failures]


def test_broken_evidence_is_one_failed_check(bundle):
    (bundle / "internal" / "audit.json").write_text("{", encoding="utf-8")
    reseal(bundle)
    assert "audit result is not JSON" in names(verify_bundle(bundle))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("age,", "edad,", "declares column 'age', which the table lacks"),
        ("Ulm", "Rome", "column 'town': 'Rome' is outside the public domain"),
        ("true", "maybe", "'maybe' does not fit kind 'boolean'"),
    ],
)
def test_a_value_outside_the_domain_is_found(bundle, old, new, said):
    table = bundle / "public" / "synthetic.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    reseal(bundle)
    verification = verify_bundle(bundle)
    assert [failed.name for failed in verification.failures] == ["domain"]
    assert said in names(verification)


def test_a_table_smuggled_into_public_is_found(refused, tmp_path):
    folder = Path(shutil.copytree(refused, tmp_path / "bundle"))
    quarantine = folder / "internal" / "quarantine" / "synthetic.csv"
    shutil.copy(quarantine, folder / "public" / "synthetic.csv")
    reseal(folder)
    assert "verdict 'refuse' but public/ holds synthetic.csv" in names(verify_bundle(folder))


def test_a_table_said_to_lie_elsewhere_is_found(bundle):
    manifest = read_manifest(bundle / "public" / "manifest.json", Manifest)
    forged = manifest.model_copy(update={"table": "internal/audit.json"}).sealed()
    (bundle / "public" / "manifest.json").write_text(forged.to_json_text(), encoding="utf-8")
    assert "said to lie at 'internal/audit.json'" in names(verify_bundle(bundle))


def test_two_policies_in_one_bundle_are_found(bundle):
    edit(bundle / "public" / "decision.json", lambda data: data.update(policy_hash="0" * 64))
    reseal(bundle)
    assert "name different policies" in names(verify_bundle(bundle))


def test_a_decision_must_be_one(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(IntegrityError, match="not a decision"):
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
    import subprocess

    code = (
        "import sys; from dpsynth.release.verify import verify_bundle; "
        f"assert verify_bundle({str(allowed)!r}).ok; "
        "print({'torch', 'matplotlib', 'opacus'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
