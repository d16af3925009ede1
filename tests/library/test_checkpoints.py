"""A fit that is cut off goes on: no step is answered twice, nothing is charged twice."""

import json
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from dpsynth.checkpoints import CheckpointFolder, open_checkpoint
from dpsynth.errors import InputError, IntegrityError, NonFiniteTraining
from dpsynth.fitted import FittedModel
from dpsynth.generators import registry
from dpsynth.privacy.curator import Curator, GradientChannel
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.noise import seeded_noise
from dpsynth.schema import Column, Schema
from dpsynth.synthesizer import Synthesizer
from dpsynth.training.options import TrainingOptions

STEPS = 5
OPTIONS = TrainingOptions(steps=STEPS, units=8, hidden=4, rehearsals=10, looks=2)
SCHEMA = Schema(
    columns=(
        Column(name="age", kind="integer", lower=18, upper=90, nullable=False),
        Column(name="sex", kind="categorical", categories=("f", "m"), nullable=False),
        Column(name="city", kind="categorical", categories=("a", "b", "c"), nullable=False),
    )
)


class Cut(Exception):
    """Stands for the end of the process."""


def rows_of(seed: int = 0, rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "sex": rng.choice(["f", "m"], rows),
            "city": rng.choice(["a", "b", "c"], rows),
        }
    )


FRAME = rows_of()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that were answered, in order."""
    seen: list[int] = []
    ask = GradientChannel.ask

    def spy(self: GradientChannel) -> list[Tensor]:
        sums = ask(self)
        seen.append(self.taken)
        return sums

    monkeypatch.setattr(GradientChannel, "ask", spy)
    return seen


def opened(place: Path, *, dataset: str = "people") -> Ledger:
    return Ledger.open(place, dataset=dataset, epsilon=20.0, delta=1e-5)


def settings(place: Path, **changes: Any) -> Synthesizer:
    given = {"epsilon": 10.0, "schema": SCHEMA, "generator": "independent", "training": OPTIONS}
    return Synthesizer(**{"ledger": opened(place), **given, **changes})


def cut_at(step: int, stage: str = "training") -> Callable[[str, int, int], None]:
    def progress(label: str, done: int, _total: int) -> None:
        if label.startswith(stage) and done == step:
            raise Cut

    return progress


def cut_off(place: Path, folder: Path, step: int, **changes: Any) -> None:
    """A fit that ends after its checkpoint at `step`, as a killed process does."""
    with pytest.raises(Cut):
        settings(place, **changes).fit(FRAME, checkpoint=folder, progress=cut_at(step))


def lose_answer(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process ends after the answer of `step` was given, before it is kept."""
    ask = GradientChannel.ask

    def lost(self: GradientChannel) -> list[Tensor]:
        sums = ask(self)
        if self.taken == step:
            raise Cut
        return sums

    monkeypatch.setattr(GradientChannel, "ask", lost)


@pytest.mark.parametrize("name", registry.names())
def test_every_generator_goes_on(
    name: str, place: Path, folder: Path, answered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after step 2, and again with the answer of step 4 on its way: that one is lost."""
    cut_off(place, folder, 2, generator=name)
    head, spent = opened(place).head, opened(place).spent()
    with monkeypatch.context() as patched, pytest.raises(Cut):
        lose_answer(patched, 4)
        settings(place, generator=name).fit(FRAME, checkpoint=folder)
    questions: list[str] = []
    monkeypatch.setattr(Curator, "ask", lambda *_, label: questions.append(label))
    seen: list[int] = []
    model = settings(place, generator=name).fit(
        FRAME,
        checkpoint=folder,
        progress=lambda label, done, _: seen.append(done) if "training" in label else None,
    )
    assert answered == [1, 2, 3, 4, 5]
    assert seen == [5]
    assert questions == []
    assert (opened(place).head, opened(place).spent()) == (head, spent)
    record = model.statement().ledger
    assert record is not None
    assert (record.head, record.entries) == (head.hash, head.entries)
    assert model.watched is not None
    assert {reading["step"] for reading in model.watched["readings"]} == {2, 5}
    assert len(model.sample(20)) == 20
    assert not folder.exists()
    opened(place).verify()


def test_measured_pairs_are_kept_and_not_asked_again(
    place: Path, folder: Path, answered: list[int]
) -> None:
    changes: dict[str, Any] = {
        "generator": "autoregressive",
        "training": TrainingOptions(steps=STEPS, hidden=4, gradient_share=0.5),
    }
    cut_off(place, folder, 2, **changes)
    draft = FittedModel.load(folder / "draft")
    model = settings(place, **changes).fit(FRAME, checkpoint=folder)
    assert answered == [1, 2, 3, 4, 5]
    assert draft.measured is not None
    assert model.measured is not None
    for kept, found in zip(draft.measured.tables, model.measured.tables, strict=True):
        assert np.array_equal(kept, found)
    assert model.expected_errors(replicates=2, rng=np.random.default_rng(0)).columns


def test_a_fit_that_went_on_equals_one_in_a_piece(tmp_path: Path) -> None:
    """With noise that goes on where it was, cut at a checkpoint; one look, after the last step."""
    options = TrainingOptions(steps=STEPS, looks=1)
    whole = settings(tmp_path / "whole.db", training=options).fit(
        FRAME, noise=seeded_noise(1), rng=np.random.default_rng(2)
    )
    noise, folder, place = seeded_noise(1), tmp_path / "checkpoint", tmp_path / "parts.db"
    with pytest.raises(Cut):
        settings(place, training=options).fit(
            FRAME, checkpoint=folder, progress=cut_at(3), noise=noise, rng=np.random.default_rng(2)
        )
    parts = settings(place, training=options).fit(FRAME, checkpoint=folder, noise=noise)
    torch.testing.assert_close(
        dict(parts.model.state_dict()), dict(whole.model.state_dict()), rtol=0, atol=0
    )


def test_two_that_go_on_from_one_checkpoint_have_other_noise(tmp_path: Path) -> None:
    """Even with copies of ledger and checkpoint, and all else alike."""
    place, folder = tmp_path / "ledger.db", tmp_path / "checkpoint"
    cut_off(place, folder, 3)
    shutil.copytree(folder, tmp_path / "copy")
    shutil.copy(place, tmp_path / "copy.db")
    finals = [
        settings(where).fit(FRAME, checkpoint=kept, rng=np.random.default_rng(5)).model.state_dict()
        for where, kept in ((place, folder), (tmp_path / "copy.db", tmp_path / "copy"))
    ]
    assert any(not torch.equal(finals[0][key], finals[1][key]) for key in finals[0])


def test_no_checkpoint_holds_the_key_of_the_noise(
    place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[int] = []
    draw = secrets.randbits

    def noted(bits: int) -> int:
        keys.append(draw(bits))
        return keys[-1]

    monkeypatch.setattr(secrets, "randbits", noted)
    cut_off(place, folder, 2)
    monkeypatch.undo()
    (key,) = [key for key in keys if key.bit_length() > 200]
    spellings = [key.to_bytes(32, order) for order in ("little", "big")]
    spellings += [word for raw in spellings for word in (raw[:16], raw[16:])]
    spellings += [f"{key:x}".encode(), str(key).encode()]
    kept = [path.read_bytes() for path in (place, *folder.rglob("*")) if path.is_file()]
    assert len(kept) > 5
    assert not any(word in data for word in spellings for data in kept)
    facts = json.loads((folder / "training.json").read_text())
    assert set(facts) == {"step", "state", "sha256", "readings", "max_grad_norm"}
    assert set(json.loads((folder / "checkpoint.json").read_text())) == {
        "format",
        "release",
        "settings",
        "holdout_rows",
    }


def test_copies_of_a_checkpoint_get_no_more_answers(
    place: Path, folder: Path, tmp_path: Path, answered: list[int]
) -> None:
    cut_off(place, folder, 2)
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    cut_off(place, folder, 4)
    settings(place).fit(FRAME, checkpoint=older)
    assert answered == [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="notes the end of the training"):
        settings(place).fit(FRAME, checkpoint=folder)
    assert folder.is_dir()


def test_a_copy_that_is_behind_when_all_is_spent_is_refused(
    place: Path, folder: Path, tmp_path: Path, answered: list[int]
) -> None:
    cut_off(place, folder, 2)
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    cut_off(place, folder, 5)
    with pytest.raises(InputError, match=r"all 5 steps .* are spent, and this copy has seen 2"):
        settings(place).fit(FRAME, checkpoint=older)
    settings(place).fit(FRAME, checkpoint=folder)
    assert answered == [1, 2, 3, 4, 5]


def test_the_first_answer_may_be_lost(
    place: Path, folder: Path, answered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Cut):
        lose_answer(patched, 1)
        settings(place).fit(FRAME, checkpoint=folder)
    settings(place).fit(FRAME, checkpoint=folder)
    assert answered == [1, 2, 3, 4, 5]


def test_a_unit_of_several_rows_goes_on(place: Path, folder: Path, answered: list[int]) -> None:
    """Which surplus rows are dropped is drawn anew; the table is known by all its rows."""
    columns = (Column(name="id", kind="identifier"), *SCHEMA.columns)
    schema = Schema(columns=columns, unit="id", max_rows_per_unit=2)
    frame = FRAME.assign(id=np.arange(len(FRAME)) // 3)
    with pytest.raises(Cut):
        settings(place, schema=schema).fit(frame, checkpoint=folder, progress=cut_at(2))
    settings(place, schema=schema).fit(frame, checkpoint=folder)
    assert answered == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 9.0}, "epsilon is 9.0 here and was 10.0 when"),
        ({"delta": 1e-6}, "delta is 1e-06 here and was 1e-05 when"),
        ({"generator": "autoregressive"}, "generator is 'autoregressive' here and was 'indepen"),
        (
            {"training": TrainingOptions(steps=7, units=8, hidden=4, rehearsals=10, looks=2)},
            r"training\.steps is 7 here and was 5 when",
        ),
        (
            {"schema": SCHEMA.with_column(Column(name="age", kind="integer", lower=1, upper=99))},
            r"schema\.columns\.0\.lower is 1 here and was 18 when .*\(and so do schema\.columns\.0",
        ),
    ],
)
def test_other_settings_are_refused_by_name(
    changes: dict[str, Any], said: str, place: Path, folder: Path
) -> None:
    cut_off(place, folder, 2)
    with pytest.raises(InputError, match=said):
        settings(place, **changes).fit(FRAME, checkpoint=folder)
    settings(place).fit(FRAME, checkpoint=folder)


def test_other_rows_ledgers_datasets_and_noise_are_refused(
    place: Path, folder: Path, tmp_path: Path
) -> None:
    cut_off(place, folder, 2)
    with pytest.raises(InputError, match="another table than the one that the checkpoint"):
        settings(place).fit(rows_of(1), checkpoint=folder)
    with pytest.raises(InputError, match=r"other\.db: has no release '[0-9a-f]{32}'"):
        settings(tmp_path / "other.db").fit(FRAME, checkpoint=folder)
    with pytest.raises(InputError, match="dataset is 'crowd' here and was 'people'"):
        settings(place, ledger=opened(place, dataset="crowd")).fit(FRAME, checkpoint=folder)
    with pytest.raises(InputError, match="noise is 'seeded, for a test' here and was 'ChaCha20"):
        settings(place).fit(FRAME, checkpoint=folder, noise=seeded_noise(1))
    with (
        open_checkpoint(folder, purpose="run") as kept,
        pytest.raises(InputError, match="command is 'run' here and was 'fit' when"),
    ):
        settings(place).fit(FRAME, checkpoint=kept)
    settings(place).fit(FRAME.sample(frac=1.0, random_state=1), checkpoint=folder)


def test_a_ledger_in_memory_is_refused_before_anything_is_asked(folder: Path) -> None:
    for ledger in (None, Ledger.open("sqlite://", dataset="x", epsilon=10.0, delta=1e-5)):
        with pytest.raises(InputError, match="the ledger is in memory"):
            Synthesizer(epsilon=10.0, ledger=ledger).fit(FRAME, checkpoint=folder)
    assert not folder.exists()


def test_an_older_ledger_is_found_out(place: Path, folder: Path, tmp_path: Path) -> None:
    cut_off(place, folder, 2)
    shutil.copy(place, tmp_path / "older.db")
    cut_off(place, folder, 4)
    with pytest.raises(IntegrityError, match="has seen 4 steps, of which the ledger counts 2"):
        settings(tmp_path / "older.db").fit(FRAME, checkpoint=folder)


def test_a_fit_cut_off_before_training_is_lost_and_says_what_it_cost(
    place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointFolder, "withdraw", lambda self: None)  # killed: no time for it
    with pytest.raises(Cut):
        settings(place).fit(FRAME, checkpoint=folder, progress=cut_at(1, "learning"))
    spent = opened(place).spent()
    with pytest.raises(InputError, match=r"before its first checkpoint.*charge stays booked"):
        settings(place).fit(FRAME, checkpoint=folder)
    with pytest.raises(InputError, match="has no charge of it"):
        settings(place.with_name("other.db")).fit(FRAME, checkpoint=folder)
    assert opened(place).spent() == spent > 9


def test_an_error_before_training_leaves_no_folder(place: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="too few for epsilon"):
        settings(place, epsilon=0.01).fit(FRAME, checkpoint=folder)
    assert not folder.exists()
    with pytest.raises(InputError, match="lacks"):
        settings(place).fit(FRAME[["age", "sex"]], checkpoint=folder)
    assert not folder.exists()


def test_numbers_that_are_not_finite_leave_the_checkpoint_before_them(
    place: Path, folder: Path, answered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = GradientChannel.ask

    def spoilt(self: GradientChannel) -> list[Tensor]:
        return [total * (np.nan if self.taken == 3 else 1.0) for total in ask(self)]

    with monkeypatch.context() as patched:
        patched.setattr(GradientChannel, "ask", spoilt)
        with pytest.raises(NonFiniteTraining, match="step 3"):
            settings(place).fit(FRAME, checkpoint=folder)
    settings(place).fit(FRAME, checkpoint=folder)
    assert answered == [1, 2, 3, 4, 5]


def test_the_folder_is_for_its_owner_alone(place: Path, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    cut_off(place, folder, 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_processes_do_not_share_a_folder(place: Path, folder: Path) -> None:
    cut_off(place, folder, 1)
    with (
        open_checkpoint(folder, purpose="fit"),
        pytest.raises(InputError, match="another process uses it"),
    ):
        settings(place).fit(FRAME, checkpoint=folder)
    settings(place).fit(FRAME, checkpoint=folder)


def test_folders_that_are_no_checkpoint_are_left_as_they_are(place: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("x")
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    for path, said in (
        (file, "is a file"),
        (other, "holds 'thesis.txt' and no checkpoint"),
        (tmp_path / "no" / "where", "no folder"),
    ):
        with pytest.raises(InputError, match=said):
            settings(place).fit(FRAME, checkpoint=path)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]
    assert opened(place).spent() == 0


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("checkpoint.json", "{", "cut short or changed"),
        ("checkpoint.json", '{"format": "dpsynth.checkpoint/9"}', "cut short or changed"),
        ("training.json", "{", "not JSON"),
        ("state-2.safetensors", "", "missing, cut short or changed"),
        ("draft/weights.safetensors", "", "changed or cut short"),
        ("draft/checksums.json", "{", "not JSON"),
    ],
)
def test_a_harmed_checkpoint_is_refused_by_file(
    name: str, text: str, said: str, place: Path, folder: Path
) -> None:
    cut_off(place, folder, 2)
    (folder / name).write_text(text)
    with pytest.raises(IntegrityError, match=f"{Path(name).name}: {said}"):
        settings(place).fit(FRAME, checkpoint=folder)
    assert (folder / name).read_text() == text


def test_a_checkpoint_of_another_version_is_named_so(place: Path, folder: Path) -> None:
    cut_off(place, folder, 2)
    head = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(head | {"format": "dpsynth.checkpoint/9"}))
    with pytest.raises(IntegrityError, match=r"has format 'dpsynth\.checkpoint/9'"):
        settings(place).fit(FRAME, checkpoint=folder)
    head["settings"]["versions"]["torch"] = "1.0"
    (folder / "checkpoint.json").write_text(json.dumps(head))
    with pytest.raises(InputError, match=r"versions\.torch is '2.* and was '1\.0' when"):
        settings(place).fit(FRAME, checkpoint=folder)


def test_the_draft_of_another_release_is_refused(place: Path, folder: Path, tmp_path: Path) -> None:
    cut_off(place, folder, 2)
    other = settings(tmp_path / "other.db").fit(FRAME)
    shutil.rmtree(folder / "draft")
    other.save(folder / "draft")
    with pytest.raises(IntegrityError, match="its draft is of another release"):
        settings(place).fit(FRAME, checkpoint=folder)


def test_what_a_killed_clearing_left_is_no_checkpoint(place: Path, folder: Path) -> None:
    cut_off(place, folder, 2)
    (folder / "checkpoint.json").unlink()
    (folder / ".0123456789ab.training.json").write_text("{")
    settings(place).fit(FRAME, checkpoint=folder)
    assert not folder.exists()


def test_a_draft_holds_what_a_model_holds(place: Path, folder: Path) -> None:
    cut_off(place, folder, 2)
    draft = FittedModel.load(folder / "draft")
    assert draft.generator == "independent"
    assert draft.watched is None
