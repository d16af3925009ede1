import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from audits.result import AuditResult
from dpsynth.errors import InputError
from dpsynth.privacy.statement import LedgerRecord
from dpsynth.release.about import About
from dpsynth.release.documents.card import card
from dpsynth.release.gate.outcome import UnusedWaiver
from dpsynth.release.report.columns import column_shares
from dpsynth.release.report.page import ReportData, render
from dpsynth.release.waivers import Waiver
from dpsynth.schema import Column, Schema

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Text, attributes and nesting of a page; raises where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.words, self.ids, self.tags, self.open = [], [], [], []
        self.svgs, self.captions, self.links, self.sections = [], 0, [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [v for k, v in attrs if k in ("href", "src", "xlink:href")]
        if tag == "svg":
            self.svgs.append(values)
        if tag == "section":
            self.sections.append(values["aria-labelledby"])
        self.captions += tag == "figcaption"
        self.words.append(values.get("aria-label", ""))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [v for k, v in attrs if k in ("href", "src", "xlink:href")]
        if "id" in values:
            self.ids.append(values["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("verdict", ["allowed", "refused"])
@pytest.mark.parametrize("edition", ["public", "internal"])
def test_the_page_is_whole_and_every_picture_has_words(request, verdict, edition):
    html = read(request.getfixturevalue(verdict), f"{edition}/report.html")
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert "http" not in re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", html)
    assert len(page.svgs) == page.tags.count("figure") == page.captions
    for svg in page.svgs:
        assert svg["role"] == "img"
        assert len(svg["aria-label"]) > 20
        assert "viewbox" in svg
        assert "width" not in svg
    assert "#01010" not in html, "a stand-in colour was left"
    assert page.tags.count("h1") == 1


def pictures(folder, edition):
    return len(Page(read(folder, f"{edition}/report.html")).svgs)


def test_each_edition_draws_what_it_may(allowed, refused):
    columns, claim, training = 5, 2, 2
    # Two of membership, and one each of disclosure, distances, coverage and pairs.
    evidence = 6
    assert pictures(allowed, "public") == columns + claim + training
    assert pictures(refused, "public") == claim
    assert pictures(allowed, "internal") == columns + claim + training + evidence
    assert pictures(refused, "internal") == columns + claim + training + evidence


def test_the_order_is_the_readers(allowed):
    html = read(allowed, "internal/report.html")
    order = ["verdict", "person", "budget", "utility"]
    order += ["membership", "disclosure", "neighbours", "diversity"]
    places = [html.index(f'id="{name}"') for name in [*order, "rules", "unprotected", "reproduce"]]
    assert all(before < after for before, after in pairwise(places))


def test_the_verdict_is_said_in_plain_words(allowed, refused):
    assert (
        "This table may be shared inside the organisation and with named recipients."
        in Page(read(allowed, "public/report.html")).text
    )
    text = Page(read(refused, "public/report.html")).text
    assert "This table must not be shared. 1 of 10 rules" in text
    assert (
        "A bug detector, never a verdict on privacy"
        in Page(read(allowed, "internal/report.html")).text
    )


def test_names_cannot_break_out(allowed):
    for name in ("public/report.html", "internal/report.html", "public/card.md"):
        text = read(allowed, name)
        assert "<i>" not in text, name
    assert "A|B <i>$x$</i>" in Page(read(allowed, "public/report.html")).text


def private_numbers(folder):
    """Texts of all figures measured on real rows, those that are long enough to tell."""
    audit = AuditResult.from_json_text(read(folder, "internal/audit.json"))
    numbers = {float(audit.sizes["train"]), float(audit.sizes["holdout"])}
    for estimate in audit.figures().values():
        numbers |= {estimate.value, estimate.lower, estimate.upper}
    texts = {f"{n:.{digits}g}" for n in numbers for digits in (3, 4, 5, 6, 10)}
    texts |= {f"{100 * n:.{digits}f}" for n in numbers for digits in (1, 2, 3)}
    return {text for text in texts if len(text.strip("-0.").replace(".", "")) >= 3}


def numbers_in(text):
    return set(re.findall(r"-?\d+(?:\.\d+)?", text))


def public_text(folder):
    names = ("decision.json", "manifest.json", "schema.json", "card.md")
    data = json.loads(read(folder, "public/privacy.json"))
    kept = {key: data[key] for key in ("sentence", "clamping", "unprotected")}
    parts = [read(folder, f"public/{name}") for name in names]
    page = Page(read(folder, "public/report.html")).text
    # Hashes are random digits; they could hit any number.
    return re.sub(r"[0-9a-f]{64}", "", " ".join([*parts, page, json.dumps(kept)]))


def numbers_without_evidence(contents, **changes):
    """What the public page and card say of statement and columns alone."""
    made = contents(**changes)
    decision = made.decision.public()
    bare = decision.model_copy(update={"rules": tuple(r for r in decision.rules if not r.private)})
    data = ReportData(
        edition="public",
        about=made.about,
        created=made.created,
        statement=made.statement,
        decision=bare,
        schema=made.schema,
        table="public/synthetic.csv",
        rows=made.rows,
        columns=tuple(column.public() for column in made.columns),
    )
    return numbers_in(Page(render(data)).text + card(data))


@pytest.mark.parametrize("verdict", ["allowed", "refused"])
def test_public_holds_no_figure_measured_on_real_rows(request, contents, verdict):
    folder = request.getfixturevalue(verdict)
    # A share of the synthetic rows may equal a private figure by chance.
    private = private_numbers(folder) - numbers_without_evidence(contents)
    inside = numbers_in(Page(read(folder, "internal/report.html")).text)
    assert len(private & inside) > 10, (
        "the internal edition shows them, so the search can find them"
    )
    assert private & numbers_in(public_text(folder)) == set()


def test_coarse_evidence_shows_steps_only(contents, tmp_path):
    from dpsynth.release.bundle import write_bundle

    text = contents().policy_text.replace('publish = "verdict"', 'publish = "coarse"')
    folder = write_bundle(tmp_path / "bundle", contents(text))
    page = Page(read(folder, "public/report.html")).text
    low, high = re.search(r"Between (\d\.\d\d) and (\d\.\d\d)\.", page).groups()
    assert float(low) < float(high)
    assert {round(float(v) * 100) % 5 for v in (low, high)} == {0}
    assert "rounded outwards to coarse steps" in page
    private = private_numbers(folder) - numbers_without_evidence(contents)
    assert private & numbers_in(public_text(folder)) == set()


def test_the_public_edition_refuses_private_data(contents):
    made = contents()
    fields = {
        "about": About(title="x"),
        "created": "2026-01-01T00:00:00+00:00",
        "statement": made.statement,
        "schema": made.schema,
        "table": "public/synthetic.csv",
    }
    public = made.decision.public()
    for private in ({"audit": made.audit}, {"columns": made.columns}):
        with pytest.raises(InputError, match="leave them out"):
            ReportData(edition="public", decision=public, **fields, **private)
    with pytest.raises(InputError, match="public report with the internal decision"):
        ReportData(edition="public", decision=made.decision, **fields)
    assert "may be shared" in card(ReportData(edition="public", decision=public, **fields))


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_every_scheme(allowed):
    """WCAG 2.1, success criteria 1.4.3 (text, 4.5) and 1.4.11 (graphics, 3)."""
    css = read(allowed, "public/report.html")
    schemes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    ]
    assert len(schemes) == 3
    for scheme in schemes:
        for text in ("ink", "muted", "main", "other"):
            for ground in ("paper", "card"):
                assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground, scheme)
        for verdict in ("allow", "refuse", "inconclusive"):
            for text in (verdict, "ink", "muted"):
                assert contrast(scheme[text], scheme[f"{verdict}-soft"]) >= 4.5, (text, verdict)
        assert contrast(scheme["ink"], scheme["plain-soft"]) >= 4.5


def test_render_and_card_are_the_same_every_time(contents):
    made = contents()
    data = ReportData(
        edition="internal",
        about=About(title="x"),
        created="long ago",
        statement=made.statement,
        decision=made.decision,
        schema=made.schema,
        table="public/synthetic.csv",
        rows=made.rows,
        columns=made.columns,
        audit=made.audit,
    )
    assert render(data) == render(data)
    assert "long ago" in card(data)


def test_the_internal_edition_has_the_whole_picture_of_the_attacks(allowed):
    text = Page(read(allowed, "internal/report.html")).text
    audit = AuditResult.from_json_text(read(allowed, "internal/audit.json"))
    assert "Of 2 attacks, tested together, none did; " in text
    assert "What the attacker holds. The synthetic table" in text
    for finding in audit.findings:
        assert finding.reason in text, finding.name
    (records,) = [f.curves["records"] for f in audit.findings if f.name == "vulnerable_records"]
    table = text.split("Training rows that the attacks reach first")[-1]
    assert str(records[0]["row"]) in table
    for note in audit.notes:
        assert note in text
    public = Page(read(allowed, "public/report.html")).text
    assert "Training rows that the attacks reach first" not in public
    assert "tested together" not in public


def test_what_the_attacks_say_together(finding, audit):
    from dpsynth.release.report.page import _together

    def say(*verdicts):
        found = [finding(f"a{i}", v, "membership") for i, v in enumerate(verdicts)]
        return _together(audit(*found))

    assert say("none", "inconclusive").startswith(
        "Of 2 attacks, tested together, none did; 1 would"
    )
    assert say("none", "leak") == "Of 2 attacks, tested together, 1 did: a1."
    assert "None of the 2 attacks would have noticed" in say("inconclusive", "inconclusive")
    assert say("none", "inconclusive").endswith("a leak of the size that it states.")
    assert say("none", "none").endswith("a leak of the size that each of them states.")
    assert "Of 1 attack, tested" in say("none")
    assert "The only attack would not have noticed" in say("inconclusive")
    assert say() == _together(None) == ""


def page_of(
    contents,
    edition="public",
    *,
    waivers=(),
    unused=(),
    about=None,
    signed_by=None,
    **changes,
):
    """One edition drawn from the bundle's contents, its rules changed by name on the way."""
    made = contents(**changes)
    rules = tuple(
        rule.model_copy(update={"verdict": "inconclusive", "waiver": waiver})
        if (waiver := next((w for w in waivers if w.rule == rule.rule), None))
        else rule
        for rule in made.decision.rules
    )
    decision = made.decision.model_copy(update={"rules": rules, "unused_waivers": unused})
    inside = edition == "internal"
    data = ReportData(
        edition=edition,
        about=about or made.about,
        created=made.created,
        statement=made.statement,
        decision=decision if inside else decision.public(),
        schema=made.schema,
        table="public/synthetic.csv",
        rows=made.rows,
        columns=made.columns if inside else tuple(column.public() for column in made.columns),
        audit=made.audit if inside else None,
        signed_by=signed_by,
    )
    return Page(render(data))


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_rules_set_aside_are_named(contents, edition):
    waiver = Waiver(
        rule="finding closest_record",
        name="Erika <b>Muster</b>",
        reason="the next one has more rows",
        date="2026-11-20",
    )
    text = page_of(contents, edition, waivers=[waiver]).text
    section = text.split("Set aside by name These")[1].split("What this means for one")[0]
    assert "undecided Check: closest record" in section
    assert "Erika <b>Muster</b> on 20 November 2026. The next one has more rows." in section
    assert "1 rule was set aside by name (see below)." in text
    assert "waived Check: closest record" in text
    plain = page_of(contents, edition).text
    assert "Set aside by name" not in plain
    assert "waived" not in plain


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_waivers_that_set_nothing_aside_are_shown_for_all_to_see(contents, edition):
    waiver = Waiver(rule="finding copies", name="E. Muster", reason="just so", date="2026-11-20")
    unused = (UnusedWaiver(waiver=waiver, reason="the rule was kept"),)
    page = page_of(contents, edition, unused=unused)
    assert "finding copies , by E. Muster on 20 November 2026. Just so." in page.text
    assert "It changed nothing: the rule was kept." in page.text
    assert "#unused" in page.links
    assert "unused" not in page_of(contents, edition).sections


@pytest.mark.parametrize("signed_by", [None, "k" * 64])
def test_each_reader_gets_the_command_that_works_for_them(contents, signed_by):
    """Who holds public/ alone is told that internal/ is missing, unless they say so."""
    first = "dpsynth verify BUNDLE --public-only"
    public = page_of(contents, signed_by=signed_by).text
    assert first + (" --key" if signed_by else "") in public
    assert "the verdict from its rules, and" not in public
    inside = page_of(contents, "internal", signed_by=signed_by).text
    assert "--public-only" not in inside
    assert "the verdict from its rules, and" in inside


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_the_promise_is_not_made_larger_than_it_is(contents, statement, edition):
    """The audits read real rows uncharged, a proof rests on software, and a row is no person."""
    text = page_of(contents, edition).text
    assert "The audits looked at real rows as well, without noise and without a charge" in text
    assert "It rests on the software doing what it says" in text
    assert text.count("A person with several rows is protected less") >= 2
    hash_ = contents().statement.policy_hash
    people = statement(policy_hash=hash_, privacy_unit="person_id", max_rows_per_unit=2)
    assert "A person with several rows" not in page_of(contents, edition, statement=people).text
    for word in ("Every look", "proved", "nobody can", "before a row was read", "is anonymous"):
        assert word.lower() not in text.lower()


def test_all_releases_together_are_said(contents, statement):
    record = LedgerRecord(
        shared=True,
        head="0" * 64,
        entries=21,
        release="r",
        releases=3,
        total_epsilon=2.0,
        total_delta=1e-5,
        budget_epsilon=3.0,
    )
    policy_hash = contents().statement.policy_hash
    claim = statement(ledger=record, policy_hash=policy_hash)
    text = page_of(contents, statement=claim).text
    assert "3 releases of this dataset, this one included" in text
    assert "epsilon 2 of the 3 that the ledger grants this dataset" in text
    assert "dpsynth ledger verify LEDGER --bundle BUNDLE" in text
    assert "the ledger holds the sum of what is booked in it" in text
    alone = statement(ledger=record.model_copy(update={"shared": False}), policy_hash=policy_hash)
    assert "no ledger holds the sum" in page_of(contents, statement=alone).text
    bare = page_of(contents, statement=statement(ledger=None, policy_hash=policy_hash)).text
    assert "No ledger was kept" in bare
    assert "dpsynth ledger verify" not in bare


def test_rows_made_from_synthetic_rows_are_called_so(contents, statement):
    policy_hash = contents().statement.policy_hash
    again = statement(input_generation=2, policy_hash=policy_hash)
    assert "gone through a generator 2 times before" in page_of(contents, statement=again).text
    assert "Made from synthetic rows" not in page_of(contents).text


def test_who_signed_and_who_answers(contents):
    signed = page_of(contents, signed_by="ab12").text
    assert "Signed with key ab12." in signed
    assert "dpsynth verify BUNDLE --public-only --key KEY.pub.pem" in signed
    bare = page_of(contents).text
    assert "Not signed: " in bare
    assert "--key" not in bare
    assert "Issued by Not stated." in bare
    about = About(title="x", curator="Institute <of> Health", licence="CC-BY-4.0")
    text = page_of(contents, about=about).text
    assert "Issued by Institute <of> Health" in text
    assert "Terms of use CC-BY-4.0" in text
    assert "Contact Not stated." in text


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_the_list_of_contents_names_every_section(contents, edition):
    page = page_of(contents, edition)
    linked = [link[1:] for link in page.links if link.startswith("#") and link[1:] in page.sections]
    assert linked == page.sections[1:]
    assert page.sections[0] == "verdict"


def test_where_the_policy_keeps_the_evidence_inside_the_public_page_says_so(contents):
    text = contents().policy_text.replace('publish = "verdict"', 'publish = "overall"')
    page = page_of(contents, policy_text=text).text
    assert "keeps each outcome inside. The verdict counts them all." in page
    assert "Check: closest record" not in page
    assert "The rules of the policy “test” were kept." in page
    inside = page_of(contents, "internal", policy_text=text).text
    assert "Check: closest record" in inside
    assert "keeps each outcome inside" not in inside


@pytest.mark.slow
def test_a_table_of_100_columns_makes_a_page_of_less_than_3_mb(contents):
    schema = Schema(
        columns=tuple(Column(name=f"c{i}", kind="numeric", lower=0, upper=1) for i in range(100))
    )
    rng = np.random.default_rng(3)
    frames = [pd.DataFrame(rng.random((50, 100)), columns=list(schema.names)) for _ in range(2)]
    made = contents()
    matrix = rng.random((100, 100)).tolist()
    curves = {
        "columns": list(schema.names),
        "tvd2_matrix": matrix,
        "correlation_real": matrix,
        "correlation_synthetic": matrix,
    }
    findings = tuple(
        replace(f, curves=curves) if f.name == "fidelity" else f for f in made.audit.findings
    )
    data = ReportData(
        edition="internal",
        about=made.about,
        created=made.created,
        statement=made.statement,
        decision=made.decision,
        schema=schema,
        table="public/synthetic.csv",
        rows=50,
        columns=column_shares(schema, *frames),
        audit=replace(made.audit, findings=findings),
    )
    html = render(data)
    assert len(html) < 3_000_000
    assert "60 further columns are not drawn" in html


def test_words_load_no_drawing_library():
    code = "import sys; import dpsynth.release.report.facts; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("edition", ["public", "internal"])
def test_what_four_frameworks_ask_stands_in_the_page_as_in_the_certificate(allowed, edition):
    text = Page(read(allowed, f"{edition}/report.html")).text
    asked = json.loads(read(allowed, "public/certificate.json"))["answers"]
    assert len({answer["framework"] for answer in asked}) == 4
    for answer in asked:
        assert " ".join(answer["question"].split()) in text, answer["field"]
        if edition == "public":
            assert " ".join(answer["answer"].split()) in text, answer["field"]
    first = [answer for answer in asked if answer["framework"] == asked[0]["framework"]]
    answered = sum(answer["status"] == "answered" for answer in first)
    if edition == "public":
        assert f"{asked[0]['framework']}: {answered} answered" in text
