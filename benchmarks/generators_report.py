"""Results of the generators as Markdown: a table for each data set, and who wins where."""

import statistics
from collections.abc import Sequence
from typing import Any

from utility_cache import DONE
from utility_report import BEST, TITLES

Row = dict[str, Any]
START, END = "<!-- figures:start -->", "<!-- figures:end -->"
FIGURES = ("tvd2", "tvd3", "tstr_auc", "c2st_auc")
COSTS = {"fit_s": "fit s", "fit_cpu_s": "CPU s", "peak_mb": "peak MB"}
JUDGED = ("tvd2", "tstr_auc", "c2st_auc")
"""The figures that the table of winners is made of."""
_HOW = (
    "Medians over the seeds; the best of a table and epsilon is bold. TVD: mean total variation "
    "distance to the training rows. TSTR: trained on synthetic rows, tested on real ones. C2ST: "
    "synthetic told from real, 0.5 is perfect. Missing: categories with more than 2 % of the "
    "training rows that no synthetic row has. Alarms: of the monitor, on rows as released. Times "
    "are of the fit alone, on one thread, other work beside it; peak is that of the process."
)


def markdown(rows: Sequence[Row]) -> str:
    """The whole block of figures."""
    tables = list(dict.fromkeys(row["table"] for row in rows))
    blocks = [_block([row for row in rows if row["table"] == table]) for table in tables]
    return "\n\n".join([_HOW, *blocks, _winners(rows)]) + "\n"


def put_between_marks(page: str, block: str) -> str:
    """The page with what stands between its two marks replaced.

    Raises:
        SystemExit: it has not each mark once, in order.
    """
    if page.count(START) != 1 or page.count(END) != 1 or page.index(START) > page.index(END):
        raise SystemExit(f"the page needs the lines {START} and {END}, once each, in this order")
    before, rest = page.split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n{block.rstrip()}\n{END}{after}"


def medians(rows: Sequence[Row], generator: str) -> dict[str, float]:
    """Median figures of one generator's finished runs; empty without any."""
    done = [row for row in rows if row["system"] == generator and row["status"] == DONE]
    if not done:
        return {}
    return {name: statistics.median(row[name] for row in done) for name in (*BEST, *COSTS)}


def epsilons(rows: Sequence[Row]) -> list[float | None]:
    """Ascending, without privacy last."""
    found = {row["epsilon"] for row in rows}
    return [*sorted(e for e in found if e is not None), *([None] if None in found else [])]


def told(epsilon: float | None) -> str:
    return "no privacy" if epsilon is None else f"{epsilon:g}"


def _block(rows: Sequence[Row]) -> str:
    about = rows[0]["facts"]
    head = (
        f"### {rows[0]['table']}: {about['rows']:,} rows, {about['columns']} columns, "
        f"{about['numeric']:.0%} of them numeric"
    )
    columns = ["epsilon", "generator", "runs", *(TITLES[name] for name in FIGURES)]
    columns += ["missing", "alarms", *COSTS.values()]
    lines = [head, "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for epsilon in epsilons(rows):
        mine = [row for row in rows if row["epsilon"] == epsilon]
        for name in dict.fromkeys(row["system"] for row in mine):
            lines += _lines(mine, name, len(columns))
    return "\n".join([*lines, *_floor(rows)])


def _lines(rows: Sequence[Row], name: str, width: int) -> list[str]:
    """A line of medians if any run finished, and one for each way in which others failed."""
    mine = [row for row in rows if row["system"] == name]
    epsilon, lines = told(mine[0]["epsilon"]), []
    figures = medians(rows, name)
    if figures:
        others = [found for n in {r["system"] for r in rows} if (found := medians(rows, n))]
        done = [row for row in mine if row["status"] == DONE]
        cells = [epsilon, name, str(len(done))]
        for figure in FIGURES:
            best = BEST[figure](other[figure] for other in others) == figures[figure]
            cells.append(f"**{figures[figure]:.4f}**" if best else f"{figures[figure]:.4f}")
        cells += [_most(done, "missing"), _most(done, "alarms")]
        cells += [f"{figures[cost]:.0f}" for cost in COSTS]
        lines.append("| " + " | ".join(cells) + " |")
    failures = [_failure(row["message"]) for row in mine if row["status"] != DONE]
    for message in dict.fromkeys(failures):
        count = failures.count(message)
        line = f"| {epsilon} | {name} | {count} | failed: {message} |"
        lines.append(line + " |" * (width - 4))
    return lines


def _failure(message: str) -> str:
    """What went wrong, without how to mend it."""
    return message.split(";")[0].replace("|", "/")[:300]


def _most(rows: Sequence[Row], what: str) -> str:
    """The largest number over the seeds; - where nothing is known."""
    counts = [len(row[what]) for row in rows if row.get(what) is not None]
    return str(max(counts)) if counts else "-"


def _floor(rows: Sequence[Row]) -> list[str]:
    done = [row for row in rows if row["status"] == DONE]
    if not done:
        return []
    one = done[0]
    return [
        "",
        f"Held-out rows against the training rows: 2-way TVD {one['tvd2_floor']:.4f}, 3-way TVD "
        f"{one['tvd3_floor']:.4f}; AUC of real rows {one['trtr_auc']:.4f}.",
    ]


def _winners(rows: Sequence[Row]) -> str:
    """Which generator is best in each cell, and the next one behind it."""
    columns = ["table", "rows", "numeric", "epsilon", *(TITLES[name] for name in JUDGED)]
    lines = ["### Who wins where", "", "| " + " | ".join(columns) + " |", "|---" * len(columns)]
    lines[-1] += "|"
    for table in dict.fromkeys(row["table"] for row in rows):
        mine = [row for row in rows if row["table"] == table]
        for epsilon in epsilons(mine):
            cell = [row for row in mine if row["epsilon"] == epsilon]
            about = cell[0]["facts"]
            head = [table, f"{about['rows']:,}", f"{about['numeric']:.0%}", told(epsilon)]
            lines.append("| " + " | ".join([*head, *(first_two(cell, f) for f in JUDGED)]) + " |")
    return "\n".join(lines)


def first_two(rows: Sequence[Row], figure: str) -> str:
    """The best generator and the next: "vae .812, gan .790"; - where none finished."""
    found = {name: medians(rows, name) for name in dict.fromkeys(row["system"] for row in rows)}
    scored = [(figures[figure], name) for name, figures in found.items() if figures]
    order = sorted(scored, reverse=BEST[figure] is max)
    words = [f"{name} {value:.4f}".replace(" 0.", " .") for value, name in order[:2]]
    return ", ".join(words) or "-"
