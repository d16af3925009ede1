"""One JSON text per value, so that equal content has equal bytes and one hash.

Every JSON file of a bundle is written by `pretty_json` and every hash of a value is taken over
`canonical_json`; neither can hold NaN or infinity, which are not JSON.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from dpsynth.errors import IntegrityError

#: Largest JSON file that is read into memory, in bytes. A bundle from a stranger may hold anything.
MAX_JSON_BYTES = 64 * 2**20


def canonical_json(value: Any) -> str:
    """The shortest JSON text of a value: keys sorted, no white space, ASCII, finite numbers only.

    Raises:
        ValueError: the value holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty_json(value: Any) -> str:
    """The same value for a person to read: two spaces, keys in the given order, one end of line.

    Raises:
        ValueError: the value holds NaN or infinity.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of the UTF-8 bytes of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks so that its size does not matter."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """The UTF-8 text of a file that should be small.

    Raises:
        IntegrityError: missing, not UTF-8, or larger than `MAX_JSON_BYTES`.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise IntegrityError(
                f"{path.name}: {size} bytes, at most {MAX_JSON_BYTES} are read; "
                "this is not a file that dpsynth wrote"
            )
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise IntegrityError(
            f"{path.name}: cannot be read ({error.strerror}); ask for the whole bundle again"
        ) from error
    except UnicodeDecodeError as error:
        raise IntegrityError(
            f"{path.name}: byte {error.start} is not UTF-8; ask for the file again"
        ) from error


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        IntegrityError: as `read_text`, or the text is not JSON, holds NaN or infinity, or gives one
            key twice, so that two readers could read two different values.
    """
    return parse_json(read_text(path), name=path.name)


def parse_json(text: str, *, name: str) -> Any:
    """The value in a JSON text; `name` is its file's, for messages.

    Raises:
        IntegrityError: as `read_json`.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{name}: not JSON ({error}); it was cut short or changed, ask for it again"
        ) from error


def check_format(data: Any, *, known: str, name: str) -> None:
    """Hold the `format` of a JSON value against the one that this version reads.

    Args:
        data: what `read_json` gave.
        known: such as "dpsynth.bundle/2".
        name: of the file, for messages.

    Raises:
        IntegrityError: no object, no format, an older or a newer one; says which.
    """
    found = data.get("format") if isinstance(data, dict) else None
    if found == known:
        return
    if not isinstance(found, str):
        raise IntegrityError(
            f"{name}: has no 'format', which should be {known!r}; it was cut short or changed, "
            "ask for it again"
        )
    title, _, number = known.rpartition("/")
    shown = found if len(found) <= 60 else f"{found[:57]}..."
    mend = f"this version reads {known!r}; it was changed, or is another kind of file"
    version = found.removeprefix(f"{title}/")
    if version != found and version.isdecimal() and len(version) < 10:
        age, way = ("newer", "install it") if int(version) > int(number) else ("older", "use that")
        mend = (
            f"made by {'a' if age == 'newer' else 'an'} {age} version of dpsynth; {way} to verify, "
            f"this version reads {known!r}"
        )
    raise IntegrityError(f"{name}: format is {shown!r}: {mend}")


def _no_constant(word: str) -> Any:
    raise ValueError(f"it holds {word}, which JSON does not know")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:60]!r} is there twice")
        found[key] = value
    return found
