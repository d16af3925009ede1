"""The published JSON Schemas are those of the models, and real files keep to them."""

import json
import tomllib
from functools import cache

import jsonschema
import pytest

from dpsynth.release.policy import policy_text_of, shipped_policies
from dpsynth.release.schemas import NAMES, published, schema, schema_text
from dpsynth.release.schemas.__main__ import main

FILES = [
    ("public", "decision"),
    ("internal", "decision"),
    ("public", "privacy"),
    ("internal", "privacy"),
    ("public", "manifest"),
    ("public", "certificate"),
    ("internal", "training"),
]


@cache
def validator(name):
    found = published(name)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_that_of_the_model(name):
    assert published(name) == schema(name), "run `python -m dpsynth.release.schemas`"
    assert published(name)["properties"]


def test_the_command_writes_what_ships(tmp_path):
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.schema.json" for name in NAMES}
    for name in NAMES:
        text = (tmp_path / f"{name}.schema.json").read_text(encoding="utf-8")
        assert text == schema_text(name)


@pytest.mark.parametrize("name", shipped_policies())
def test_the_shipped_policies_are_valid(name):
    validator("policy").validate(tomllib.loads(policy_text_of(name)[0]))


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('name = "x"\nmax_epsilon = 3', True),
        ('name = "x"\nmax_epsilon = {limit = 3, reason = "y"}', True),
        ('name = "x"\nallowed_generators = ["gan"]', True),
        ('name = "x"\nmax_epsilon = "3"', False),
        ('name = "x"\nmax_epsilo = 3', False),
        ('name = "x"\nmax_epsilon = {reason = "y"}', False),
        ('name = "x"\npublish = "all"', False),
        ('name = "x"\nformat = "dpsynth.policy/1"', False),
        ('name = "x"\n[[figure]]\nname = "a.b"\nmax = 1\nconfidence = 1.0', False),
        ('name = "x"\n[[finding]]\nleak = "refuse"', False),
        ("max_epsilon = 3", False),
    ],
)
def test_the_schema_tells_a_policy_from_a_broken_one(text, fits):
    assert validator("policy").is_valid(tomllib.loads(text)) == fits


@pytest.mark.parametrize(
    ("name", "text", "fits"),
    [
        ("about", 'title = "x"', True),
        ("about", "title = 3", False),
        ("about", 'tile = "x"', False),
        ("about", f'purpose = "{"x" * 2001}"', False),
        ("waivers", '[[waiver]]\nrule = "a"\nname = "b"\nreason = "c"\ndate = "2026-01-02"', True),
        ("waivers", '[[waiver]]\nrule = "a"\nname = "b"\nreason = "c"\ndate = "today"', False),
        ("waivers", '[[waiver]]\nrule = "a"\nname = "b"\nreason = "c"', False),
        ("waivers", "waiver = []", False),
    ],
)
def test_other_files_written_by_hand(name, text, fits):
    assert validator(name).is_valid(tomllib.loads(text)) == fits


@pytest.mark.parametrize(("half", "name"), FILES)
def test_the_files_of_a_bundle_are_valid(half, name, allowed, refused):
    for folder in (allowed, refused):
        data = json.loads((folder / half / f"{name}.json").read_text(encoding="utf-8"))
        validator(name).validate(data)
        for key in data:
            if key not in ("shareable", "note"):
                cut = {other: value for other, value in data.items() if other != key}
                assert not validator(name).is_valid(cut), f"{name} without {key} passed"
        assert not validator(name).is_valid({**data, "left_over": 1})


def test_the_inner_manifest_is_valid(allowed):
    data = json.loads((allowed / "internal" / "manifest.json").read_text(encoding="utf-8"))
    validator("internal-manifest").validate(data)


def test_every_attribute_that_a_docstring_explains_is_explained_in_the_schema():
    for name in ("max_epsilon", "max_delta", "waivers", "figure"):
        assert published("policy")["properties"][name]["description"]
    assert "Attributes:" not in json.dumps([published(name) for name in NAMES])
