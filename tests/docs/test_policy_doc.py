"""What docs/policy.md says is so: its examples can be read, its keys and tables are complete."""

import re
from pathlib import Path

import pytest

from dpsynth.release.about import About, load_about
from dpsynth.release.gate import EXIT_CODES
from dpsynth.release.installed import installed_names
from dpsynth.release.policy import (
    NOT_WAIVABLE,
    FigureLimit,
    FindingRule,
    GroupRule,
    Limit,
    Policy,
    check_rule_names,
    parse_policy,
    policy_text_of,
    shipped_policies,
)
from dpsynth.release.schemas import NAMES
from dpsynth.release.waivers import check_waivers, load_waivers

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```toml\n(.*?)^```$", PAGE, re.S | re.M))
COLUMNS = ("public", "internal", "development")


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def keys_of(text: str) -> set[str]:
    """Names in the first cell of each row of a table."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.M)
    return {name for cell in cells for name in re.findall(r"`(?:\[\[)?(\w+)(?:\]\])?`", cell)}


def test_every_block_of_toml_is_an_example() -> None:
    assert set(EXAMPLES) == {"policy", "waivers", "about"}
    assert PAGE.count("```toml") == len(EXAMPLES)


def test_the_examples_can_be_read(tmp_path: Path) -> None:
    policy = parse_policy(EXAMPLES["policy"])
    check_rule_names(policy, installed_names())
    for name in ("waivers", "about"):
        (tmp_path / f"{name}.toml").write_text(EXAMPLES[name], encoding="utf-8")
    waivers = load_waivers(tmp_path / "waivers.toml")
    check_waivers(waivers, policy)
    assert waivers
    assert load_about(tmp_path / "about.toml").purpose


def test_the_words_before_the_example_fit_it() -> None:
    policy = parse_policy(EXAMPLES["policy"])
    found = (policy.max_epsilon, policy.max_total_epsilon, policy.max_releases)
    assert [limit.limit for limit in found if limit is not None] == [2, 6, 5]


def test_every_key_is_explained() -> None:
    whole, _, rest = section("Every key").partition("In `[[finding]]`")
    rules, _, figures = rest.partition("In `[[figure]]`:")
    assert keys_of(whole) == set(Policy.model_fields)
    assert keys_of(rules) == set(FindingRule.model_fields) == set(GroupRule.model_fields)
    assert keys_of(figures) == set(FigureLimit.model_fields)
    said = set(re.findall(r"`(\w+)`", section("What the owner says").split("```toml")[0]))
    assert set(About.model_fields) <= said


def test_what_is_left_out_counts_as_the_page_says() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \| .* \| `\"?(\w+)\"?` \|$", section("Every key"), re.M))
    policy = parse_policy('name = "x"')
    for name in ("audience", "publish", "waivers"):
        assert said[name] == getattr(policy, name)
    for name in ("require_releasable", "require_signature", "require_controls"):
        assert said[name] == str(getattr(policy, name).limit).lower()
    assert FigureLimit(name="a.b", max=1.0).confidence == 0.95
    assert "| 0.95 |" in section("Every key")


def test_verdicts_and_rules_that_cannot_be_waived() -> None:
    codes = dict(re.findall(r"^\| (\w+) \| .* \| (\d) \|$", PAGE, re.M))
    assert codes == {verdict: str(code) for verdict, code in EXIT_CODES.items()}
    (line,) = [one for one in section("Waivers").splitlines() if one.startswith("- Nobody")]
    assert set(re.findall(r"`(\w+)`", line)) == NOT_WAIVABLE


def test_all_schemas_are_named() -> None:
    said = PAGE.split("`dpsynth/release/schemas/`:")[1].split("from the models")[0]
    assert set(re.findall(r"`([a-z-]+)`", said)) == set(NAMES)


def shown(name: str, policy: Policy) -> str:
    """A field of a policy as the table shows it."""
    found = getattr(policy, name)
    value = found.limit if isinstance(found, Limit) else found
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"


def strict(rules: tuple[FindingRule, ...] | tuple[GroupRule, ...]) -> str:
    return ", ".join(sorted(rule.name for rule in rules if rule.inconclusive != "allow")) or "-"


def expected(policy: Policy) -> dict[str, str]:
    fields = [name for name in Policy.model_fields if name.startswith(("max_", "require_"))]
    return {
        **{
            f"`{name}`": shown(name, policy)
            for name in ("publish", "waivers", "min_rows", "min_real_share")
        },
        **{f"`{name}`": shown(name, policy) for name in fields},
        "findings that must be there": str(len(policy.finding)),
        "of these, may not be blind": strict(policy.finding),
        "groups that may not be blind": strict(policy.group),
        "figures limited": str(len(policy.figure)),
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_the_table_of_shipped_policies_is_what_ships(name: str) -> None:
    assert set(COLUMNS) == set(shipped_policies())
    policy = parse_policy(policy_text_of(name)[0])
    rows = PAGE.split("<!-- shipped -->\n")[1].split("\n\n")[0].splitlines()
    head = [cell.strip() for cell in rows[0].strip("|").split("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    found = {row[0]: row[head.index(name)] for row in cells}
    assert found == expected(policy)
    assert policy.allowed_generators is None, "the table has no row for it"
