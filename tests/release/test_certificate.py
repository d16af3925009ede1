"""The certificate: every question of four frameworks, answered from the release alone."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpsynth.errors import IntegrityError
from dpsynth.privacy.statement import LedgerRecord
from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents
from dpsynth.release.documents.certificate import (
    Answer,
    Certificate,
    answers,
    certificate_text,
    mapping_table,
    read_certificate,
)
from dpsynth.release.gate import Decision, RuleOutcome
from dpsynth.release.gate.outcome import UnusedWaiver
from dpsynth.release.report.data import Edition, ReportData
from dpsynth.release.waivers import Waiver
from dpsynth.schema import Column, Schema

ROOT = Path(__file__).parents[2]
FRAMEWORKS = (
    "NIST SP 800-226",
    "WP29 Opinion 05/2014",
    "HIPAA expert determination",
    "DP deployments registry, tier 3",
)
LEDGER = LedgerRecord(
    shared=True,
    head="ab" * 32,
    entries=9,
    release="r-17",
    releases=3,
    total_epsilon=1.75,
    total_delta=1e-5,
    budget_epsilon=4.0,
)
ABOUT = About(
    title="Doctor visits",
    curator="Institute of Health",
    contact="data@institute.example",
    purpose="Teaching",
    recipients="Students of the course",
    source="A survey of 2025",
    reasons="As in the study protocol",
)


@pytest.fixture
def edition(contents: Callable[..., BundleContents]) -> Callable[..., ReportData]:
    """One edition of the example's facts; `changes` are fields of `ReportData`."""

    def build(edition: Edition = "public", **changes: Any) -> ReportData:
        made = contents()
        fields: dict[str, Any] = {
            "edition": edition,
            "about": About(),
            "created": "2026-01-02T03:04:05+00:00",
            "statement": made.statement,
            "decision": made.decision.public() if edition == "public" else made.decision,
            "schema": made.schema,
            "table": "public/synthetic.csv",
            "rows": made.rows,
            "audit": made.audit if edition == "internal" else None,
        }
        return ReportData(**{**fields, **changes})

    return build


def _find(data: ReportData, framework: str, field: str) -> Answer:
    (found,) = [a for a in answers(data) if a.framework == framework and a.field == field]
    return found


def _rule(name: str, verdict: str = "allow", **changes: Any) -> RuleOutcome:
    fields = {
        "rule": name,
        "verdict": verdict,
        "found": "none",
        "limit": {"leak": "refuse", "inconclusive": "inconclusive"},
        "reason": "measured at 0.7312",
        "private": True,
    }
    return RuleOutcome(**{**fields, **changes})


def _with_rules(data: ReportData, *rules: RuleOutcome, **changes: Any) -> ReportData:
    """The same with other rules, shown as the edition shows them."""
    whole = data.decision.model_copy(update={"rules": rules, "edition": "internal", **changes})
    shown: Decision = whole.public() if data.edition == "public" else whole
    return replace(data, decision=shown)


# -- what is asked ------------------------------------------------------------------------------


def test_every_framework_is_answered_and_every_question_once(edition: Any) -> None:
    found = answers(edition())
    assert tuple(dict.fromkeys(answer.framework for answer in found)) == FRAMEWORKS
    keys = [(answer.framework, answer.field) for answer in found]
    assert len(set(keys)) == len(keys)
    assert all(answer.question.endswith("?") and answer.answer.endswith(".") for answer in found)


def test_the_two_editions_answer_the_same_questions(edition: Any) -> None:
    public, internal = (answers(edition(name)) for name in ("public", "internal"))
    assert [a.question for a in public] == [a.question for a in internal]
    assert [a.where for a in public] == [a.where for a in internal]


@pytest.mark.parametrize("field", ["singling out", "linkability", "inference"])
def test_the_three_criteria_are_asked(edition: Any, field: str) -> None:
    assert _find(edition(), "WP29 Opinion 05/2014", field).where.startswith("public/decision.json")


# -- where it is borne out ----------------------------------------------------------------------


def _pointers(where: str) -> Iterator[tuple[str, str]]:
    """(file, field) for each thing that an answer points at; field is "" for the file itself."""
    for part in where.split("; "):
        file, _, fields = part.partition(": ")
        for field in fields.split(", "):
            yield file, field


def _exists(bundle: Path, file: str, field: str) -> bool:
    path = bundle / file
    if not path.is_file():
        return False
    return not field or _holds(json.loads(path.read_text(encoding="utf-8")), field.split("."))


def _holds(value: Any, keys: list[str]) -> bool:
    if not keys:
        return True
    if isinstance(value, list):
        return any(_holds(item, keys) for item in value)
    return isinstance(value, dict) and keys[0] in value and _holds(value[keys[0]], keys[1:])


@pytest.mark.parametrize("name", ["allowed", "refused"])
def test_every_answer_points_at_something_that_is_there(
    request: pytest.FixtureRequest, name: str
) -> None:
    bundle: Path = request.getfixturevalue(name)
    certificate = read_certificate((bundle / "public" / "certificate.json").read_text("utf-8"))
    missing = [
        (answer.field, file, field)
        for answer in certificate.answers
        for file, field in _pointers(answer.where)
        if not _exists(bundle, file, field)
    ]
    assert missing == []


def test_a_wrong_pointer_would_be_found(allowed: Path) -> None:
    assert _exists(allowed, "public/privacy.json", "events.share")
    assert not _exists(allowed, "public/privacy.json", "events.shore")
    assert not _exists(allowed, "public/private.json", "")


# -- nothing is assumed -------------------------------------------------------------------------


def test_figures_follow_from_the_statement(edition: Any, statement: Any) -> None:
    weak = edition(statement=statement(mu=1.2))
    for data in (edition(), weak):
        text = _find(data, FRAMEWORKS[0], "privacy parameters").answer
        assert f"({data.statement.epsilon_spent:.3g}, 1e-05)" in text
        assert f"mu {data.statement.mu:.4g}" in text
    assert _find(weak, FRAMEWORKS[0], "meaning of the parameters") != _find(
        edition(), FRAMEWORKS[0], "meaning of the parameters"
    )


def test_the_bound_on_a_guess_is_the_statement_s_own(edition: Any) -> None:
    data = edition()
    text = _find(data, FRAMEWORKS[0], "meaning of the parameters").answer
    share = 100 * data.statement.tpr_at_fpr["0.01"]
    assert f"{share:.1f} % at a false-alarm rate of 0.01" in text


def test_shares_of_the_mechanisms_add_up(edition: Any) -> None:
    text = _find(edition(), FRAMEWORKS[0], "algorithms").answer
    shares = [float(share) for share in re.findall(r"([\d.]+) %", text)]
    assert sum(shares) == pytest.approx(100.0, abs=1.0)
    assert text.startswith("5 charges")


def test_the_ledger_says_how_many_releases(edition: Any, statement: Any) -> None:
    booked = _find(edition(statement=statement(ledger=LEDGER)), FRAMEWORKS[3], "composition")
    assert booked.status == "answered"
    assert "3 releases" in booked.answer
    assert "epsilon 1.75 at delta 1e-05" in booked.answer
    assert "the most it grants is 4" in booked.answer
    alone = _find(edition(), FRAMEWORKS[3], "composition")
    assert alone.status == "open"
    assert "no ledger" in alone.answer


def test_a_unit_that_is_a_row_leaves_a_question_open(edition: Any, statement: Any) -> None:
    assert _find(edition(), FRAMEWORKS[3], "privacy unit in full").status == "open"
    people = edition(statement=statement(privacy_unit="person_id", max_rows_per_unit=4))
    answer = _find(people, FRAMEWORKS[3], "privacy unit in full")
    assert answer.status == "answered"
    assert "One person_id, with at most 4 rows" in answer.answer


def test_the_number_of_rows_is_private_only_where_it_was_paid_for(
    edition: Any, statement: Any
) -> None:
    assert "is not public" in _find(edition(), FRAMEWORKS[0], "neighbouring relation").answer
    made = statement()
    events = tuple(event for event in made.events if not event.label.startswith("count"))
    unpaid = edition(statement=made.model_copy(update={"events": events}))
    assert "is not public" not in _find(unpaid, FRAMEWORKS[0], "neighbouring relation").answer


def test_seeded_noise_is_said_to_be_repeatable(edition: Any, statement: Any) -> None:
    field = "randomness and arithmetic"
    assert "The key was not kept" in _find(edition(), FRAMEWORKS[0], field).answer
    seeded = edition(statement=statement(releasable=False, noise_source="seeded"))
    assert "It can be drawn again" in _find(seeded, FRAMEWORKS[0], field).answer


def test_an_input_that_was_synthetic_is_named(edition: Any, statement: Any) -> None:
    field = "origin of the input"
    assert "not known" in _find(edition(), FRAMEWORKS[3], field).answer
    twice = edition(statement=statement(input_generation=2))
    assert "2 times" in _find(twice, FRAMEWORKS[3], field).answer


def test_identifiers_are_listed(edition: Any) -> None:
    columns = (Column(name="person", kind="identifier"), Column(name="age", kind="integer"))
    text = _find(
        edition(schema=Schema(columns=columns)), FRAMEWORKS[2], "direct identifiers"
    ).answer
    assert text.startswith("'person': made afresh")


# -- what only the owner knows ------------------------------------------------------------------

STATED = {
    "curator": (FRAMEWORKS[3], "curator"),
    "contact": (FRAMEWORKS[3], "contact"),
    "purpose": (FRAMEWORKS[3], "intended use"),
    "recipients": (FRAMEWORKS[2], "anticipated recipient"),
    "reasons": (FRAMEWORKS[3], "reasons for choices"),
}


@pytest.mark.parametrize("key", STATED)
def test_the_owner_s_word_is_taken_or_the_question_is_open(edition: Any, key: str) -> None:
    silent = _find(edition(), *STATED[key])
    assert silent.status == "open"
    assert silent.answer.startswith("Open: the owner must state")
    said = _find(edition(about=ABOUT), *STATED[key])
    assert said.status == "answered"
    assert f"The owner states: {getattr(ABOUT, key)}." in said.answer


@pytest.mark.parametrize(
    ("framework", "field"),
    [
        (FRAMEWORKS[0], "data collection exposure"),
        (FRAMEWORKS[0], "side channels"),
        (FRAMEWORKS[1], "original data"),
        (FRAMEWORKS[1], "looking again"),
        (FRAMEWORKS[2], "expert"),
        (FRAMEWORKS[2], "very small risk"),
    ],
)
def test_some_questions_no_program_can_close(edition: Any, framework: str, field: str) -> None:
    data = edition(about=ABOUT, signed_by="k" * 64)
    assert _find(data, framework, field).status == "open"


def test_no_answer_claims_a_law_is_kept(edition: Any, statement: Any) -> None:
    full = edition(about=ABOUT, statement=statement(ledger=LEDGER), signed_by="k" * 64)
    text = certificate_text(full).lower()
    for word in ("complies", "compliant", "anonymous", "is lawful", "gdpr", "certified"):
        assert word not in text
    assert "claims no compliance with a law" in text


# -- evidence and judgement ---------------------------------------------------------------------

STATED_AUDIT = (FRAMEWORKS[2], "risk measured")
CRITERIA = {
    "singling out": "finding singling_out",
    "linkability": "figure linkability.risk (upper)",
    "inference": "finding attribute_inference",
    "membership": "group membership",
}


@pytest.mark.parametrize("field", CRITERIA)
def test_a_criterion_shows_the_rules_on_it_and_no_others(edition: Any, field: str) -> None:
    rules = [_rule(name) for name in CRITERIA.values()]
    answer = _find(_with_rules(edition(), *rules), FRAMEWORKS[1], field)
    assert answer.status == "answered"
    assert [name for name in CRITERIA.values() if name in answer.answer] == [CRITERIA[field]]


def test_the_public_edition_shows_verdicts_and_no_figure(edition: Any) -> None:
    rules = [_rule(name, "refuse") for name in CRITERIA.values()]
    public = certificate_text(_with_rules(edition(), *rules))
    internal = certificate_text(_with_rules(edition("internal"), *rules))
    assert "0.7312" in internal
    assert "0.7312" not in public
    assert public.lower().count("broken") >= len(rules)


def test_a_criterion_without_a_rule_is_open(edition: Any) -> None:
    answer = _find(_with_rules(edition()), FRAMEWORKS[1], "linkability")
    assert answer.status == "open"
    assert "has no rule on this" in answer.answer


def test_rules_that_the_policy_hides_are_said_to_be_hidden(edition: Any) -> None:
    data = _with_rules(edition(), _rule("finding linkability"), publish="overall")
    answer = _find(data, FRAMEWORKS[1], "linkability")
    assert answer.status == "open"
    assert "shows" not in answer.answer
    assert "ask the issuer" in answer.answer


def test_what_was_not_decided_leaves_the_criterion_open(edition: Any) -> None:
    data = _with_rules(edition(), _rule("finding linkability", "inconclusive"))
    assert _find(data, FRAMEWORKS[1], "linkability").status == "open"


@pytest.mark.parametrize(
    ("name", "found", "status", "said"),
    [
        ("internal", "none", "answered", False),
        ("internal", "inconclusive", "open", True),
        ("public", "inconclusive", "open", True),
        ("public", "none", "open", True),
    ],
)
def test_an_attack_that_may_have_seen_nothing_is_not_called_silence(
    edition: Any, name: str, found: str, status: str, said: bool
) -> None:
    lenient = _rule("finding linkability", found=found, limit={"inconclusive": "allow"})
    answer = _find(_with_rules(edition(name), lenient), FRAMEWORKS[1], "linkability")
    assert answer.status == status
    assert ("could see nothing" in answer.answer) is said


def test_one_rule_that_surely_saw_answers_the_criterion(edition: Any) -> None:
    """As in the shipped policies: singling out is tested by copies, which may not be blind."""
    lenient = _rule("finding singling_out", found="inconclusive", limit={"inconclusive": "allow"})
    for name in ("public", "internal"):
        data = _with_rules(edition(name), lenient, _rule("finding copies"))
        assert _find(data, FRAMEWORKS[1], "singling out").status == "answered"
        alone = _find(_with_rules(edition(name), lenient), FRAMEWORKS[1], "singling out")
        assert alone.status == "open"


def test_size_alone_is_no_attack(edition: Any) -> None:
    data = _with_rules(edition(), _rule("min_rows", limit=500, found=900))
    assert _find(data, FRAMEWORKS[2], "risk measured").status == "open"


def test_many_rules_that_were_kept_are_a_list_and_not_a_wall(edition: Any) -> None:
    rules = [_rule(f"finding one_{number}") for number in range(20)]
    broken = _rule("finding copies", "refuse", reason="Two rows are copies.")
    answer = _find(_with_rules(edition("internal"), *rules, broken), FRAMEWORKS[2], "risk measured")
    assert answer.answer.startswith("Broken: finding copies (Two rows are copies).\nKept: finding")
    assert answer.answer.count("Kept") == 1
    assert "0.7312" not in answer.answer


@pytest.mark.parametrize("name", ["public", "internal"])
def test_sentences_end_once(edition: Any, name: Edition) -> None:
    waiver = Waiver(rule="finding copies", name="E. Muster", reason="Known.", date="2026-11-21")
    rule = _rule("finding copies", "inconclusive", waiver=waiver, reason="It was blind.")
    asked = About(title="T", purpose="What for? Teaching!", curator="U. of U.")
    data = _with_rules(edition(name, about=asked), rule, _rule("finding linkability"))
    for answer in answers(data):
        assert not re.search(r"[.,;!?]\s*[.,;]|\.\)\.", answer.answer.replace(" .. ", ""))
    assert "set aside by E. Muster on 2026-11-21." in _find(data, *STATED_AUDIT).answer


def test_columns_keep_the_names_they_have(edition: Any) -> None:
    data = edition()
    listed = data.statement.clamping
    assert listed
    text = _find(data, FRAMEWORKS[3], "data domain").answer
    assert [item for item in listed if item not in text] == []


def test_every_step_of_the_training_is_counted(edition: Any, statement: Any) -> None:
    made = statement()
    last = made.events[-1]
    long = last.model_copy(update={"event": {**last.event, "steps": 150}})
    data = edition(statement=made.model_copy(update={"events": (*made.events[:-1], long)}))
    steps = sum(int(record.event.get("steps", 1)) for record in data.statement.events)
    assert steps > len(data.statement.events)
    text = _find(data, FRAMEWORKS[3], "mechanisms").answer
    counted = [int(times) for times in re.findall(r"(\d+) times", text)]
    assert sum(counted) == steps


def test_limits_are_written_as_a_person_would(edition: Any) -> None:
    rule = _rule("max_epsilon", limit=10.0, private=False)
    text = _find(_with_rules(edition(), rule), FRAMEWORKS[2], "threshold set beforehand").answer
    assert "at most 10, kept" in text


def test_nothing_is_said_to_be_booked_before_a_row_was_read(edition: Any, statement: Any) -> None:
    """Cells are parsed and checked before the charge: what comes after it are the questions."""
    applied = edition().decision.policy_hash
    data = edition(statement=statement(policy_hash=applied, ledger=LEDGER))
    text = certificate_text(data)
    assert "a row was read" not in text
    assert "before the first question was put to the private rows" in text


def test_waivers_are_named(edition: Any) -> None:
    waiver = Waiver(rule="finding copies", name="E. Muster", reason="Known", date="2026-11-21")
    data = _with_rules(edition(), _rule("finding copies", "inconclusive", waiver=waiver))
    text = _find(data, FRAMEWORKS[2], "exceptions").answer
    assert "'finding copies' by E. Muster on 2026-11-21, as: Known." in text
    assert Certificate.of(data).waivers == (waiver,)
    assert "none" in _find(edition(), FRAMEWORKS[2], "exceptions").answer


def test_waivers_that_set_nothing_aside_are_named_as_well(edition: Any) -> None:
    waiver = Waiver(rule="finding copies", name="E. Muster", reason="Just so", date="2026-11-21")
    unused = (UnusedWaiver(waiver=waiver, reason="the rule was kept"),)
    data = _with_rules(edition(), _rule("finding copies"), unused_waivers=unused)
    text = _find(data, FRAMEWORKS[2], "exceptions").answer
    assert "set aside: none. Waivers that set nothing aside: 'finding copies' by E. Muster" in text
    assert Certificate.of(data).waivers == ()


def test_a_signature_that_is_demanded_and_missing_is_said(edition: Any) -> None:
    plain, asked = edition(), _with_rules(edition(), signature_required=True)
    demand = "The policy demands a signature."
    assert demand not in _find(plain, FRAMEWORKS[3], "signature").answer
    assert demand in _find(asked, FRAMEWORKS[3], "signature").answer


def test_a_policy_counts_as_fixed_only_where_that_is_shown(edition: Any, statement: Any) -> None:
    applied = edition().decision.policy_hash
    cases = {
        "nothing shows": statement(policy_hash=None),
        "was another": statement(policy_hash="f" * 64, ledger=LEDGER),
        "no ledger shows it": statement(policy_hash=applied),
        "booked in the ledger": statement(policy_hash=applied, ledger=LEDGER),
    }
    statuses = {}
    for said, claim in cases.items():
        answer = _find(edition(statement=claim), FRAMEWORKS[3], "judgement")
        assert said in answer.answer
        statuses[said] = answer.status
    assert list(statuses.values()) == ["open", "open", "answered", "answered"]


def test_the_signature_is_named_or_missed(edition: Any) -> None:
    assert _find(edition(), FRAMEWORKS[3], "signature").status == "open"
    signed = _find(edition(signed_by="k" * 64), FRAMEWORKS[3], "signature")
    assert signed.status == "answered"
    assert "k" * 64 in signed.answer


def test_a_stopped_release_is_not_said_to_be_released(edition: Any) -> None:
    data = _with_rules(edition(rows=None), _rule("finding copies", "refuse"), verdict="refuse")
    assert "not released" in _find(data, FRAMEWORKS[3], "data product").answer
    assert _find(data, FRAMEWORKS[3], "publication date").answer.startswith("Not released")
    assert "Nobody may get the table" in _find(data, FRAMEWORKS[1], "context").answer
    assert _find(data, FRAMEWORKS[3], "access").answer.startswith("None:")


# -- the file -----------------------------------------------------------------------------------


def test_the_text_follows_from_the_facts_and_is_read_back(edition: Any, statement: Any) -> None:
    data = edition(about=ABOUT, statement=statement(ledger=LEDGER))
    text = certificate_text(data)
    assert text == certificate_text(replace(data, columns=()))
    read = read_certificate(text)
    assert read.to_json_text() == text
    assert read.about == ABOUT
    assert (read.claim.releases, read.claim.total_epsilon) == (3, 1.75)
    assert read.product.generation == 1


def test_an_unlimited_epsilon_is_written(edition: Any, statement: Any) -> None:
    boundless = {"epsilon_spent": math.inf, "mu": None}
    data = edition(statement=statement().model_copy(update=boundless))
    read = read_certificate(certificate_text(data))
    assert read.claim.epsilon_spent == math.inf
    assert _find(data, FRAMEWORKS[0], "privacy parameters").answer.startswith("None:")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dpsynth.certificate/1", "dpsynth.certificate/2", "newer version"),
        ("dpsynth.certificate/1", "dpsynth.certificate/0", "older version"),
        ('"verdict"', '"verdickt"', "verdi"),
        ('"open"', '"closed"', "status"),
        ('"answers": [', '"answers": ', "not JSON"),
    ],
)
def test_a_changed_file_is_named(edition: Any, old: str, new: str, said: str) -> None:
    text = certificate_text(edition())
    assert old in text
    with pytest.raises(IntegrityError, match=said) as caught:
        read_certificate(text.replace(old, new))
    assert str(caught.value).startswith("certificate.json: ")
    assert "\n" not in str(caught.value)


def test_the_mapping_page_holds_the_questions_as_they_are_asked() -> None:
    page = (ROOT / "docs" / "compliance-mapping.md").read_text(encoding="utf-8")
    between = page.split("<!-- mapping:start -->\n")[1].split("<!-- mapping:end -->")[0]
    assert between.strip() == mapping_table().strip()


def test_documents_load_without_pictures_or_training() -> None:
    """Whoever only verifies a bundle works card and certificate out again."""
    heavy = ("matplotlib", "torch", "opacus")
    code = (
        "import sys\n"
        "import dpsynth.release.documents.card, dpsynth.release.documents.certificate\n"
        "import dpsynth.release.documents.croissant\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
