import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

import audits
from audits.plots import plots
from audits.report import html, write_html


@pytest.fixture(scope="module")
def result(mixed_table):
    tables = [mixed_table(100, seed).rename(columns={"town": "<b>$town$"}) for seed in range(3)]
    return audits.run(*tables, seed=2)


def test_page_is_one_file_with_every_finding_and_figure(result):
    page = html(result)
    for finding in result.findings:
        assert f"<h2>{finding.name}" in page
        for name in finding.figures:
            assert f"<td>{name}</td>" in page
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert "Nothing found" in page


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
    drawn = {finding.name: plots(finding) for finding in result.findings}
    assert [name for name, svgs in drawn.items() if svgs] == [
        "closest_record",
        "nearest_neighbours",
        "diversity",
        "fidelity",
    ]
    for svgs in drawn.values():
        for _, svg in svgs:
            assert ET.fromstring(svg).tag.endswith("svg")


def test_finding_without_curves_has_no_plot(result):
    assert plots(replace(result.finding("fidelity"), curves={})) == []


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
