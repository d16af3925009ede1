"""`training.json` in a bundle: where it lies, and that verifying finds every change to it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpsynth.release.approve import approve
from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import sha256_file
from dpsynth.release.commands import decide_files
from dpsynth.release.manifest import InternalManifest, Manifest, list_files, read_manifest
from dpsynth.release.reading import read_bundle
from dpsynth.release.training import NAME
from dpsynth.release.verify import verify_bundle
from dpsynth.release.waivers import Waiver

RULE = "max_collapse_alarms"
WAIVER = Waiver(rule=RULE, name="Ada", reason="Too rare to matter.", date="2026-01-01")
LOST: dict[str, Any] = {
    "missing": [{"column": 2, "code": 0, "expected": 0.5, "at_least": 0.4, "share": 0.0}],
    "alarms": ["town: 'Ulm' never appeared (surely at least 40 % of the rows)"],
}


@pytest.fixture(scope="module")
def originals(
    contents: Callable[..., Any],
    watched: Callable[..., Any],
    training: Callable[..., Any],
    tmp_path_factory: Any,
) -> dict[bool, Path]:
    """Bundles under a policy with the rule, of models that kept what the monitor saw; read only."""
    text, place = contents().policy_text, tmp_path_factory.mktemp("originals")

    def build(name: str, **lost: Any) -> Path:
        facts = json.dumps({"watched": watched(**lost)}).encode()
        made = contents(
            f"{RULE} = 0\n{text}", training=training(**lost), model_files={"model.json": facts}
        )
        return write_bundle(place / name, made)

    return {False: build("whole"), True: build("lost", **LOST)}


@pytest.fixture
def built(originals: dict[bool, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy to damage: of a healthy model's bundle, or of one that lost a town."""

    def copy(name: str = "bundle", *, lost: bool = False) -> Path:
        return Path(shutil.copytree(originals[lost], tmp_path / name))

    return copy


def failures(folder: Path, **options: Any) -> str:
    return " | ".join(f"{c.name}: {c.message}" for c in verify_bundle(folder, **options).failures)


def reseal(folder: Path) -> None:
    """Both manifests anew, as a forger without a key writes them."""
    inner = read_manifest(folder / "internal" / "manifest.json", InternalManifest)
    inner = inner.model_copy(update={"files": list_files(folder / "internal")}).sealed()
    (folder / "internal" / "manifest.json").write_text(inner.to_json_text(), encoding="utf-8")
    outer = read_manifest(folder / "public" / "manifest.json", Manifest)
    pinned = sha256_file(folder / "internal" / "manifest.json")
    files = list_files(folder / "public")
    outer = outer.model_copy(update={"files": files, "internal_manifest": pinned}).sealed()
    (folder / "public" / "manifest.json").write_text(outer.to_json_text(), encoding="utf-8")


def test_an_allowed_bundle_holds_it_in_both_halves(
    built: Callable[..., Path], training: Callable[..., Any]
) -> None:
    folder = built()
    assert (folder / "public" / NAME).read_text(encoding="utf-8") == training().to_json_text()
    assert (folder / "internal" / NAME).read_bytes() == (folder / "public" / NAME).read_bytes()
    assert NAME in {one.path for one in list_files(folder / "public")}
    for public_only in (False, True):
        assert failures(folder, public_only=public_only) == ""
    assert read_bundle(folder).training == training()


def test_a_refused_one_keeps_it_inside(
    built: Callable[..., Path], training: Callable[..., Any]
) -> None:
    folder = built(lost=True)
    decision = json.loads((folder / "internal" / "decision.json").read_text(encoding="utf-8"))
    assert decision["verdict"] == "refuse"
    assert not (folder / "public" / NAME).exists()
    assert failures(folder) == ""
    assert read_bundle(folder).training == training(**LOST)
    for path in (folder / "public").glob("decision.json"):
        assert "Ulm" not in path.read_text(encoding="utf-8")
    report = (folder / "public" / "report.html").read_text(encoding="utf-8")
    assert "Training, watched" not in report
    assert "Training, watched" in (folder / "internal" / "report.html").read_text(encoding="utf-8")


def test_a_bundle_without_one_verifies(contents: Callable[..., Any], tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", contents(training=None))
    assert not list(folder.rglob(NAME))
    assert failures(folder) == ""
    assert read_bundle(folder).training is None


def test_another_training_is_found_whatever_is_rewritten(
    built: Callable[..., Path], training: Callable[..., Any]
) -> None:
    """The public half alone shows that the count differs; the model shows that the curve does."""
    lost = training(**LOST).to_json_text()
    folder = built("one")
    (folder / "public" / NAME).write_text(lost, encoding="utf-8")
    reseal(folder)
    assert f"rule '{RULE}' met 0, but public/{NAME} holds 1 alarm" in failures(
        folder, public_only=True
    )
    other = training(tvd_pairs=0.001).to_json_text()
    folder = built("two")
    for half in ("public", "internal"):
        (folder / half / NAME).write_text(other, encoding="utf-8")
    reseal(folder)
    assert f"training: internal/{NAME} is not what internal/model/model.json" in failures(folder)


@pytest.mark.parametrize("halves", [("public",), ("internal",), ("public", "internal")])
def test_a_training_that_was_taken_out_is_missed(
    built: Callable[..., Path], halves: tuple[str, ...]
) -> None:
    folder = built()
    for half in halves:
        (folder / half / NAME).unlink()
    reseal(folder)
    found = failures(folder)
    assert f"public/{NAME} is not what internal/{NAME}" in found or "model.json" in found
    if "public" in halves:
        assert f"public/{NAME} is not there" in failures(folder, public_only=True)


def test_hidden_alarms_do_not_pass(
    built: Callable[..., Path], training: Callable[..., Any]
) -> None:
    """A refusing bundle whose inner document is exchanged for a healthy one."""
    folder = built(lost=True)
    (folder / "internal" / NAME).write_text(training().to_json_text(), encoding="utf-8")
    reseal(folder)
    found = failures(folder)
    assert "decision: internal/decision.json says 'refuse'" in found
    assert "training: " in found


def test_a_stopped_bundle_must_not_hold_it_in_public(
    built: Callable[..., Path], training: Callable[..., Any]
) -> None:
    folder = built(lost=True)
    (folder / "public" / NAME).write_text(training(**LOST).to_json_text(), encoding="utf-8")
    reseal(folder)
    assert f"public/{NAME} is listed, but has no place in a bundle" in failures(folder)


def test_an_approved_bundle_shows_what_was_set_aside(
    built: Callable[..., Path], tmp_path: Path
) -> None:
    folder = built(lost=True)
    decision = approve(folder, tmp_path / "approved", waivers=(WAIVER,))
    assert decision.verdict == "allow"
    assert failures(tmp_path / "approved") == ""
    text = (tmp_path / "approved" / "public" / "decision.json").read_text(encoding="utf-8")
    assert "'Ulm' never appeared" in text, "the table is shared, so its values may be named"
    assert (tmp_path / "approved" / "public" / NAME).exists()


def test_the_gate_takes_it_as_a_file(built: Callable[..., Path]) -> None:
    for lost, verdict in ((False, "allow"), (True, "refuse")):
        folder = built(verdict, lost=lost) / "internal"
        files = (folder / "privacy.json", folder / "audit.json", folder / "policy.toml")
        assert decide_files(*files, training=folder / NAME).verdict == verdict
        assert decide_files(*files).verdict == "inconclusive"
