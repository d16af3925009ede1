import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pandas as pd
import pytest

import audits
from audits.plots.catalogue import overview, plots
from audits.report import html, write_html


@pytest.fixture(scope="module")
def result(mixed_table):
    tables = [mixed_table(400, seed).rename(columns={"town": "<b>$town$"}) for seed in range(3)]
    claim = audits.Claim(epsilon=1.0, delta=1e-5)
    return audits.run(*tables, seed=2, claim=claim)


def test_page_is_one_file_with_every_finding_and_figure(result):
    page = html(result)
    for finding in result.findings:
        assert f'<section id="{finding.name}">' in page
        for name in finding.figures:
            base = name.removesuffix("_baseline")
            assert f"<td>{base if base in finding.figures else name}</td>" in page
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert "Nothing found" in page
    assert "Bug detectors: copies and nearest neighbours" in page
    assert "no evidence of privacy" in page


def test_notes_and_claim_are_on_the_page(result):
    page = html(replace(result, notes=("Column 'a' shows nothing.",)))
    assert "Column &#39;a&#39; shows nothing." in page
    assert "Claimed for the generator: epsilon 1, delta\n1e-05" in page
    assert "what the claimed epsilon and delta rule out" in page


def test_nothing_ruled_out_stands_where_the_bound_is_zero(result):
    assert result.figure("closest_record.epsilon_lower_bound").value == 0.0
    assert "nothing ruled out" in html(result)


def test_text_from_the_tables_is_not_markup(result):
    hostile = replace(result.findings[0], reason="<script>alert(1)</script>")
    page = html(replace(result, findings=(hostile, *result.findings[1:])))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    # A column's name reaches the plots.
    assert "<b>" not in page
    assert "&lt;b&gt;$town$" in page


def test_page_is_the_same_from_run_to_run_and_after_a_round_trip(result):
    again = audits.AuditResult.from_json_text(result.to_json_text())
    assert html(result) == html(result)
    assert html(again) == html(audits.AuditResult.from_json_text(again.to_json_text()))


def test_each_kind_of_curve_is_drawn_as_svg(result):
    drawn = {finding.name: plots(finding, result) for finding in result.findings}
    expected = {
        "closest_record",
        "attribute_inference",
        "linkability",
        "singling_out",
        "nearest_neighbours",
        "diversity",
        "fidelity",
        "correlation",
        "utility",
    }
    assert expected <= {name for name, found in drawn.items() if found}
    for found in [*drawn.values(), overview(result)]:
        for plot in found:
            assert ET.fromstring(plot.svg).tag.endswith("svg")
            assert plot.caption


def test_the_claimed_region_is_drawn_only_for_a_claim(result):
    (with_claim,) = overview(result)
    (without,) = overview(replace(result, claim=None))
    assert "claimed limit" in with_claim.svg
    assert "claimed limit" not in without.svg


def test_finding_without_curves_has_no_plot(result):
    assert plots(replace(result.finding("fidelity"), curves={}), result) == []


def test_rows_at_risk_are_listed_by_number_alone(mixed_table):
    train = mixed_table(300, 1)
    train.loc[17, "height"] = 271.8281
    made = pd.concat([mixed_table(299, 3), train.loc[[17]]])
    result = audits.run(
        train, mixed_table(300, 2), made, attacks=["closest_record"], checks=["copies"]
    )
    page = html(result)
    assert "Training rows most at risk" in page
    assert '<td class="n">17</td>' in page
    assert "271.8" not in page


def test_writing_replaces_the_page_and_leaves_nothing_beside_it(result, tmp_path):
    target = tmp_path / "audit.html"
    target.write_text("old")
    write_html(result, target)
    assert target.read_text(encoding="utf-8") == html(result)
    assert list(tmp_path.iterdir()) == [target]


def test_a_page_that_cannot_be_written_leaves_the_old_one(result, tmp_path, monkeypatch):
    target = tmp_path / "audit.html"
    target.write_text("old")
    monkeypatch.setattr("audits.report.html", lambda result: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        write_html(result, target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
