"""The card: a datasheet that a person can read, and in which no name can do anything else."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dpsynth.release.about import About
from dpsynth.release.bundle import BundleContents
from dpsynth.release.documents.card import card
from dpsynth.release.documents.markdown import code, escaped
from dpsynth.release.gate.outcome import UnusedWaiver
from dpsynth.release.report.data import ReportData
from dpsynth.release.waivers import Waiver
from dpsynth.schema import Column, Schema

SECTIONS = (
    *("Motivation", "Composition", "Collection", "Preprocessing", "What is promised"),
    *("What is not promised", "Uses", "Evaluation", "Ethical considerations"),
    *("Rules and who set some aside", "Distribution", "Maintenance"),
)
NASTY = (
    *("a|b", "<script>alert(1)</script>", "`x`", "**bold**", "_low_", "# head", "- item", "1. one"),
    *("two\nlines", "\n\n# head", "[x](http://y.example)", "![x](y)", "&lt;", "\\|", "| x | y |"),
    *("http://y.example", "<http://y.example>", "```", "~~~", "---", "===", "> quote", "$x$"),
    *("    code", "<!-- x", "\u202ex", "a\u2028b", "[x]: y", "+ a", "* a", "2) b"),
)
MARKDOWN = MarkdownIt("commonmark").enable("table")


@pytest.fixture
def public(contents: Callable[..., BundleContents]) -> ReportData:
    made = contents()
    return ReportData(
        edition="public",
        about=About(),
        created="2026-01-02T03:04:05+00:00",
        statement=made.statement,
        decision=made.decision.public(),
        schema=made.schema,
        table="public/synthetic.csv",
        rows=made.rows,
    )


def _shape(text: str) -> list[str]:
    """The kinds of blocks and marks that a reader makes of Markdown; words do not count."""
    tokens = MARKDOWN.parse(text)
    inner = [child.type for token in tokens for child in token.children or ()]
    marks = [kind for kind in inner if kind not in ("text", "text_special", "softbreak")]
    return [token.type for token in tokens] + sorted(marks)


def _words(text: str) -> str:
    """What a reader sees."""
    return " ".join(
        "".join(child.content for child in token.children or ())
        for token in MARKDOWN.parse(text)
        if token.type == "inline"
    )


def test_the_sections_are_those_of_a_datasheet_and_a_model_card(public: ReportData) -> None:
    assert tuple(re.findall(r"^## (.+)$", card(public), re.M)) == SECTIONS


def test_facts_are_stated_or_said_to_be_not_stated(public: ReportData) -> None:
    about = About(
        title="Visits",
        curator="Institute",
        contact="us",
        purpose="Teaching",
        recipients="Students",
        licence="CC-BY-4.0",
        source="A survey",
        reasons="Protocol",
    )
    said = _words(card(replace(public, about=about)))
    for value in about.model_dump().values():
        assert value in said
    assert "Not stated" not in said
    assert _words(card(public)).count("Not stated.") == 7


def test_signature_and_waivers_are_shown(public: ReportData) -> None:
    waiver = Waiver(rule="max_epsilon", name="E. Muster", reason="Known", date="2026-11-21")
    rules = tuple(
        rule.model_copy(update={"waiver": waiver, "verdict": "refuse"})
        if rule.rule == "max_epsilon"
        else rule
        for rule in public.decision.rules
    )
    decision = public.decision.model_copy(update={"rules": rules})
    said = _words(card(replace(public, decision=decision, signed_by="k" * 64)))
    assert "found broken): by E. Muster on 2026-11-21. Known" in said
    assert "k" * 64 in said
    plain = _words(card(public))
    assert "No rule shown here was set aside" in plain
    assert "Not signed" in plain


def test_a_waiver_that_set_nothing_aside_is_shown(public: ReportData) -> None:
    waiver = Waiver(rule="max_epsilon", name="E. Muster", reason="Just so", date="2026-11-21")
    unused = (UnusedWaiver(waiver=waiver, reason="the rule was kept"),)
    decision = public.decision.model_copy(update={"unused_waivers": unused})
    said = _words(card(replace(public, decision=decision)))
    assert "Waivers that set nothing aside:" in said
    assert "max_epsilon: by E. Muster on 2026-11-21. Just so" in said


def test_the_card_promises_no_more_than_it_may(public: ReportData) -> None:
    said = _words(card(public))
    assert "A row can still equal a real one" in said
    assert "A person with several rows is protected less" in said
    assert "The verdict, and what is shown of the audits, were computed on real rows" in said
    assert "both are upper bounds" in said
    assert "training: the steps in which the model learns" in said
    assert "none was taken" not in said


def test_the_policy_s_audience_is_in_the_first_line(public: ReportData) -> None:
    first = {
        audience: card(
            replace(public, decision=public.decision.model_copy(update={"audience": audience}))
        ).splitlines()[2]
        for audience in ("public", "internal", "development")
    }
    assert len(set(first.values())) == 3
    assert "published" in first["public"]


def test_a_release_that_was_stopped_shows_no_size(public: ReportData) -> None:
    stopped = public.decision.model_copy(update={"verdict": "refuse"})
    text = card(replace(public, decision=stopped, rows=None))
    assert "must not be shared" in text
    assert "It holds" not in text


@pytest.mark.parametrize("nasty", NASTY)
def test_no_name_breaks_out(public: ReportData, nasty: str) -> None:
    def build(word: str) -> ReportData:
        about = About(**{key: word.replace("\n", " ") for key in ("curator", "purpose", "source")})
        statement = public.statement.model_copy(
            update={
                "unprotected": (word,),
                "clamping": (word,),
                "noise_source": word,
                "privacy_unit": word,
            }
        )
        schema = Schema(columns=(Column(name=word, kind="categorical", categories=(word,)),))
        decision = public.decision.model_copy(update={"policy_name": word})
        return replace(public, about=about, statement=statement, schema=schema, decision=decision)

    plain, found = card(build("some words")), card(build(nasty))
    assert _shape(found) == _shape(plain)
    # In every place, cells of tables among them, a reader sees the whole name.
    seen = " ".join(nasty.replace("\u202e", "").split())
    assert _words(found).count(seen) >= _words(plain).count("some words")


def test_a_name_that_is_not_escaped_would_be_noticed(public: ReportData) -> None:
    """The control of the test above."""
    text = card(public)
    assert _shape(text.replace("| age |", "| a|b |")) == _shape(text)  # a cell too many is cut
    assert _shape(text.replace("| age |", "| **age** |")) != _shape(text)
    assert _shape(text.replace("- count", "- <b>count</b>")) != _shape(text)
    assert _shape(text.replace("- count", "- - count")) != _shape(text)


@given(st.text(max_size=40))
def test_any_text_stays_one_line_of_words(text: str) -> None:
    line = escaped(text)
    assert "\n" not in line
    kinds = _shape(f"- x {line}\n") + _shape(f"# {line}\n") + _shape(f"{line}\n")
    allowed = {"bullet_list_open", "list_item_open", "paragraph_open", "inline", "heading_open"}
    closes = {kind.replace("open", "close") for kind in allowed}
    assert set(kinds) <= allowed | closes


@pytest.mark.parametrize(
    "name", ["a|b", "**bold**", "<i>", "person_id", "100 %", "-5", "3.14", "1. x"]
)
def test_a_reader_sees_the_name_as_it_was(name: str) -> None:
    assert _words(escaped(name)) == name


@given(st.text(max_size=40))
def test_any_text_in_code_marks_stays_in_them(text: str) -> None:
    kinds = set(_shape(f"x {code(text)} y"))
    assert kinds <= {"paragraph_open", "inline", "paragraph_close", "code_inline"}


def test_code_marks_are_for_plain_names_alone() -> None:
    assert code("autoregressive") == "`autoregressive`"
    assert "code_inline" not in _shape(code("a`b"))
