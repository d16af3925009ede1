"""The report in a real headless Chromium: on a phone, on a desk, on paper, in light and in dark.

One function looks for faults; pages with a planted fault show that it finds each kind.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audits import suite
from dpsynth.privacy.statement import LedgerRecord
from dpsynth.release.about import About
from dpsynth.release.evidence import AUDIT_KINDS, audit_frame
from dpsynth.release.report.count_errors import ColumnError, CountErrors, PairError
from dpsynth.release.report.page import ReportData, render
from dpsynth.release.waivers import Waiver
from dpsynth.table import Table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    # The driver leaves pipes to the garbage collector when it stops.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SCREENS = {"phone": (390, 844), "desktop": (1280, 900), "print": (794, 1123)}
LONG = "W" * 120

#: All rules: WCAG 2 A and AA, 2.1, 2.2 and the best practices.
AXE_OPTIONS = {"resultTypes": ["violations"]}

SHAPES = """() => [...document.querySelectorAll("svg")].map(svg => {
  const box = svg.getBoundingClientRect();
  const drawn = [...svg.querySelectorAll("path, use, text")]
    .filter(part => { const b = part.getBoundingClientRect(); return b.width + b.height > 0; });
  return {name: svg.getAttribute("aria-label"), width: box.width, height: box.height,
          drawn: drawn.length};
})"""
#: Letters with too little contrast, those of pictures too: there, and where an element lies over
#: another, axe gives no answer. WCAG 2.1, success criterion 1.4.3.
PALE = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const [r, g, b, a = 1] = parts(getComputedStyle(node).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const solid = node => {
    let share = 1;
    for (; node; node = node.parentElement) share *= Number(getComputedStyle(node).opacity);
    return share;
  };
  const light = channels => channels.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const lettered = [...document.querySelectorAll("body *")].filter(one => [...one.childNodes]
    .some(child => child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
  return lettered.filter(one => !one.closest("script")).map(one => {
    const style = getComputedStyle(one), inside = one.closest("svg");
    const behind = ground(inside || one), ink = parts(inside ? style.fill : style.color);
    const share = solid(one) * (ink[3] ?? 1);
    const seen = behind.map((channel, i) => share * ink[i] + (1 - share) * channel);
    const pair = [light(seen), light(behind)];
    return [one.textContent.trim().slice(0, 60),
            (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
  }).filter(([, ratio]) => ratio < 4.5);
}"""
WIDEST = """() => [...document.querySelectorAll("body *")]
  .filter(one => !one.closest(".map, .scroll, pre, svg"))
  .map(one => [Math.round(one.getBoundingClientRect().right), one.tagName.toLowerCase()])
  .filter(([right]) => right > innerWidth)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def data(contents: Any, tables: Any, training: Any) -> dict[str, ReportData]:
    """Both editions of one release with everything a report can hold."""
    made = contents()
    audit = suite.run(
        *(audit_frame(Table.from_frame(table), made.schema) for table in tables.values()),
        kinds={column.name: AUDIT_KINDS[column.kind] for column in made.schema.columns},
        attacks=["closest_record", "linkability"],
        checks=["nearest_neighbours", "diversity", "fidelity", "correlation", "utility"],
    )
    ledger = LedgerRecord(
        shared=True,
        head="0" * 64,
        entries=21,
        release="r",
        releases=3,
        total_epsilon=2.0,
        total_delta=1e-5,
        budget_epsilon=3.0,
    )
    statement = made.statement.model_copy(update={"ledger": ledger, "input_generation": 1})
    waiver = Waiver(rule="-", name=LONG, reason=f"a word too long: {LONG}", date="2026-11-20")
    states = ({"verdict": "inconclusive", "waiver": waiver}, {"verdict": "inconclusive"}, {})
    rules = tuple(
        rule.model_copy(update=states[min(place, 2)])
        for place, rule in enumerate(made.decision.rules)
    )
    decision = made.decision.model_copy(update={"rules": rules, "verdict": "inconclusive"})
    shared = {
        "about": About(title=LONG, curator="Institute", contact="x@example.org"),
        "created": made.created,
        "statement": statement,
        "schema": made.schema,
        "table": "public/synthetic.csv",
        "rows": made.rows,
        "errors": CountErrors(
            rows=made.rows,
            simulations=4,
            columns=tuple(
                ColumnError(name=name, mean=0.004, largest=0.02, worst=LONG)
                for name in (*made.schema.names, LONG)
            ),
            pairs=(PairError(first=LONG, second=LONG, distance=0.1),),
        ),
        "training": training(
            missing=[{"column": 2, "code": 0, "expected": 0.5, "at_least": 0.4, "share": 0.0}],
            narrow=[0],
            alarms=[f"town: {LONG!r} never appeared", "age: entropy fell"],
        ),
        "signed_by": "0" * 64,
    }
    return {
        "internal": ReportData(
            edition="internal", decision=decision, columns=made.columns, audit=audit, **shared
        ),
        "public": ReportData(
            edition="public",
            decision=decision.public(),
            columns=tuple(column.public() for column in made.columns),
            **shared,
        ),
    }


@pytest.fixture(scope="module")
def pages(data: dict[str, ReportData]) -> dict[str, str]:
    return {edition: render(one) for edition, one in data.items()}


def faults(browser: Any, folder: Path, html: str, *, screen: str, scheme: str) -> list[str]:
    """Everything that is wrong with a page, a line each."""
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    width, height = SCREENS[screen]
    tab = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    found: list[str] = []
    tab.on("console", lambda said: found.append(f"console: {said.text}"))
    tab.on("pageerror", lambda error: found.append(f"console: {error}"))
    tab.on("request", lambda asked: found.append(f"request: {asked.url}"))
    try:
        if screen == "print":
            tab.emulate_media(media="print", color_scheme=scheme)
        tab.goto(path.as_uri())
        found.remove(f"request: {path.as_uri()}")
        # On paper what is folded must be open by itself; elsewhere it is opened to be looked at.
        if screen != "print":
            tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        found += [
            f"flat: {shape['name']}"
            for shape in tab.evaluate(SHAPES)
            if shape["width"] < 150 or shape["height"] < 40 or shape["drawn"] < 5
        ]
        found += [f"sticks out: {tag} to {right} px" for right, tag in tab.evaluate(WIDEST)]
        if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("sticks out: the page")
        found += [f"pale letters: {text} {ratio:.1f}" for text, ratio in tab.evaluate(PALE)]
        found += accessibility(tab)
    finally:
        tab.close()
    return found


def accessibility(tab: Any) -> list[str]:
    """What axe-core finds, by all its rules that are past trial."""
    tab.evaluate(axe.AXE_SCRIPT)
    result = tab.evaluate("options => axe.run(document, options)", AXE_OPTIONS)
    return [
        f"axe: {rule['id']}: {node['target']}: {node['failureSummary'][:300]}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def test_the_internal_edition_opens_on_a_phone_in_the_dark(browser, pages, tmp_path):
    assert faults(browser, tmp_path, pages["internal"], screen="phone", scheme="dark") == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", list(SCREENS))
@pytest.mark.parametrize("edition", ["public", "internal"])
def test_every_edition_opens_everywhere(browser, pages, tmp_path, edition, screen, scheme):
    assert faults(browser, tmp_path, pages[edition], screen=screen, scheme=scheme) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["allowed", "refused"])
def test_whole_bundles_open(browser, request, tmp_path, name):
    for edition in ("public", "internal"):
        path = request.getfixturevalue(name) / edition / "report.html"
        html = path.read_text(encoding="utf-8")
        assert faults(browser, tmp_path, html, screen="phone", scheme="light") == []


def planted(html: str, extra: str) -> str:
    return html.replace("</header>", f"{extra}</header>", 1)


FAULTS = {
    "grey text": ("<p style='color:#9aa0a6'>grey</p>", "axe: color-contrast"),
    "grey letters in a picture": (
        "<svg viewBox='0 0 9 9' role='img' aria-label='x'><text fill='#9aa0a6'>a</text></svg>",
        "pale letters: a",
    ),
    "letters one can see through": ("<p style='opacity:.5'>pale</p>", "pale letters: pale"),
    "a picture without words": (
        "<svg viewBox='0 0 9 9' role='img' width='200' height='200'><text>a</text></svg>",
        "axe: svg-img-alt",
    ),
    "an empty picture": ("<svg viewBox='0 0 9 9' role='img' aria-label='x'></svg>", "flat: x"),
    "something wide": ("<div style='width:2000px'>wide</div>", "sticks out: div"),
    "a foreign picture": ("<img alt='' src='http://localhost:9/x.png'>", "request: http"),
    "a fault of a script": ("<script>console.warn('beware')</script>", "console: beware"),
    "an unknown name": ("<p role='img'>x</p>", "axe: role-img-alt"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FAULTS))
def test_a_planted_fault_is_found(browser, pages, tmp_path, name):
    extra, said = FAULTS[name]
    html = planted(pages["public"], extra)
    found = faults(browser, tmp_path, html, screen="phone", scheme="light")
    assert any(line.startswith(said) for line in found), found


@pytest.mark.slow
def test_contrast_is_looked_at_in_both_schemes(browser, pages, tmp_path):
    """A grey that reads on white and not on black, and the other way round."""
    for colour, bad in (("#4a4a4a", "dark"), ("#b5b5b5", "light")):
        html = planted(pages["public"], f"<p style='color:{colour}'>grey</p>")
        for scheme in ("light", "dark"):
            found = faults(browser, tmp_path, html, screen="phone", scheme=scheme)
            assert bool(found) == (scheme == bad), (colour, scheme, found)


@pytest.mark.slow
def test_on_paper_everything_is_open_and_nothing_is_dark(browser, pages, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(pages["internal"], encoding="utf-8")
    tab = browser.new_page(viewport={"width": 794, "height": 1123}, color_scheme="dark")
    tab.goto(path.as_uri())
    table = "details table"
    assert not tab.locator(table).first.is_visible(), "on a screen it is folded"
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.locator(table).first.is_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    pdf = tab.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    tab.close()
