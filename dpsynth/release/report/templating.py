"""Jinja2 as all pages and cards use it: one set of words, and nothing undefined passes."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from audits.statistics import Estimate
from dpsynth.release.report import words


def environment(package: str, *, html: bool) -> Environment:
    """An environment for the templates of a package; texts are escaped where it makes HTML."""
    made = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": words.percent,
        "number": words.number,
        "odds": words.odds,
        "day": words.day,
        "date": words.date,
        "sentence": words.sentence,
        "interval": _interval,
        "svg": lambda picture: Markup(picture.svg),  # made by svg.py, every text in it escaped
        "cell": _markdown_cell,
    }
    return made


def _interval(estimate: Estimate) -> str:
    """A figure with its interval, or alone where it is a plain count."""
    if estimate.lower == estimate.upper:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g})"


def _markdown_cell(text: object) -> str:
    """A text that cannot break out of a Markdown table cell or start a tag."""
    plain = " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("<", "&lt;")
