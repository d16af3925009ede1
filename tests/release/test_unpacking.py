"""A bundle in a zip file opens like a folder; an archive made to do harm does none."""

import os
import resource
import stat
import subprocess
import sys
import tempfile
import zipfile

import pytest

from dpsynth.errors import InputError, IntegrityError
from dpsynth.release.unpacking import Limits, opened_bundle
from dpsynth.release.verify import verify_bundle


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory, monkeypatch):
    """Where archives are unpacked to; empty again after every test."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def packed(folder, path, *, below="", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, below + str(file.relative_to(folder)))
    return path


def contents_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def archive_with(path, *entries, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data, **options)
    return path


def refuse(path, message, limits=None):
    error = IntegrityError
    with pytest.raises(error, match=message) as caught, opened_bundle(path, limits):
        raise AssertionError("was opened")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_given_back_as_it_is(allowed):
    with opened_bundle(allowed) as folder:
        assert folder == allowed


@pytest.mark.parametrize("below", ["", "a bundle/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_holds_the_same_bundle(allowed, tmp_path, below, method, scratch):
    path = packed(allowed, tmp_path / "bundle.zip", below=below, method=method)
    with opened_bundle(path) as folder:
        assert contents_of(folder) == contents_of(allowed)
        assert verify_bundle(folder).ok
        (place,) = scratch.iterdir()
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_public_folder_alone_can_be_sent(allowed, tmp_path):
    path = packed(allowed / "public", tmp_path / "public.zip", below="public/")
    with opened_bundle(path) as folder:
        assert verify_bundle(folder, public_only=True).ok


def test_a_change_inside_a_zip_is_found(allowed, tmp_path):
    with opened_bundle(packed(allowed, tmp_path / "one.zip")) as folder:
        (folder / "public" / "card.md").write_text("other")
        again = packed(folder, tmp_path / "two.zip")
    with opened_bundle(again) as folder:
        assert not verify_bundle(folder).ok


def test_a_missing_file_is_named(tmp_path):
    with (
        pytest.raises(InputError, match="no such folder or zip file"),
        opened_bundle(tmp_path / "none.zip"),
    ):
        pass


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_is_refused(tmp_path, data):
    path = tmp_path / "bundle.zip"
    path.write_bytes(data)
    refuse(path, "not a zip file that can be read")


def test_a_damaged_zip_is_refused(allowed, tmp_path):
    whole = packed(allowed, tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "damaged.zip"
    for place in range(60, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place])
        refuse(path, "not a zip file")
    for place in range(60, len(whole) // 2, len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            with opened_bundle(path) as folder:
                # Not every byte of a zip bears on what is in it: names of times, for one.
                assert contents_of(folder) == contents_of(allowed)
        except IntegrityError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/evil", "public/../../evil", "..", "public//x", "./public/x", "", "/"),
        *("public\\..\\evil", "C:/evil", "public/a:b", "public/x\0.txt", "public/./x", "//evil"),
    ],
)
def test_a_name_may_not_climb(tmp_path, name, scratch):
    path = archive_with(tmp_path / "bundle.zip", ("public/manifest.json", "{}"))
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = entry.orig_filename = name  # the constructor would clean it
        archive.writestr(entry, "evil")
    refuse(path, "plain path|colon")
    assert not list(tmp_path.glob("**/evil*")) + list(scratch.parent.glob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("public/report.html")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    path = archive_with(tmp_path / "bundle.zip", (entry, "/etc/passwd"))
    refuse(path, "a link or a device")


@pytest.mark.parametrize("other", ["public/card.md", "PUBLIC/Card.md", "public/card.md/"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_may_not_be_there_twice(tmp_path, other):
    refuse(archive_with(tmp_path / "b.zip", ("public/card.md", "1"), (other, "")), "there twice")


def test_a_file_may_not_be_a_folder_too(tmp_path):
    path = archive_with(tmp_path / "b.zip", ("public", "1"), ("public/card.md", "2"))
    with pytest.raises(InputError, match="cannot be unpacked"), opened_bundle(path):
        pass


def test_encrypted_entries_are_refused(tmp_path):
    path = archive_with(tmp_path / "bundle.zip", ("public/card.md", "text"))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    refuse(path, "is encrypted; nothing was unpacked")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing_is_refused(allowed, tmp_path, method):
    refuse(packed(allowed, tmp_path / "b.zip", method=method), "only stored and deflated")


def test_deep_and_many_entries_are_refused(tmp_path):
    deep = archive_with(tmp_path / "deep.zip", ("/".join("x" * 9), "1"))
    refuse(deep, "more than 8 folders deep")
    many = archive_with(tmp_path / "many.zip", *((f"public/{n}", "") for n in range(60)))
    refuse(many, "60 entries, at most 59", Limits(files=59))
    with opened_bundle(many, Limits(files=60)) as folder:
        assert len(list((folder / "public").iterdir())) == 60


def test_an_endless_list_of_entries_is_not_even_read(tmp_path):
    # 5 MiB of names alone; a list of millions would fill the memory before anything is checked.
    names = ((f"public/{'x' * 60_000}{n}", "") for n in range(90))
    refuse(archive_with(tmp_path / "list.zip", *names), "list of entries is too long")


def test_each_limit_stops(tmp_path):
    noise = os.urandom(300_000)
    path = archive_with(tmp_path / "b.zip", ("public/a", noise), ("public/b", noise))
    refuse(path, "would unpack to 300,000 bytes", Limits(file=299_999))
    refuse(path, "'public/b' unpacks to more than 299,999 bytes", Limits(total=599_999))
    with opened_bundle(path, Limits(file=300_000, total=600_000)) as folder:
        assert (folder / "public" / "b").read_bytes() == noise


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """1 GiB of zeros as public/report.html, in about 1 MB; read only."""
    path, block = tmp_path_factory.mktemp("bomb") / "bundle.zip", bytes(2**20)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("public/report.html", "w") as file,
    ):
        for _ in range(1024):
            file.write(block)
    assert path.stat().st_size < 2 * 2**20
    return path


def lying(bomb, path):
    """The same, with a header that says 1,000 bytes."""
    real, data = (2**30).to_bytes(4, "little"), bomb.read_bytes()
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, (1000).to_bytes(4, "little")))
    return path


LIMITED = """
import resource, sys, tempfile
tempfile.tempdir = sys.argv[2]
from dpsynth.release.unpacking import opened_bundle
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_FSIZE, (200 * 2**20,) * 2)
try:
    with opened_bundle(sys.argv[1]):
        print("opened")
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)
"""


@pytest.mark.parametrize("honest", [True, False])
def test_a_zip_bomb_does_no_harm(bomb, tmp_path, scratch, honest):
    path = bomb if honest else lying(bomb, tmp_path / "bundle.zip")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, scratch], capture_output=True, text=True, check=True
    )
    said, grown = done.stdout.splitlines()
    assert ("would unpack to 1,073,741,824 bytes" if honest else "not a zip file") in said
    assert int(grown) * 1024 < 64 * 2**20, "unpacked in blocks, never in memory"


def test_a_bomb_is_stopped_while_reading_whatever_its_header_says(bomb, monkeypatch):
    monkeypatch.setattr("dpsynth.release.unpacking._fault", lambda entry, limits: None)
    text = refuse(bomb, "zip bomb?", Limits(ratio=20))
    assert f"more than {2**20 + 20 * bomb.stat().st_size:,} bytes" in text


def test_a_full_disk_is_a_clear_line(allowed, tmp_path):
    path = packed(allowed, tmp_path / "bundle.zip")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(InputError, match="cannot be unpacked"), opened_bundle(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
