"""One page of HTML for one audit, with everything in the file.

For internal eyes: its plots and figures come from real rows.
"""

from __future__ import annotations

import os
from pathlib import Path

from audits.plots import plots
from audits.result import AuditResult

_WORDS = {
    "leak": "Leak found",
    "none": "Nothing found",
    "inconclusive": "Inconclusive",
    "measured": "Measured",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Audit: {{ words[result.verdict] }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { border-bottom: 1px solid #ddd; padding: .2rem .8rem .2rem 0; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.leak { color: #b00020; } .none { color: #1b6e3c; } .inconclusive { color: #8a5a00; }
.note { color: #555; } figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>Audit: <span class="{{ result.verdict }}">{{ words[result.verdict] }}</span></h1>
<p class="note">Internal: figures and plots on this page come from real rows and are not covered by
any epsilon. "Nothing found" is no proof of privacy; each finding says what it cannot see.</p>
<p>{% for table, rows in result.sizes.items() %}{{ table }}: {{ rows }} rows. {% endfor %}
Intervals at {{ "%g" | format(100 * result.confidence) }} %; seed {{ result.seed }}.</p>
{% for finding in result.findings %}
<section>
<h2>{{ finding.name }}: <span class="{{ finding.verdict }}">{{ words[finding.verdict] }}</span></h2>
<p>{{ finding.reason }}</p>
<p class="note">Blind spot: {{ finding.blind_spot }}
{% if finding.p_adjusted is not none -%}
p = {{ "%.2g" | format(finding.p_adjusted) }} after correction for all tests of this audit.
{%- endif %}
{% if finding.rows_used and finding.rows_used != result.sizes -%}
Rows used: {% for table, rows in finding.rows_used.items() %}{{ table }} {{ rows }} {% endfor %}
{%- endif %}</p>
<table>
{% for name, figure in finding.figures.items() -%}
<tr><td>{{ name }}</td><td class="n">{{ "%.4g" | format(figure.value) }}</td>
<td class="n">{% if figure.lower < figure.upper -%}
{{ "%.4g" | format(figure.lower) }} to {{ "%.4g" | format(figure.upper) }}
{%- endif %}</td></tr>
{% endfor -%}
</table>
{% for caption, svg in drawn[finding.name] -%}
<figure>{{ svg | safe }}<figcaption class="note">{{ caption }}</figcaption></figure>
{% endfor -%}
</section>
{% endfor %}
<p class="note">{{ result.format }}
{% for name, version in result.versions.items() %}· {{ name }} {{ version }} {% endfor %}</p>
</body>
</html>
"""


def html(result: AuditResult) -> str:
    """The page as text; equal results (but for their timing) give equal bytes."""
    # Imported here: an audit without a report needs no template library.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    drawn = {finding.name: plots(finding) for finding in result.findings}
    page = environment.from_string(_PAGE)
    return page.render(result=result, drawn=drawn, words=_WORDS) + "\n"


def write_html(result: AuditResult, path: str | Path) -> None:
    """Write the page; a run cut short leaves no half page behind."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(html(result), encoding="utf-8")
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
