"""A forger who has no key, but writes both manifests anew after a change."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import pretty_json, sha256_file
from dpsynth.release.manifest import InternalManifest, Manifest, list_files, read_manifest
from dpsynth.release.signing import generate_keys, load_public_key, load_signer
from dpsynth.release.verify import verify_bundle

ALLOWED = (
    "This table may be shared inside the organisation and with named recipients. "
    "It lies in public/."
)
STOPPED = (
    "Nothing in public/ may be shared. The synthetic table is kept in internal/quarantine/ and "
    "must not leave the house."
)


def names(verification):
    return " | ".join(f"{check.name}: {check.message}" for check in verification.failures)


def failed(folder, **options):
    return {check.name for check in verify_bundle(folder, **options).failures}


def reseal(folder, **changes):
    """Write both manifests anew, as they would be had the files always been so."""
    inner = read_manifest(folder / "internal" / "manifest.json", InternalManifest)
    inner = inner.model_copy(update={"files": list_files(folder / "internal")}).sealed()
    (folder / "internal" / "manifest.json").write_text(inner.to_json_text(), encoding="utf-8")
    outer = read_manifest(folder / "public" / "manifest.json", Manifest)
    changes |= {
        "files": list_files(folder / "public"),
        "internal_manifest": sha256_file(folder / "internal" / "manifest.json"),
    }
    outer = outer.model_copy(update=changes).sealed()
    (folder / "public" / "manifest.json").write_text(outer.to_json_text(), encoding="utf-8")


def edit(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(pretty_json(data), encoding="utf-8")


def edit_both(folder, name, change):
    for half in ("public", "internal"):
        edit(folder / half / name, change)


def put(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="session")
def signed(contents: Callable[..., Any], tmp_path_factory: Any) -> SimpleNamespace:
    """A signed bundle that may be shared, its signer's public key and a stranger's; read only."""
    place = tmp_path_factory.mktemp("signed")
    keys = generate_keys(place / "key.pem")
    other = generate_keys(place / "other.pem")
    bundle = write_bundle(place / "bundle", contents(signer=load_signer(keys.private_path)))
    return SimpleNamespace(
        bundle=bundle,
        key=load_public_key(keys.public_path),
        stranger=load_public_key(other.public_path),
        other_signer=load_signer(other.private_path),
        key_id=keys.key_id,
    )


@pytest.fixture
def stopped(refused: Path, tmp_path: Path) -> Path:
    """A copy of the refused bundle to damage."""
    return Path(shutil.copytree(refused, tmp_path / "stopped"))


def lie_of_epsilon(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data.update(epsilon_spent=0.1))


def lie_of_the_witness(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data.update(witness_epsilon=1.9))


def lower_the_budget(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data.update(epsilon=0.01))


def quieten_an_event(folder: Path) -> None:
    def change(data: Any) -> None:
        data["events"][0]["event"]["noise_multiplier"] *= 3

    edit_both(folder, "privacy.json", change)


def remove_an_event(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data["events"].pop())


def soften_the_sentence(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data.update(sentence="Nobody is at risk."))


def leave_out_a_rate(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data["tpr_at_fpr"].pop("0.01"))


def move_a_share(folder: Path) -> None:
    def change(data: Any) -> None:
        data["events"][0]["share"], data["events"][-1]["share"] = 0.9, 0.0

    edit_both(folder, "privacy.json", change)


def edit_public_statement(folder: Path) -> None:
    edit(folder / "public" / "privacy.json", lambda data: data.update(noise_source="dice"))


def edit_the_verdict(folder: Path) -> None:
    change = {"verdict": "refuse", "shareable": False, "note": STOPPED}
    edit_both(folder, "decision.json", lambda data: data.update(change))


def edit_a_rule(folder: Path) -> None:
    edit_both(folder, "decision.json", lambda data: data["rules"][0].update(reason="all is well"))


def edit_the_note(folder: Path) -> None:
    edit(folder / "public" / "decision.json", lambda data: data.update(note="Do as you like."))


def loosen_the_policy(folder: Path) -> None:
    put(folder / "internal" / "policy.toml", "max_epsilon = 3.0", "max_epsilon = 4.0")


def add_a_waiver(folder: Path) -> None:
    waiver = {"rule": "min_rows", "name": "Nobody", "reason": "none", "date": "2026-01-01"}
    (folder / "internal" / "waivers.json").write_text(pretty_json([waiver]), encoding="utf-8")


def hide_evidence(folder: Path) -> None:
    def change(data: Any) -> None:
        (finding,) = [f for f in data["findings"] if f["name"] == "closest_record"]
        del finding["figures"]["auroc"]

    edit(folder / "internal" / "audit.json", change)


def break_evidence(folder: Path) -> None:
    (folder / "internal" / "audit.json").write_text("{", encoding="utf-8")


def edit_the_certificate(folder: Path) -> None:
    path = folder / "public" / "certificate.json"
    edit(path, lambda data: data.update(verdict="excellent"))


def edit_the_card(folder: Path) -> None:
    with (folder / "public" / "card.md").open("a", encoding="utf-8") as file:
        file.write("\nApproved by everybody.\n")


def edit_the_metadata(folder: Path) -> None:
    edit(folder / "public" / "croissant.json", lambda data: data.update(name="Real table"))


def drop_the_metadata(folder: Path) -> None:
    (folder / "public" / "croissant.json").unlink()


def edit_the_owners_facts(folder: Path) -> None:
    edit(folder / "internal" / "about.json", lambda data: data.update(curator="Somebody else"))


def add_a_row(folder: Path) -> None:
    path = folder / "public" / "synthetic.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[-1]]), encoding="utf-8")


def change_a_cell_within_the_domain(folder: Path) -> None:
    path = folder / "public" / "synthetic.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    old = next(i for i, line in enumerate(lines) if ",Ulm," in line)
    lines[old] = lines[old].replace(",Ulm,", ",Köln,")
    path.write_text("".join(lines), encoding="utf-8")


def widen_the_domain(folder: Path) -> None:
    def change(data: Any) -> None:
        data["columns"][0]["upper"] = 120

    edit(folder / "public" / "schema.json", change)


def unlearn_a_bound(folder: Path) -> None:
    edit(folder / "public" / "schema.json", lambda data: data["learned"].pop("age"))


def invent_row_numbers(folder: Path) -> None:
    edit(folder / "internal" / "holdout.json", lambda data: data.update(rows=[1, 1]))


def bring_a_ledger(folder: Path) -> None:
    (folder / "internal" / "ledger.json").write_text("{}\n", encoding="utf-8")


def bring_a_key(folder: Path) -> None:
    (folder / "public" / "signing-key.pem").write_text("key", encoding="utf-8")


def bring_an_envelope(folder: Path) -> None:
    (folder / "public" / "manifest.dsse.json").write_text("{}", encoding="utf-8")


def drop_the_report(folder: Path) -> None:
    (folder / "public" / "report.html").unlink()


def drop_the_full_report(folder: Path) -> None:
    (folder / "internal" / "report.html").unlink()


def bring_a_second_table(folder: Path) -> None:
    shutil.copyfile(folder / "public" / "synthetic.csv", folder / "public" / "synthetic2.csv")


def bring_a_note(folder: Path) -> None:
    (folder / "internal" / "note.txt").write_text("Approved.", encoding="utf-8")


def name_one_accountant_twice(folder: Path) -> None:
    def change(data: Any) -> None:
        data.update(witness=data["accountant"], witness_epsilon=data["epsilon_spent"])

    edit_both(folder, "privacy.json", change)


def name_an_accountant_of_fame(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data.update(accountant="of world fame"))


FORGERIES: dict[Callable[[Path], None], str] = {
    lie_of_epsilon: "epsilon (gdp)",
    lie_of_the_witness: "witness epsilon (rdp)",
    lower_the_budget: "budget",
    quieten_an_event: "epsilon (gdp)",
    remove_an_event: "epsilon (gdp)",
    soften_the_sentence: "sentence",
    leave_out_a_rate: "sentence",
    move_a_share: "claims",
    edit_public_statement: "privacy statements",
    edit_the_verdict: "decision",
    edit_a_rule: "decision",
    edit_the_note: "public/decision.json",
    loosen_the_policy: "policy",
    add_a_waiver: "decision",
    hide_evidence: "decision",
    break_evidence: "internal/audit.json",
    edit_the_certificate: "certificate.json",
    edit_the_card: "card.md",
    edit_the_metadata: "croissant.json",
    drop_the_metadata: "metadata",
    edit_the_owners_facts: "card.md",
    add_a_row: "rows",
    change_a_cell_within_the_domain: "column shares",
    widen_the_domain: "schemas",
    unlearn_a_bound: "schemas",
    invent_row_numbers: "internal/holdout.json",
    bring_a_ledger: "ledger extract",
    bring_a_key: "signature",
    bring_an_envelope: "signature",
    drop_the_report: "public contents",
    drop_the_full_report: "internal contents",
    bring_a_second_table: "public contents",
    bring_a_note: "internal contents",
    name_one_accountant_twice: "claims",
    name_an_accountant_of_fame: "claims",
}
#: Those that show in what a recipient holds, and how they show there.
PUBLIC_FORGERIES = {
    forgery: FORGERIES[forgery]
    for forgery in (
        lie_of_epsilon,
        lie_of_the_witness,
        soften_the_sentence,
        edit_the_card,
        edit_the_metadata,
        drop_the_metadata,
        drop_the_report,
        bring_a_second_table,
        name_one_accountant_twice,
    )
}


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_forgery_is_found_though_both_manifests_were_written_anew(
    forgery: Callable[[Path], None], bundle: Path
) -> None:
    forgery(bundle)
    reseal(bundle)
    verification = verify_bundle(bundle)
    found = {check.name for check in verification.failures}
    assert FORGERIES[forgery] in found, names(verification)
    assert not any(name.startswith("file ") for name in found), "the seal itself must fit"


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_signature_finds_every_forgery_by_itself(
    forgery: Callable[[Path], None], signed: SimpleNamespace, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(signed.bundle, tmp_path / "bundle"))
    forgery(folder)
    reseal(folder)
    assert "signature" in failed(folder, key=signed.key)


@pytest.mark.parametrize("forgery", PUBLIC_FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_recipient_finds_forgeries_without_the_internal_half(
    forgery: Callable[[Path], None], bundle: Path
) -> None:
    forgery(bundle)
    reseal(bundle)
    shutil.rmtree(bundle / "internal")
    assert PUBLIC_FORGERIES[forgery] in failed(bundle, public_only=True)


def test_a_recipient_finds_a_verdict_that_its_own_rules_contradict(bundle: Path) -> None:
    def change(data: Any) -> None:
        (rule,) = [rule for rule in data["rules"] if rule["rule"] == "min_rows"]
        rule["verdict"] = "refuse"

    edit(bundle / "public" / "decision.json", change)
    reseal(bundle)
    shutil.rmtree(bundle / "internal")
    found = names(verify_bundle(bundle, public_only=True))
    assert "says 'allow', but its rules come to 'refuse'" in found


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [("generator", "independent", None), ("delta", 1e-6, "max_delta"), ("epsilon", 2.5, "max_eps")],
)
def test_a_recipient_finds_a_rule_that_met_something_else(
    bundle: Path, field: str, value: Any, rule: str | None
) -> None:
    edit(bundle / "public" / "privacy.json", lambda data: data.update({field: value}))
    reseal(bundle)
    shutil.rmtree(bundle / "internal")
    found = names(verify_bundle(bundle, public_only=True))
    assert (f"rule '{rule}" in found) is (rule is not None), found


def test_a_certificate_must_say_what_the_rest_of_public_says(bundle: Path) -> None:
    path = bundle / "public" / "certificate.json"
    edit(path, lambda data: data["claim"].update(epsilon=0.01, epsilon_spent=0.01))
    reseal(bundle)
    shutil.rmtree(bundle / "internal")
    assert failed(bundle, public_only=True) == {"certificate.json"}


def claim_another_version(folder: Path) -> None:
    edit_both(folder, "privacy.json", lambda data: data["versions"].update(dpsynth="999.0"))


def test_another_version_hides_no_figure(bundle: Path) -> None:
    """Who claims another version may choose his words, not his figures."""
    versions = {**manifest_of(bundle).versions, "dpsynth": "999.0"}
    claim_another_version(bundle)
    reseal(bundle, versions=versions)
    verification = verify_bundle(bundle)
    assert verification.ok, names(verification)
    said = {check.name: check.message for check in verification.checks}
    assert "no signature covers them" in said["card.md"]
    path = bundle / "public" / "certificate.json"
    edit(path, lambda data: data["claim"].update(epsilon=0.01))
    reseal(bundle, versions=versions)
    assert failed(bundle) == {"certificate"}


def test_a_signature_covers_the_words_of_another_version(
    signed: SimpleNamespace, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(signed.bundle, tmp_path / "bundle"))
    claim_another_version(folder)
    edit_the_card(folder)
    reseal(folder, versions={**manifest_of(folder).versions, "dpsynth": "999.0"})
    verification = verify_bundle(folder, key=signed.key)
    assert {check.name for check in verification.failures} == {"signature"}
    said = {check.name: check.message for check in verification.checks}
    assert "the signature covers them" in said["card.md"]


def test_a_signature_has_no_place_in_internal(bundle: Path) -> None:
    """No manifest lists a file of that name, so none would miss it or wonder at it."""
    bring = bundle / "internal" / "manifest.dsse.json"
    bring.write_text("anything", encoding="utf-8")
    reseal(bundle)
    assert failed(bundle) == {"file internal/manifest.dsse.json"}


def test_a_quarantined_table_that_is_gone_is_missed(stopped: Path) -> None:
    shutil.rmtree(stopped / "internal" / "quarantine")
    reseal(stopped)
    assert failed(stopped) == {"internal contents"}


def test_a_recipient_is_told_that_a_signature_was_taken_off(contents: Any, tmp_path: Path) -> None:
    keys = generate_keys(tmp_path / "key.pem")
    text = contents().policy_text + "\n"
    demanding = f"require_signature = true\n{text}"
    made = contents(demanding, signer=load_signer(keys.private_path))
    folder = write_bundle(tmp_path / "bundle", made)
    shutil.rmtree(folder / "internal")
    assert verify_bundle(folder, public_only=True).ok
    for name in ("signing-key.pem", "manifest.dsse.json"):
        (folder / "public" / name).unlink()
    outer = manifest_of(folder).model_copy(
        update={"signed_by": None, "files": list_files(folder / "public")}
    )
    (folder / "public" / "manifest.json").write_text(
        outer.sealed().to_json_text(), encoding="utf-8"
    )
    found = names(verify_bundle(folder, public_only=True))
    assert "signature: not signed, but public/decision.json demands a signature" in found


def test_the_seal_alone_changes_nothing(bundle: Path, stopped: Path) -> None:
    """Control: what finds the forgeries is what was forged, not the new seal."""
    for folder in (bundle, stopped):
        reseal(folder)
        assert verify_bundle(folder).ok, names(verify_bundle(folder))


def test_what_only_a_signature_or_the_real_rows_can_find(
    bundle: Path, signed: SimpleNamespace, tmp_path: Path
) -> None:
    """The report's pictures, the time, and rows exchanged so that all counts stay as they were."""
    for folder, options in ((bundle, {}), (tmp_path / "signed", {"key": signed.key})):
        if options:
            shutil.copytree(signed.bundle, folder)
        put(folder / "public" / "report.html", "</body>", "<p>More.</p></body>")
        table = folder / "public" / "synthetic.csv"
        head, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True)
        ages, others = zip(*(row.split(",", 1) for row in rows), strict=True)
        turned = (*ages[1:], ages[0])
        cells = [f"{age},{other}" for age, other in zip(turned, others, strict=True)]
        table.write_text("".join([head, *cells]), encoding="utf-8")
        croissant = folder / "public" / "croissant.json"
        old = next(r.sha256 for r in manifest_of(folder).files if r.path == "synthetic.csv")
        put(croissant, old, sha256_file(table))
        reseal(folder)
        assert verify_bundle(folder, **options).ok is not bool(options)


def manifest_of(folder: Path) -> Manifest:
    return read_manifest(folder / "public" / "manifest.json", Manifest)


def test_an_edited_verdict_is_found_in_a_refused_bundle(stopped: Path) -> None:
    change = {"verdict": "allow", "shareable": True, "note": ALLOWED}
    edit_both(stopped, "decision.json", lambda data: data.update(change))
    reseal(stopped)
    found = names(verify_bundle(stopped))
    assert "decision: internal/decision.json says 'allow'" in found
    assert "public/decision.json says 'allow', the manifest 'refuse'" in found


def test_a_whole_new_verdict_is_found(stopped: Path) -> None:
    """Verdict, place of the table and manifest, all changed to agree."""
    quarantine = stopped / "internal" / "quarantine"
    quarantine.joinpath("synthetic.csv").rename(stopped / "public" / "synthetic.csv")
    quarantine.rmdir()
    change = {"verdict": "allow", "shareable": True, "note": ALLOWED}
    edit_both(stopped, "decision.json", lambda data: data.update(change))
    reseal(stopped, verdict="allow", table="public/synthetic.csv")
    assert "decision" in failed(stopped)


def test_a_table_smuggled_into_public_is_found(stopped: Path) -> None:
    shutil.copy(stopped / "internal" / "quarantine" / "synthetic.csv", stopped / "public")
    reseal(stopped)
    assert "verdict 'refuse' but public/ holds synthetic.csv" in names(verify_bundle(stopped))


def test_a_quarantined_table_is_held_against_the_domain_too(stopped: Path) -> None:
    put(stopped / "internal" / "quarantine" / "synthetic.csv", "Ulm", "Rome")
    reseal(stopped)
    assert "column 'town': 'Rome' is outside" in names(verify_bundle(stopped))


def test_learned_bounds_shown_for_a_stopped_release_are_found(stopped: Path) -> None:
    shutil.copy(stopped / "internal" / "schema.json", stopped / "public")
    reseal(stopped)
    assert "schemas" in failed(stopped)


def test_notes_shown_for_a_stopped_release_are_found(stopped: Path) -> None:
    shutil.copy(stopped / "internal" / "privacy.json", stopped / "public")
    reseal(stopped)
    assert "privacy statements" in failed(stopped)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "internal/audit.json"}, "said to lie at 'internal/audit.json'"),
        ({"table": "/etc/hostname"}, "said to lie at '/etc/hostname'"),
        ({"policy_hash": "0" * 64}, "name different policies"),
        ({"generation": 5}, "public/manifest.json: generation is 5"),
        ({"versions": {"dpsynth": "9"}}, "name different versions"),
        ({"signed_by": "0" * 64}, "public/manifest.dsse.json: cannot be read"),
    ],
)
def test_a_manifest_that_lies_is_found(bundle: Path, changes: dict[str, Any], said: str) -> None:
    reseal(bundle, **changes)
    assert said in names(verify_bundle(bundle))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("public/privacy.json", "dpsynth.privacy"),
        ("public/decision.json", "dpsynth.decision"),
        ("public/schema.json", "dpsynth.schema"),
        ("public/certificate.json", "dpsynth.certificate"),
        ("internal/privacy.json", "dpsynth.privacy"),
        ("internal/decision.json", "dpsynth.decision"),
        ("internal/schema.json", "dpsynth.schema"),
        ("internal/audit.json", "audits.result"),
        ("internal/holdout.json", "dpsynth.holdout"),
    ],
)
@pytest.mark.parametrize(
    ("version", "said"),
    [("0", "made by an older version"), ("99", "made by a newer version of dpsynth; install it")],
)
def test_another_format_is_named(
    bundle: Path, name: str, kind: str, version: str, said: str
) -> None:
    edit(bundle / name, lambda data: data.update(format=f"{kind}/{version}"))
    reseal(bundle)
    found = names(verify_bundle(bundle))
    assert f"{name}: format is '{kind}/{version}': {said}" in found


@pytest.mark.parametrize("half", ["public", "internal"])
@pytest.mark.parametrize(("version", "said"), [("1", "an older"), ("4", "a newer")])
def test_another_format_of_a_manifest_is_named(
    bundle: Path, half: str, version: str, said: str
) -> None:
    def change(data: Any) -> None:
        data["format"] = f"{data['format'].rpartition('/')[0]}/{version}"

    edit(bundle / half / "manifest.json", change)
    found = names(verify_bundle(bundle))
    assert f"{half}/manifest.json: format is" in found
    assert f"made by {said} version" in found


@pytest.mark.parametrize("value", [None, 7, ["dpsynth.privacy/2"], "something else", "x" * 10_000])
def test_what_is_no_format_is_said(bundle: Path, value: Any) -> None:
    edit(bundle / "public" / "privacy.json", lambda data: data.update(format=value))
    reseal(bundle)
    (found,) = [c for c in verify_bundle(bundle).failures if c.name == "public/privacy.json"]
    assert "format" in found.message
    assert len(found.message) < 300


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("public/privacy.json", "epsilon"),
        ("public/decision.json", "rules"),
        ("public/schema.json", "columns"),
        ("public/certificate.json", "format"),
        ("internal/audit.json", "findings"),
        ("internal/holdout.json", "rows"),
        ("internal/about.json", "title"),
        ("internal/schema.json", "learned"),
    ],
)
def test_a_renamed_key_is_named(bundle: Path, name: str, old: str) -> None:
    edit(bundle / name, lambda data: data.update({"renamed": data.pop(old)}))
    reseal(bundle)
    (found,) = [check for check in verify_bundle(bundle).failures if check.name == name]
    assert old in found.message or "renamed" in found.message


def test_a_key_that_is_there_twice_is_named(bundle: Path) -> None:
    put(bundle / "public" / "privacy.json", "{", '{\n  "epsilon": 0.001,')
    reseal(bundle)
    assert "public/privacy.json: not JSON (key 'epsilon' is there twice)" in names(
        verify_bundle(bundle)
    )


@pytest.mark.parametrize("claim", ["mu", "max_advantage", "tradeoff", "tpr_at_fpr"])
def test_a_claim_its_events_do_not_bear_out_is_found(bundle: Path, claim: str) -> None:
    def flatter(data: Any) -> None:
        values = {
            "mu": data["mu"] * 0.9,
            "max_advantage": data["max_advantage"] * 0.9,
            "tradeoff": [[x, min(1.0, y * 1.01)] for x, y in data["tradeoff"]],
            "tpr_at_fpr": {rate: tpr * 0.9 for rate, tpr in data["tpr_at_fpr"].items()},
        }
        data[claim] = values[claim]

    edit_both(bundle, "privacy.json", flatter)
    reseal(bundle)
    (found,) = [check for check in verify_bundle(bundle).failures if check.name == "claims"]
    assert found.message.startswith(claim)


def test_a_mu_that_is_not_there_is_found(bundle: Path) -> None:
    edit_both(bundle, "privacy.json", lambda data: data.update(mu=None))
    reseal(bundle)
    assert "claims" in failed(bundle)


def test_an_event_nobody_knows_is_refused(bundle: Path) -> None:
    def strange(data: Any) -> None:
        data["events"][0]["event"]["type"] = "MiracleEvent"

    edit_both(bundle, "privacy.json", strange)
    reseal(bundle)
    assert "MiracleEvent" in names(verify_bundle(bundle))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("age,", "edad,", "declares column 'age', which the table lacks"),
        ("Ulm", "Rome", "column 'town': 'Rome' is outside the public domain"),
        ("true", "maybe", "'maybe' does not fit kind 'boolean'"),
    ],
)
def test_a_value_outside_the_domain_is_found(bundle: Path, old: str, new: str, said: str) -> None:
    put(bundle / "public" / "synthetic.csv", old, new)
    reseal(bundle)
    verification = verify_bundle(bundle)
    assert "domain" in {check.name for check in verification.failures}
    assert said in names(verification)


def test_a_signed_bundle_says_whose_key_it_is(signed: SimpleNamespace) -> None:
    alone = verify_bundle(signed.bundle)
    assert alone.ok, names(alone)
    (check,) = [check for check in alone.checks if check.name == "signature"]
    assert signed.key_id in check.message
    assert "only --key" in check.message
    with_key = verify_bundle(signed.bundle, key=signed.key)
    assert with_key.ok
    assert "it is the key that was given" in " ".join(c.message for c in with_key.checks)


def test_another_key_or_none_at_all_is_found(signed: SimpleNamespace, allowed: Path) -> None:
    assert failed(signed.bundle, key=signed.stranger) == {"signing key"}
    assert failed(allowed, key=signed.key) == {"signing key"}
    assert "not looked at" in str(verify_bundle(signed.bundle, public_only=True))


def test_a_bundle_signed_anew_by_a_stranger_needs_the_key_to_be_found(
    signed: SimpleNamespace, contents: Callable[..., Any], tmp_path: Path
) -> None:
    forged = write_bundle(tmp_path / "forged", contents(signer=signed.other_signer))
    assert verify_bundle(forged).ok, "nothing in the bundle can tell one signer from another"
    assert failed(forged, key=signed.key) == {"signing key"}


def test_a_signature_of_another_release_is_found(
    signed: SimpleNamespace, contents: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(signed.bundle, tmp_path / "bundle"))
    manifest = manifest_of(folder)
    sealed = manifest.model_copy(update={"created": "2027-01-01T00:00:00+00:00"}).sealed()
    (folder / "public" / "manifest.json").write_text(sealed.to_json_text(), encoding="utf-8")
    assert "signed was another release" in names(verify_bundle(folder))


@pytest.mark.parametrize("name", ["manifest.dsse.json", "signing-key.pem"])
def test_half_a_signature_is_none(signed: SimpleNamespace, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(signed.bundle, tmp_path / "bundle"))
    (folder / "public" / name).unlink()
    found = verify_bundle(folder)
    assert "signature" in {check.name for check in found.failures}
    assert f"public/{name}" in names(found)
