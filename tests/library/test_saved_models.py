"""A model folder comes back the same, or not at all."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.fitted import FittedModel

FILES = ("model.json", "weights.safetensors", "privacy.json", "checksums.json")


@pytest.fixture
def folder(model: FittedModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_loaded_model_samples_the_same_rows(model: FittedModel, folder: Path) -> None:
    loaded = FittedModel.load(folder)
    pd.testing.assert_frame_equal(loaded.sample(200, seed=9), model.sample(200, seed=9))
    assert loaded.statement() == model.statement()
    assert loaded.schema() == model.schema()
    assert loaded.rows == model.rows
    assert loaded.to_files() == model.to_files()


def test_a_model_folder_holds_exactly_these_files(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


@pytest.mark.parametrize("harm", [cut, change, empty, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found(folder: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(folder / name)
    with pytest.raises(IntegrityError):
        FittedModel.load(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        FittedModel.load(tmp_path / "nothing")


def test_save_never_overwrites(model: FittedModel, folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match="already exists"):
        model.save(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"dpsynth.model/3"', '"dpsynth.model/99"', "model format"),
        ('"names"', '"nomes"', "not a model of this version"),
        ('"type": "category"', '"type": "riddle"', "codec is damaged"),
    ],
)
def test_a_foreign_model_with_right_checksums_is_refused(
    folder: Path, old: str, new: str, message: str
) -> None:
    path = folder / "model.json"
    changed = path.read_text().replace(old, new)
    assert changed != path.read_text()
    path.write_text(changed)
    sums = json.loads((folder / "checksums.json").read_text())
    sums["model.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(IntegrityError, match=message):
        FittedModel.load(folder)
