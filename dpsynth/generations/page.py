"""One page of HTML for an experiment over generations, with everything in the file."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dpsynth.generations.curves import MEASURES
from dpsynth.generations.drawing import COLOURS, pictures, write_png
from dpsynth.generations.result import INTERNAL, Collapse

_SIGNS = ("●", "■", "▲", "◆", "▼", "✚")
_PAGE = """{% macro line(title, values) %}
<tr><td>{{ title }}</td>{% for v in values %}<td>{{ v | figure }}</td>{% endfor %}</tr>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is left after {{ count }} generations</title>
<style>
{{ css }}
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1.5rem; }
.panels figure { margin: 0; }
.panels h3 { margin: 0 0 .25rem; }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; padding: 0; }
.wide { overflow-x: auto; }
td, th { text-align: right; padding: .15rem .7rem; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
</style>
</head>
<body><main>
<header>
<p class="eyebrow">Internal: not covered by epsilon</p>
<h1>What is left of the real table after {{ count }} generation{{ "" if count == 1 else "s" }}</h1>
<p class="meta">{{ settings.maker }}, {{ settings.rows }} rows in every table</p>
<p class="notice">{{ internal }}</p>
</header>
<section>
<h2>Curves</h2>
<ul class="keys">
{% for curve in curves %}
<li>
<span style="color: {{ colours[loop.index0] }}" aria-hidden="true">{{ signs[loop.index0] }}</span>
<b>{{ curve.mode }}</b>: {{ curve.note }}</li>
{% endfor %}
</ul>
<p class="small">Generation 0 is the real table, generation 1 the same table in every mode. Dashed:
what an ideal refit is expected to do (columns refitted one by one, with no error but that of a
finite sample); a generator adds errors of its own.</p>
<div class="panels">
{% for measure, picture in panels %}
<figure><h3>{{ measure.title }}</h3>{{ picture.svg | svg }}
<figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}
</div>
</section>
{% for curve in curves %}
<section>
<h2>Figures: {{ curve.mode }}</h2>
<div class="wide" tabindex="0" role="region" aria-label="Figures of {{ curve.mode }}"><table>
<thead><tr><th scope="col">generation</th>
{% for n in numbers %}<th scope="col">{{ n }}</th>{% endfor %}</tr></thead>
<tbody>
{{ line("rows fitted to", [none] + (curve.training_rows | list)) }}
{{ line("real ones among them", [none] + (curve.real_rows | list)) }}
{% for measure in measures if curve.figures[measure.key][0] is not none %}
{{ line(measure.title, curve.figures[measure.key]) }}
{% if measure.key in curve.theory %}
{{ line("ideal refit", curve.theory[measure.key]) }}
{% endif %}
{% endfor %}
</tbody></table></div>
</section>
{% endfor %}
<section>
<h2>How it was made</h2>
<p class="small">Seed {{ settings.seed }}, {{ settings.holdout_rows }} rows held out
{%- if settings.target is not none %}, target {{ settings.target }}{% endif %},
{{ settings.columns | length }} columns. Versions:
{% for name, version in settings.versions.items() %}
{{ name }} {{ version }}{{ "." if loop.last else "," }}
{% endfor %}</p>
</section>
</main></body></html>
"""


def html(result: Collapse) -> str:
    """The page as text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["svg"] = Markup  # made by svg.py, every text in it escaped
    css = files("dpsynth.release.report").joinpath("templates", "report.css")
    return environment.from_string(_PAGE).render(
        css=Markup(css.read_text(encoding="utf-8")),
        count=result.generations,
        numbers=range(result.generations + 1),
        internal=INTERNAL,
        settings=dict(result.settings),
        curves=result.curves,
        colours=COLOURS,
        signs=_SIGNS,
        measures=MEASURES,
        panels=pictures(result),
    )


def _figure(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def write(result: Collapse, folder: Path) -> None:
    """`collapse.json`, `collapse.csv`, `collapse.html` and `collapse.png` in a folder."""
    (folder / "collapse.json").write_text(result.to_json_text(), encoding="utf-8")
    (folder / "collapse.csv").write_text(result.to_csv_text(), encoding="utf-8")
    (folder / "collapse.html").write_text(html(result), encoding="utf-8")
    write_png(result, folder / "collapse.png")
