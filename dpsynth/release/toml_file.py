"""TOML files that a person writes by hand, read into a frozen model: one clear line on a fault."""

import difflib
import tomllib
import unicodedata
from collections.abc import Collection, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from dpsynth.errors import InputError
from dpsynth.release.canonical import canonical_json

#: Largest such file that is read, in bytes: a person writes a few hundred lines.
MAX_BYTES = 2**20
M = TypeVar("M", bound=BaseModel)


def read_toml_text(path: str | Path, *, what: str) -> str:
    """The text of a TOML file; `what` names the kind of file in messages.

    Raises:
        InputError: missing or unreadable, larger than `MAX_BYTES`, or not UTF-8.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} {path}: {error.strerror}; give an existing TOML file") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{what} {path}: larger than {MAX_BYTES} bytes; give a TOML file")
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path}: not UTF-8 text; save it as UTF-8") from error


def parse_toml(text: str, *, source: str) -> dict[str, Any]:
    """The values of TOML text; `source` names it in messages.

    Raises:
        InputError: not TOML, with the line.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{source}: not TOML that can be read: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not TOML: {error}; mend that line") from error


def build(data: dict[str, Any], model: type[M], *, source: str) -> M:
    """The model that the values of a TOML file describe.

    Raises:
        InputError: unknown key (with the nearest one), missing key, wrong type, or what the model
            itself turns away.
    """
    try:
        text = canonical_json(data)
    except (TypeError, ValueError) as error:
        fault = _not_json(data)
        raise InputError(f"{source}: {fault}") from error
    try:
        # Validated as JSON because TOML has arrays where the models have tuples.
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{source}: {_first_fault(error, model)}") from error


def nearest(name: str, known: Collection[str]) -> str:
    """ "did you mean 'x'?", or the list of what is known; for the end of a message."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"


def check_printable(name: str, text: str) -> None:
    """Turn away control characters, which a report cannot show; line breaks and tabs are fine.

    Raises:
        ValueError: with the character.
    """
    for sign in text:
        if unicodedata.category(sign) == "Cc" and sign not in "\n\t":
            raise ValueError(
                f"{name} holds the control character U+{ord(sign):04X}, which cannot be shown; "
                "take it out"
            )


def _not_json(data: Any) -> str:
    for value in _leaves(data):
        if isinstance(value, date | datetime):
            return f"holds a date ({value}), which none of its keys takes; put texts into quotes"
    return "holds a NaN, an infinity or a time; give finite numbers, texts, true or false"


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _leaves(value)
    else:
        yield data


def _first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, in one line, with the nearest known key."""
    faults = error.errors(include_url=False)
    # A misspelt key is named before the key that is missing for it.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    where = [str(part) for part in fault["loc"]]
    place = ".".join(where) or "the file"
    if fault["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {nearest(where[-1], set(_fields_at(where[:-1], model)))}"
    if fault["type"] == "missing":
        return f"{place} is missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return message
    shown = repr(fault["input"])
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return f"{place.removesuffix('.limit')} is {shown}: {message[0].lower()}{message[1:]}"


def _fields_at(where: list[str], model: type[BaseModel]) -> Iterator[str]:
    """Field names of the model that a path of keys and list numbers leads to."""
    for part in where:
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    yield from model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
