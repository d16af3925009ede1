"""A thousand changes to bundles: bytes, fields, files. Each is found, and the file is named."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpsynth.release.bundle import write_bundle
from dpsynth.release.canonical import pretty_json
from dpsynth.release.signing import generate_keys, load_signer
from dpsynth.release.verify import verify_bundle

MUTATIONS = 1000
QUICK = 100


def paths(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def flip(data: bytearray, rng: np.random.Generator) -> None:
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def cut_out(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data)))]


def add(data: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(data) + 1))
    data[place:place] = bytes(rng.integers(0, 256, 3, dtype=np.uint8))


def space(data: bytearray, rng: np.random.Generator) -> None:
    data += b" "


def swap(data: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(data)))
    other = next(i for i in range(len(data)) if data[i] != data[place])
    data[place], data[other] = data[other], data[place]


def empty(data: bytearray, rng: np.random.Generator) -> None:
    data.clear()


BYTES = {change.__name__: change for change in (flip, cut, cut_out, add, space, swap, empty)}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def rename_key(data: Any, rng: np.random.Generator) -> None:
    named = [(holder, key) for holder, key in places(data) if isinstance(holder, dict)]
    holder, key = named[int(rng.integers(len(named)))]
    items = [(f"{name}_" if name == key else name, value) for name, value in holder.items()]
    holder.clear()
    holder.update(items)


def change_number(data: Any, rng: np.random.Generator) -> None:
    found = [(h, k) for h, k in places(data) if type(h[k]) in (int, float)]
    holder, key = found[int(rng.integers(len(found)))]
    holder[key] = holder[key] * 2 + 1


def delete_field(data: Any, rng: np.random.Generator) -> None:
    found = list(places(data))
    holder, key = found[int(rng.integers(len(found)))]
    del holder[key]


def swap_values(data: Any, rng: np.random.Generator) -> None:
    found = [(h, k) for h, k in places(data) if not isinstance(h[k], dict | list)]
    holder, key = found[int(rng.integers(len(found)))]
    other, name = next((h, k) for h, k in found if h[k] != holder[key])
    holder[key], other[name] = other[name], holder[key]


FIELDS = {c.__name__: c for c in (rename_key, change_number, delete_field, swap_values)}
FILES = ("remove", "rename", "exchange", "new", "link")
KINDS = (*BYTES, *FIELDS, *FILES)


def writers() -> Iterator[Callable[[Any], str]]:
    yield pretty_json
    yield lambda value: json.dumps(value, sort_keys=True, indent=1) + "\n"
    yield lambda value: json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def rewritten(text: str, change: Callable[[Any, Any], None], rng: np.random.Generator) -> str:
    """The changed value in the layout that the file has, so that the change alone can be found."""
    data = json.loads(text)
    write = next((write for write in writers() if write(json.loads(text)) == text), pretty_json)
    change(data, rng)
    return write(data)


def change_file(folder: Path, name: str, kind: str, rng: np.random.Generator) -> str | None:
    """Make one change; returns the path that must be named, None where there is none to make."""
    path = folder / name
    before = path.read_bytes()
    if kind in BYTES:
        data = bytearray(before)
        BYTES[kind](data, rng)
        path.write_bytes(bytes(data))
    elif kind in FIELDS:
        if path.suffix != ".json":
            return None
        try:
            text = rewritten(before.decode("utf-8"), FIELDS[kind], rng)
        except (ValueError, StopIteration):
            return None  # a file without a number, or without two values
        path.write_bytes(text.encode("utf-8"))
    elif kind == "new":
        path = path.with_name(f"extra-{path.name}")
        path.write_bytes(before)
        return str(path.relative_to(folder))
    else:
        named = move_file(folder, path, kind, rng)
        return str(named.relative_to(folder))
    return None if path.read_bytes() == before else name


def move_file(folder: Path, path: Path, kind: str, rng: np.random.Generator) -> Path:
    """Returns the file to be named: of two that were exchanged, the manifest if one of them is."""
    if kind == "remove":
        path.unlink()
    elif kind == "rename":
        path.rename(path.with_name(f"{path.name}.bak"))
    elif kind == "link":
        twin = path.rename(folder.parent / "outside")
        path.symlink_to(twin)
    else:
        others = [n for n in paths(folder) if (folder / n).read_bytes() != path.read_bytes()]
        twin = folder / str(rng.choice(others))
        mine, theirs = path.read_bytes(), twin.read_bytes()
        path.write_bytes(theirs)
        twin.write_bytes(mine)
        return twin if twin.name == "manifest.json" else path
    return path


def restore(folder: Path, whole: Path) -> None:
    """Make the copy equal to the original again; it is cheaper than a new copy."""
    wanted = paths(whole)
    for path in [p for p in folder.rglob("*") if p.is_symlink() or p.is_file()]:
        if path.is_symlink() or str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name in wanted:
        data = (whole / name).read_bytes()
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def originals(
    allowed: Path, refused: Path, contents: Callable[..., Any], tmp_path_factory: Any
) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("signed")
    signer = load_signer(generate_keys(place / "key.pem").private_path)
    signed = write_bundle(place / "bundle", contents(signer=signer))
    return {"signed": signed, "allowed": allowed, "refused": refused}


def mutate_all(
    originals: dict[str, Path], numbers: range, place: Path
) -> tuple[int, list[str], Counter[str]]:
    """How many changes were made, which of them were missed, and how often each file and kind."""
    made, missed, seen = 0, [], Counter[str]()
    copies = {name: shutil.copytree(whole, place / name) for name, whole in originals.items()}
    files = [(bundle, name) for bundle, whole in originals.items() for name in paths(whole)]
    for number in numbers:
        rng = np.random.default_rng(number)
        # Files in turn and kinds in turn: their counts share no factor with each other, or nearly.
        bundle, name = files[number % len(files)]
        start = number // len(files) + number
        for kind in (KINDS[(start + step) % len(KINDS)] for step in range(len(KINDS))):
            named = change_file(copies[bundle], name, kind, rng)
            if named is not None:
                break
        verification = verify_bundle(copies[bundle])
        lines = [f"{check.name}: {check.message}" for check in verification.failures]
        if not any(str(named) in line for line in lines):
            missed.append(f"{number}: {kind} {bundle} {named}: {lines}")
        made += 1
        seen.update([kind, f"{bundle} {name}"])
        restore(copies[bundle], originals[bundle])
    return made, missed, seen


def test_a_hundred_changes_are_found_and_named(originals: dict[str, Path], tmp_path: Path) -> None:
    made, missed, seen = mutate_all(originals, range(QUICK), tmp_path)
    assert (made, missed) == (QUICK, [])
    assert {name for whole in originals.values() for name in paths(whole)} <= {
        entry.split(" ")[1] for entry in seen if " " in entry
    }, "a file was left out"


@pytest.mark.slow
def test_a_thousand_changes_are_found_and_named(originals: dict[str, Path], tmp_path: Path) -> None:
    made, missed, seen = mutate_all(originals, range(MUTATIONS), tmp_path)
    assert (made, missed) == (MUTATIONS, [])
    assert set(KINDS) <= set(seen), "a kind of change was left out"
    assert min(seen[kind] for kind in KINDS) >= 20


def test_what_was_not_changed_is_not_accused(originals: dict[str, Path], tmp_path: Path) -> None:
    """Control: copying and restoring by itself is no change."""
    for name, whole in originals.items():
        copy = Path(shutil.copytree(whole, tmp_path / name))
        (copy / "public" / "card.md").write_text("changed", encoding="utf-8")
        restore(copy, whole)
        verification = verify_bundle(copy)
        assert verification.ok, verification.failures
