"""What `fit`, `run` and `gate` say of the training that was watched."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dpsynth.cli import invoke
from dpsynth.generators import independent, registry
from dpsynth.release.training import Training

Capture = pytest.CaptureFixture[str]
RULE = "max_collapse_alarms"


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator for these tests alone that makes one sex only; else the honest baseline."""

    def sample(model: Any, rows: int, *, rng: np.random.Generator) -> Any:
        codes = independent.sample(model, rows, rng=rng)
        codes[:, 1] = np.bincount(codes[:, 1]).argmax()
        return codes

    made = SimpleNamespace(
        NAME="forgetful",
        SUMMARY="forgets",
        build=independent.build,
        per_example_loss=independent.per_example_loss,
        sample=sample,
    )
    names, load = registry.names(), registry.load
    monkeypatch.setattr(registry, "names", lambda: (*names, "forgetful"))
    monkeypatch.setattr(registry, "load", lambda name: made if name == "forgetful" else load(name))


def told(
    capsys: Capture, command: str, shared: Path, out: Path, *, generator: str, code: int = 0
) -> list[str]:
    arguments = [str(shared / "people.csv"), "--schema", str(shared / "schema.toml")]
    arguments += ["--epsilon", "8", "--generator", generator, "-o", str(out)]
    assert invoke([command, *arguments]) == code
    found = capsys.readouterr()
    assert "training watched" not in found.out, "messages go to standard error"
    return found.err.splitlines()


def test_fit_says_how_the_training_went(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = told(capsys, "fit", shared, tmp_path / "model", generator="independent")
    (line,) = [one for one in lines if one.startswith("training watched: ")]
    assert line.endswith("No loss of variety was found at the finished model.")
    assert not [one for one in lines if one.startswith("warning")]


@pytest.mark.usefixtures("forgetful")
def test_fit_warns_and_goes_on(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = told(capsys, "fit", shared, tmp_path / "model", generator="forgetful")
    assert [one for one in lines if one.startswith("warning: sex: ")]
    assert (tmp_path / "model").is_dir()


@pytest.mark.usefixtures("forgetful")
def test_run_follows_the_gate(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    lines = told(capsys, "run", shared, tmp_path / "bundle", generator="forgetful", code=3)
    assert [one for one in lines if one.startswith(f"refuse: {RULE}: ")]


def test_gate_takes_the_file(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    inside = shared / "bundle" / "internal"
    assert Training.from_json_text((inside / "training.json").read_text(encoding="utf-8"))
    files = ["--statement", str(inside / "privacy.json"), "--audit", str(inside / "audit.json")]
    verdicts = []
    for more in (["--training", str(inside / "training.json")], []):
        invoke(["gate", *files, *more, "--json"])
        rules = json.loads(capsys.readouterr().out)["rules"]
        verdicts += [one["verdict"] for one in rules if one["rule"] == RULE]
    assert verdicts == ["allow", "inconclusive"]


def test_a_file_that_is_none_is_refused(shared: Path, capsys: Capture) -> None:
    inside = shared / "bundle" / "internal"
    files = ["--statement", str(inside / "privacy.json"), "--audit", str(inside / "audit.json")]
    assert invoke(["gate", *files, "--training", str(inside / "audit.json")]) != 0
    assert "training.json: format is " in capsys.readouterr().err
