"""The published JSON Schemas of the files that cross the border, made from the models.

`python -m dpsynth.release.schemas` writes them anew; a test holds the files against the models.
"""

import inspect
import json
import re
from importlib import resources
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from dpsynth.privacy.statement import PrivacyStatement
from dpsynth.release.about import About
from dpsynth.release.canonical import pretty_json
from dpsynth.release.documents.certificate import Certificate
from dpsynth.release.gate import Decision
from dpsynth.release.manifest import InternalManifest, Manifest
from dpsynth.release.policy import Policy
from dpsynth.release.training import Training
from dpsynth.release.waivers import WaiverFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Files by the name of their schema: what a person writes may leave keys out, what the package
#: writes has them all.
_WRITTEN_BY_HAND: dict[str, type[BaseModel]] = {
    "policy": Policy,
    "waivers": WaiverFile,
    "about": About,
}
_WRITTEN_BY_DPSYNTH: dict[str, type[BaseModel]] = {
    "decision": Decision,
    "privacy": PrivacyStatement,
    "certificate": Certificate,
    "training": Training,
    "manifest": Manifest,
    "internal-manifest": InternalManifest,
}
NAMES = (*_WRITTEN_BY_HAND, *_WRITTEN_BY_DPSYNTH)

#: What `decision.json` holds beside the decision, for readers who look at nothing else.
_REMARKS = {
    "shareable": {
        "description": "Whether the table may leave the house.",
        "type": "boolean",
    },
    "note": {"description": "The same in a sentence.", "type": "string"},
}


class _WithAllKeys(GenerateJsonSchema):
    """For files that the package writes: a key with a default is written as well."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one kind of file, made from its model.

    Args:
        name: out of `NAMES`.
    """
    by_hand = name in _WRITTEN_BY_HAND
    model = (_WRITTEN_BY_HAND | _WRITTEN_BY_DPSYNTH)[name]
    made = (
        model.model_json_schema()
        if by_hand
        else model.model_json_schema(mode="serialization", schema_generator=_WithAllKeys)
    )
    for part in (made, *made.get("$defs", {}).values()):
        _describe(part)
    if name == "decision":
        made["properties"] |= _REMARKS
        made["required"] += _REMARKS
    # Files without a `format` have had one form so far.
    form = made["properties"].get("format", {}).get("const", f"dpsynth.{name}/1")
    return {"$schema": DIALECT, "$id": f"urn:{form.replace('.', ':').replace('/', ':')}", **made}


def schema_text(name: str) -> str:
    """The text of the published file."""
    return pretty_json(schema(name))


def published(name: str) -> dict[str, Any]:
    """The JSON Schema as it ships with the package."""
    found: dict[str, Any] = json.loads(_file(name).read_text(encoding="utf-8"))
    return found


def _file(name: str) -> Any:
    return resources.files(__name__).joinpath(f"{name}.schema.json")


def _describe(part: dict[str, Any]) -> None:
    """Move what the docstring says of each attribute to the property it speaks of."""
    summary, _, attributes = inspect.cleandoc(part.get("description", "")).partition("Attributes:")
    if summary:
        part["description"] = _one_line(summary)
    for names, text in re.findall(
        r"^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", attributes.split("\n\n")[0], re.M | re.S
    ):
        for name in names.split(", "):
            if name in part["properties"]:
                part["properties"][name]["description"] = _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
