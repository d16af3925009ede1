"""audits/result.schema.json describes what an audit writes, all of it and nothing else."""

import copy
import dataclasses
import json
from importlib import resources
from typing import get_args

import jsonschema
import numpy as np
import pandas as pd
import pytest

import audits
from audits.result import FORMAT, Family, Verdict


@pytest.fixture(scope="module")
def schema():
    return json.loads(resources.files(audits).joinpath("result.schema.json").read_text())


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def full(mixed_table):
    """Every part of a result: a claim, a reference, black-box attacks, small groups, a note."""
    tables = [mixed_table(700, 1), mixed_table(700, 2), mixed_table(200, 3)]
    result = audits.run(
        *(table.assign(same="x") for table in tables),
        reference=mixed_table(200, 4).assign(same="x"),
        claim=audits.Claim(epsilon=1.0, delta=1e-5),
        refit=lambda rows, seed: rows.sample(len(rows), replace=True, random_state=seed),
        shadows=audits.ShadowPlan(models=8),
    )
    return json.loads(result.to_json_text())


def test_a_full_result_is_valid(validator, full):
    # The result must have the parts whose description is being tested.
    found = {finding["name"]: finding for finding in full["findings"]}
    assert full["notes"] and full["claim"] and full["options"]["refit"]
    assert {"claim", "lira", "singling_out", "diversity", "utility"} <= found.keys()
    assert found["vulnerable_records"]["curves"]["groups"]
    assert found["diversity"]["curves"]["subgroups"]
    validator.validate(full)


def odd_tables():
    """Tables at the edges, by what is odd about them."""
    rng = np.random.default_rng(60)
    number = pd.DataFrame({"x": rng.normal(size=150)})
    label = pd.DataFrame({"kind": rng.choice(list("ab"), 150)})
    gaps = number.assign(gone=np.nan, same=1)
    return {
        "one number": (number[:60], number[60:110], number[110:]),
        "one label": (label[:60], label[60:120], label[120:]),
        "too few rows": (number[:5], number[5:8], number[8:10]),
        "nothing in two columns": (gaps[:60], gaps[60:120], gaps[90:]),
        "a copy": (number[:70], number[70:140], number[:70]),
        "not one source": (number[:70], number[70:140] + 9.0, number[:70]),
        "values never seen": (label[:60], label[60:120], label[120:].assign(kind="c")),
    }


@pytest.mark.parametrize("odd", odd_tables())
def test_results_of_odd_tables_are_valid(validator, odd):
    train, holdout, synthetic = odd_tables()[odd]
    result = audits.run(train, holdout, synthetic, remove_overlap=odd == "nothing in two columns")
    validator.validate(json.loads(result.to_json_text()))


def test_every_verdict_has_been_seen_by_these_tests(full):
    seen = {finding["verdict"] for finding in full["findings"]}
    train, holdout, synthetic = odd_tables()["a copy"]
    result = audits.run(train, holdout, synthetic, checks=["copies"], attacks=["closest_record"])
    seen |= {finding.verdict for finding in result.findings}
    assert seen == set(get_args(Verdict))


def change(path, value):
    """A result with one entry set; a value of `...` takes it away."""

    def apply(result):
        at = result
        for key in path[:-1]:
            at = at[key]
        if value is ...:
            del at[path[-1]]
        else:
            at[path[-1]] = value

    return apply


MEMBERSHIP = ("findings", 0)
MEASURED = ("findings", -1)
BROKEN = {
    "another format": change(("format",), "audits.result/1"),
    "an unknown field": change(("epsilon",), 1.0),
    "no seed": change(("seed",), ...),
    "a negative seed": change(("seed",), -1),
    "a seed that is no whole number": change(("seed",), 0.5),
    "a measured audit": change(("verdict",), "measured"),
    "a verdict in other words": change((*MEMBERSHIP, "verdict"), "safe"),
    "an unknown family": change((*MEMBERSHIP, "family"), "privacy"),
    "certain intervals": change(("confidence",), 1.0),
    "no row count of train": change(("sizes", "train"), ...),
    "rows of a table that is none": change(("sizes", "test"), 10),
    "a claim without delta": change(("claim", "delta"), ...),
    "a claim of nothing": change(("claim", "epsilon"), 0.0),
    "an empty note": change(("notes",), [""]),
    "an option that is none": change(("options", "fast"), True),
    "a kind that is none": change(("options", "kinds", "height"), "text"),
    "an attack listed twice": change(("options", "attacks"), ["lira", "lira"]),
    "no version of numpy": change(("versions", "numpy"), ...),
    "time that runs back": change(("seconds", "lira"), -0.1),
    "a finding without a reason": change((*MEMBERSHIP, "reason"), ""),
    "a finding without a blind spot": change((*MEMBERSHIP, "blind_spot"), ...),
    "an attacker who holds nothing": change((*MEMBERSHIP, "knowledge"), ""),
    "a p-value above 1": change((*MEMBERSHIP, "p_value"), 1.5),
    "a test without a p-value": change((*MEMBERSHIP, "p_value"), None),
    "a test in no group": change((*MEMBERSHIP, "group"), ""),
    "a p-value of what has no test": change((*MEASURED, "p_value"), 0.5),
    "a name with a space": change((*MEMBERSHIP, "name"), "closest record"),
    "an attack without its ceiling": change((*MEMBERSHIP, "figures", "epsilon_ceiling"), ...),
    "a figure without an interval": change((*MEMBERSHIP, "figures", "auroc", "lower"), ...),
    "a figure that is a bare number": change((*MEMBERSHIP, "figures", "auroc"), 0.5),
    "a figure that is missing": change((*MEMBERSHIP, "figures", "auroc", "value"), None),
    "a figure named in capitals": change(
        (*MEMBERSHIP, "figures", "AUC"), {"value": 1, "lower": 1, "upper": 1, "confidence": 0.9}
    ),
    "a curve that is none": change((*MEMBERSHIP, "curves", "secrets"), [1, 2]),
    "a rate above 1": change((*MEMBERSHIP, "curves", "roc_tpr"), [0.0, 1.5]),
    "no curve": change((*MEMBERSHIP, "curves", "roc_tpr"), ...),
    "rows used in halves": change((*MEMBERSHIP, "rows_used", "train"), 0.5),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_result_is_not_valid(validator, full, what):
    broken = copy.deepcopy(full)
    BROKEN[what](broken)
    assert not validator.is_valid(broken)


def place(result, name):
    """Number of the finding of this name."""
    return [finding["name"] for finding in result["findings"]].index(name)


def test_broken_parts_of_named_findings_are_not_valid(validator, full):
    risky = place(full, "vulnerable_records")
    guessing = place(full, "attribute_inference")
    copied = place(full, "copies")
    for path, value in (
        (("findings", risky, "curves", "records", 0, "name"), "Ada"),
        (("findings", risky, "curves", "records", 0, "row"), -1),
        (("findings", risky, "curves", "records", 0, "attacks", "lira"), {"score": 3.0}),
        (("findings", risky, "curves", "groups", 0, "auroc"), ...),
        (("findings", guessing, "figures", "control_rate"), ...),
        (("findings", copied, "figures", "detectable_copied_share"), ...),
    ):
        broken = copy.deepcopy(full)
        change(path, value)(broken)
        assert not validator.is_valid(broken), path


def test_the_schema_names_the_fields_that_the_code_has(schema):
    parts = schema["$defs"]
    for described, made in (
        (schema, {*fields(audits.AuditResult), "verdict"}),
        (parts["finding"], fields(audits.Finding)),
        (parts["estimate"], fields(audits.Estimate)),
        (parts["claim"], fields(audits.Claim)),
    ):
        assert set(described["properties"]) == set(described["required"]) == made
    finding = parts["finding"]["properties"]
    assert schema["properties"]["format"]["const"] == FORMAT
    assert set(finding["family"]["enum"]) == set(get_args(Family))
    assert set(finding["verdict"]["enum"]) == set(get_args(Verdict))


def test_every_object_is_closed_and_every_top_field_described(schema):
    for node in objects(schema):
        assert "additionalProperties" in node, node
        assert node["additionalProperties"] is not True
    for name, described in schema["properties"].items():
        target = schema["$defs"].get(described.get("$ref", "").rpartition("/")[2], {})
        assert described.get("description") or target.get("description"), name


def fields(kind):
    """Names of a dataclass's fields."""
    return {field.name for field in dataclasses.fields(kind)}


def objects(node):
    """All parts of the schema that describe an object."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for value in node.values():
            yield from objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from objects(value)
