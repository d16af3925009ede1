import pytest

from dpsynth.errors import InputError
from dpsynth.release.commands import decide_files
from dpsynth.release.policy import NOT_WAIVABLE, load_policy, parse_policy, policy_hash
from dpsynth.release.waivers import Waiver, check_dates, check_waivers, load_waivers

ONE = """
[[waiver]]
rule = "finding singling_out"
name = "Erika Muster"
reason = "Looked at by hand."
date = "2026-01-02"
"""
POLICY = """
name = "x"
waivers = "any"
max_epsilon = 1
[[finding]]
name = "singling_out"
[[figure]]
name = "copies.excess"
max = 0.1
bound = "upper"
"""


def waiver(rule="finding singling_out", **changes):
    fields = {"name": "Erika Muster", "reason": "Looked at by hand.", "date": "2026-01-02"}
    return Waiver(rule=rule, **fields | changes)


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "waivers.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_waiver_file(written):
    assert load_waivers(written(ONE)) == (waiver(),)
    assert load_waivers(written(ONE.replace('"2026-01-02"', "2026-01-02"))) == (waiver(),)
    other = ONE.replace("finding singling_out", "max_epsilon")
    assert [one.rule for one in load_waivers(written(ONE + other))] == [
        "finding singling_out",
        "max_epsilon",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE.replace("reason", "reson"), "did you mean 'reason'"),
        (ONE.replace("[[waiver]]", "[[waver]]"), "did you mean 'waiver'"),
        (ONE.replace("[[waiver]]", "[waiver]"), "valid array"),
        (ONE.replace('name = "Erika Muster"\n', ""), "waiver.0.name is missing"),
        (ONE.replace("Erika Muster", "  "), "at least 1 character"),
        (ONE.replace("Looked at by hand.", ""), "at least 1 character"),
        (ONE.replace("Looked at by hand.", "x" * 2001), "at most 2000 characters"),
        (ONE.replace("hand.", "hand\\u0007"), "control character U+0007"),
        (ONE.replace("2026-01-02", "2026-02-30"), "date '2026-02-30' is not YYYY-MM-DD"),
        (ONE.replace("2026-01-02", "20260102"), "is not YYYY-MM-DD"),
        (ONE.replace("2026-01-02", "2026-W01-1"), "is not YYYY-MM-DD"),
        (ONE.replace("2026-01-02", "\\u0662026-01-02"), "is not YYYY-MM-DD"),
        (ONE.replace('"2026-01-02"', "2026-01-02T03:04:05"), "holds a date"),
        (ONE.replace('"Erika Muster"', "7"), "waiver.0.name is 7"),
        ("", "waiver is missing"),
        ("waiver = []", "at least 1 item"),
        ("waiver = 3", "valid array"),
        ("[[waiver", "not TOML"),
    ],
)
def test_a_wrong_waiver_file_is_one_clear_line(written, text, said):
    path = written(text)
    with pytest.raises(InputError) as caught:
        load_waivers(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert "\n" not in message


def test_no_waiver_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_waivers(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("rule", ["finding singling_out", "max_epsilon"])
def test_what_the_policy_has_may_be_waived(rule):
    check_waivers((waiver(rule),), parse_policy(POLICY))
    check_waivers((waiver("figure copies.excess (upper)"), waiver(rule)), parse_policy(POLICY))


@pytest.mark.parametrize(
    ("rules", "changes", "said"),
    [
        (["finding singlng_out"], {}, "did you mean 'finding singling_out'?"),
        (["figure copies.excess"], {}, "did you mean 'figure copies.excess (upper)'?"),
        (["max_delta"], {}, "has no such rule"),
        (["max_epsilon", "max_epsilon"], {}, "is waived 2 times"),
        *(([rule], {}, "nobody can set this rule aside") for rule in sorted(NOT_WAIVABLE)),
        (["max_epsilon"], {'waivers = "any"': 'waivers = "none"'}, "lets nobody set a rule aside"),
        (["max_epsilon"], {'waivers = "any"': ""}, "lets nobody set a rule aside"),
    ],
)
def test_a_waiver_that_the_policy_cannot_take(rules, changes, said):
    text = POLICY
    for old, new in changes.items():
        text = text.replace(old, new)
    with pytest.raises(InputError) as caught:
        check_waivers([waiver(rule) for rule in rules], parse_policy(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_waivers_no_policy_complains():
    check_waivers((), parse_policy('name = "x"'))


def test_the_rules_on_which_the_others_rest():
    assert {"budget", "policy_fixed", "require_releasable", "audited_claim"} == NOT_WAIVABLE


@pytest.mark.parametrize(
    ("day", "fits"),
    [("2026-01-01", True), ("2026-01-02", True), ("2026-01-03", True), ("2026-01-04", False)],
)
def test_a_waiver_from_the_future_is_refused(day, fits):
    created = "2026-01-02T23:59:59+00:00"
    if fits:
        check_dates((waiver(date=day),), created)
        return
    with pytest.raises(InputError, match="is dated 2026-01-04, after the bundle was made"):
        check_dates((waiver(date=day),), created)


@pytest.mark.parametrize("created", ["", "yesterday", "9999-12-31T00:00:00+00:00"])
def test_a_strange_time_of_making_is_no_crash(created):
    if created[:1] == "9":
        check_dates((waiver(),), created)
        return
    with pytest.raises(InputError, match="no ISO 8601 time"):
        check_dates((waiver(),), created)


def test_decide_files_takes_shipped_names_and_waivers(contents, tmp_path, written):
    text = POLICY.replace("max_epsilon = 1", "max_epsilon = 0.5")
    policy = tmp_path / "policy.toml"
    policy.write_text(text.split("[[finding]]")[0], encoding="utf-8")
    made = contents()
    fixed = policy_hash(load_policy(policy))
    statement, audit = tmp_path / "privacy.json", tmp_path / "audit.json"
    claim = made.statement.model_copy(update={"policy_hash": fixed})
    statement.write_text(claim.to_json_text(), encoding="utf-8")
    audit.write_text(made.audit.to_json_text(), encoding="utf-8")
    aside = written(ONE.replace("finding singling_out", "max_epsilon"))
    assert decide_files(statement, audit, policy).verdict == "refuse"
    assert decide_files(statement, audit, str(policy), aside).verdict == "allow"
    assert decide_files(statement, audit, "public").policy_name == "public"
    with pytest.raises(InputError, match="did you mean 'public'"):
        decide_files(statement, audit, "publik")
    with pytest.raises(InputError, match="did you mean 'finding singling_out'"):
        decide_files(statement, audit, "internal", written(ONE.replace("singling", "sngling")))
    audit.write_text(made.audit.to_json_text().replace('"sizes": {', '"sizes": 3, "x": {', 1))
    with pytest.raises(InputError):
        decide_files(statement, audit, policy)
