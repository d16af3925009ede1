"""Pictures as SVG text that takes its colours from the page around it.

Matplotlib draws with stand-in colours; afterwards each is replaced by a CSS variable, so that one
picture reads on light, on dark and on paper. Equal data give equal bytes.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

#: Stand-in colours and the CSS variables that replace them.
INK, MUTED, LINE, MAIN, OTHER, PAPER = (f"#01010{digit}" for digit in range(1, 7))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    MAIN: "var(--main)",
    OTHER: "var(--other)",
    PAPER: "var(--card)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """A picture and its words.

    Attributes:
        svg: the SVG element, colours by CSS variables, marked as an image with `alt` as its label.
        alt: what a person who cannot see it should know.
        caption: the line below it.
        width: below so many pixels its letters are too small to read, so it scrolls sideways
            instead of shrinking; 0 for a picture that fits a phone.
    """

    svg: str
    alt: str
    caption: str
    width: int = 0


def picture(
    name: str,
    draw: Callable[[Axes], None],
    *,
    size: tuple[float, float],
    alt: str,
    caption: str,
    wide: bool = False,
) -> Picture:
    """Draw one picture.

    Args:
        name: unique on the page; keeps the identifiers of two pictures apart.
        draw: draws on the axes, with the stand-in colours of this file.
        size: inches; 72 units of the picture's own scale each.
        alt: alternative text.
        caption: line below the picture.
        wide: whether it scrolls sideways on a phone rather than shrink.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The page's own font draws the letters; matplotlib only measures with what it has.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0.0)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(
        svg=_dress(text.getvalue(), name, alt),
        alt=alt,
        caption=caption,
        width=round(72 * size[0]) if wide else 0,
    )


def _dress(text: str, name: str, alt: str) -> str:
    """Colours to variables, identifiers made unique, size left to the page."""
    body = text[text.index("<svg") :]
    # A style element inside the picture would reach the whole page; the page has the rule itself.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', body)
    frame = box.group(0) if box else ""
    label = f'role="img" aria-label="{_attribute(alt)}"'
    body = re.sub(r"<svg[^>]*>", f"<svg {frame} {label}>", body, count=1)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"font: (?:\w+ )*([\d.]+px) [^;\"]*", r"font-size: \1", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    return body


def _attribute(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    )
