import errno
import os
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dpsynth.errors import InputError
from dpsynth.table import Table
from dpsynth.writing import atomic_directory, atomic_write, write_frame

FRAME = pd.DataFrame({"a": [1, 2], "t": ["é,\n", None]})


def disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_under_its_name_only(tmp_path: Path):
    target = tmp_path / "out.csv.gz"
    with atomic_write(target) as beside:
        assert beside.parent == tmp_path
        assert beside.name.endswith(".out.csv.gz")
        beside.write_text("done", encoding="utf-8")
        assert not target.exists()
    assert left_in(tmp_path) == ["out.csv.gz"]
    assert target.read_text(encoding="utf-8") == "done"


def test_a_directory_appears_whole_under_its_name_only(tmp_path: Path):
    target = tmp_path / "bundle"
    with atomic_directory(target) as beside:
        (beside / "public").mkdir()
        (beside / "public" / "a.txt").write_text("a", encoding="utf-8")
        assert not target.exists()
    assert left_in(tmp_path) == ["bundle"]
    assert (target / "public" / "a.txt").read_text(encoding="utf-8") == "a"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InputError])
def test_other_errors_pass_and_leave_nothing(tmp_path: Path, error: type[BaseException]):
    with pytest.raises(error), atomic_write(tmp_path / "out.csv") as beside:
        beside.write_text("half", encoding="utf-8")
        raise error("stop")
    with pytest.raises(error), atomic_directory(tmp_path / "out") as beside:
        (beside / "half").write_text("half", encoding="utf-8")
        raise error("stop")
    assert left_in(tmp_path) == []


def test_a_full_disk_gets_one_line_and_leaves_nothing(tmp_path: Path):
    with (
        pytest.raises(InputError, match=r"out\.csv: cannot write: No space left on device; noth"),
        atomic_write(tmp_path / "out.csv") as beside,
    ):
        beside.write_text("half", encoding="utf-8")
        disk_full()
    with (
        pytest.raises(InputError, match="cannot write: No space left") as caught,
        atomic_directory(tmp_path / "out") as beside,
    ):
        (beside / "half").mkdir()
        disk_full()
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


def test_a_disk_that_fills_up_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(InputError, match="No space left"):
        write_frame(FRAME, tmp_path / "out.csv")
    assert left_in(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_the_real_full_device_raises_what_we_turn_into_one_line(tmp_path: Path):
    with (
        pytest.raises(InputError, match="No space left"),
        atomic_write(tmp_path / "out.csv"),
        Path("/dev/full").open("w", encoding="utf-8") as full,
    ):
        full.write("x" * 100_000)


def test_nothing_that_exists_is_overwritten_unasked(tmp_path: Path):
    kept = tmp_path / "kept.csv"
    kept.write_text("old", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    before = left_in(tmp_path)
    for name in ("kept.csv", "folder", "dangling.csv"):
        with pytest.raises(InputError, match="already exists"), atomic_write(tmp_path / name):
            pytest.fail("must refuse before any work is done")
        with pytest.raises(InputError, match="already exists"), atomic_directory(tmp_path / name):
            pytest.fail("must refuse before any work is done")
    with (
        pytest.raises(InputError, match="already exists"),
        atomic_write(tmp_path / "folder", overwrite=True),
    ):
        pytest.fail("a file never replaces a folder")
    assert left_in(tmp_path) == before
    assert kept.read_text(encoding="utf-8") == "old"


def test_a_target_made_meanwhile_is_kept(tmp_path: Path):
    for context, name in ((atomic_write, "a.csv"), (atomic_directory, "a")):
        with pytest.raises(InputError, match="already exists"), context(tmp_path / name) as beside:
            if name == "a.csv":
                beside.write_text("mine", encoding="utf-8")
            (tmp_path / name).write_text("theirs", encoding="utf-8")
        assert (tmp_path / name).read_text(encoding="utf-8") == "theirs"
    assert left_in(tmp_path) == ["a", "a.csv"]


def test_overwrite_replaces_a_file_only_at_the_end(tmp_path: Path):
    target = tmp_path / "out.csv"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="stop"), atomic_write(target, overwrite=True) as beside:
        beside.write_text("half", encoding="utf-8")
        raise ValueError("stop")
    assert target.read_text(encoding="utf-8") == "old"
    with atomic_write(target, overwrite=True) as beside:
        beside.write_text("new", encoding="utf-8")
    assert target.read_text(encoding="utf-8") == "new"


def test_a_missing_parent_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"'.*none' does not exist; make it first"):
        write_frame(FRAME, tmp_path / "none" / "out.csv")
    with (
        pytest.raises(InputError, match="does not exist"),
        atomic_directory(tmp_path / "none" / "out"),
    ):
        pytest.fail("must refuse before any work is done")


def test_frames_are_written_and_read_back(tmp_path: Path):
    for name in ("out.csv", "out.csv.gz"):
        write_frame(FRAME, tmp_path / name)
        found = Table.read(tmp_path / name)
        assert found.column("t").to_pylist() == ["é,\n", ""]
        assert found.column("a").to_pylist() == ["1", "2"]
    write_frame(FRAME, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"a": [1, 2], "t": ["é,\n", None]}
    with pytest.raises(InputError, match="already exists"):
        write_frame(FRAME, tmp_path / "out.csv")
    write_frame(FRAME.head(1), tmp_path / "out.csv", overwrite=True)
    assert Table.read(tmp_path / "out.csv").num_rows == 1


def test_unknown_suffixes_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"suffix '\.xlsx'; allowed: \.csv"):
        write_frame(FRAME, tmp_path / "out.xlsx")
    assert left_in(tmp_path) == []
