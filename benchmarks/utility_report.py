"""Results as Markdown: a block for each table and epsilon, and the score against AIM."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from utility_cache import DONE

Row = dict[str, Any]
SMALLER, LARGER = min, max
BEST = {"tvd1": SMALLER, "tvd2": SMALLER, "tvd3": SMALLER, "tstr_auc": LARGER, "c2st_auc": SMALLER}
TITLES = {
    "tvd1": "1-way TVD",
    "tvd2": "2-way TVD",
    "tvd3": "3-way TVD",
    "tstr_auc": "TSTR AUC",
    "c2st_auc": "C2ST AUC",
}
COSTS = {"fit_s": "fit s", "fit_cpu_s": "CPU s", "peak_mb": "peak MB"}
FLOORS = {"tvd1_floor": "1-way TVD", "tvd2_floor": "2-way TVD", "tvd3_floor": "3-way TVD"}
CHAMPION, RIVAL = "dpsynth", "aim"


def markdown(rows: Sequence[Row], notes: dict[str, str]) -> str:
    """The whole report; the notes are what is said about each system."""
    blocks = [_block(rows, table, epsilon) for table, epsilon in _cells(rows)]
    about = [f"- **{name}**: {note}" for name, note in notes.items()]
    score = against(rows)
    parts = [_HOW, *blocks, *([score] if score else []), "Systems", "\n".join(about)]
    return "\n\n".join(parts) + "\n"


_HOW = (
    "Median over the seeds, with the smallest and the largest in brackets; the best median of a "
    "block is bold. TVD: mean total variation distance to the training rows. TSTR: trained on "
    "synthetic rows, tested on real ones. C2ST: synthetic told from real, 0.5 is perfect. Times "
    "are of the fit alone, on one thread; the last column is AIM's CPU seconds over the system's."
)


def against(rows: Sequence[Row], one: str = CHAMPION, other: str = RIVAL) -> str:
    """In how many blocks the first system's median is better than the second's, per figure."""
    pairs = [
        (_median_figures(rows, table, epsilon, one), _median_figures(rows, table, epsilon, other))
        for table, epsilon in _cells(rows)
    ]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    if not pairs:
        return ""
    counts = {name: sum(_better(name, a, b) for a, b in pairs) for name in BEST}
    told = [f"{TITLES[name]} {count} of {len(pairs)}" for name, count in counts.items()]
    ratios = [b["fit_cpu_s"] / a["fit_cpu_s"] for a, b in pairs]
    return (
        f"{one} better than {other} where both finished: {', '.join(told)}. "
        f"{other}'s CPU seconds over {one}'s: {min(ratios):.1f} to {max(ratios):.1f}."
    )


def _better(name: str, ours: dict[str, float], theirs: dict[str, float]) -> bool:
    best = BEST[name](ours[name], theirs[name])
    return ours[name] == best != theirs[name]


def _median_figures(
    rows: Iterable[Row], table: str, epsilon: float, system: str
) -> dict[str, float]:
    chosen = _of(_block_rows(rows, table, epsilon), system)
    done = [row for row in chosen if row["status"] == DONE]
    if not done:
        return {}
    return {name: statistics.median(row[name] for row in done) for name in (*BEST, *COSTS)}


def _cells(rows: Iterable[Row]) -> list[tuple[str, float]]:
    """Tables in the order of the results, epsilons ascending."""
    tables = list(dict.fromkeys(row["table"] for row in rows))
    found = {(row["table"], row["epsilon"]) for row in rows}
    return sorted(found, key=lambda cell: (tables.index(cell[0]), cell[1]))


def _block_rows(rows: Iterable[Row], table: str, epsilon: float) -> list[Row]:
    return [row for row in rows if (row["table"], row["epsilon"]) == (table, epsilon)]


def _of(rows: Iterable[Row], system: str) -> list[Row]:
    return [row for row in rows if row["system"] == system]


def _block(rows: Sequence[Row], table: str, epsilon: float) -> str:
    mine = _block_rows(rows, table, epsilon)
    systems = list(dict.fromkeys(row["system"] for row in mine))
    medians = {name: _median_figures(rows, table, epsilon, name) for name in systems}
    columns = ["system", "runs", *TITLES.values(), *COSTS.values(), "AIM's / its"]
    lines = [f"### {table}, epsilon {epsilon:g}", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for name in systems:
        lines += _lines(name, _of(mine, name), medians, len(columns))
    return "\n".join([*lines, *_floor(mine)])


def _lines(
    name: str, runs: list[Row], medians: dict[str, dict[str, float]], width: int
) -> list[str]:
    """A line of figures if any run finished, and a line for each way in which others failed."""
    done = [row for row in runs if row["status"] == DONE]
    lines = []
    if done:
        finished = [figures for figures in medians.values() if figures]
        cells = [name, str(len(done))]
        for figure, choose in BEST.items():
            best = choose(figures[figure] for figures in finished)
            cells.append(_cell([r[figure] for r in done], best=medians[name][figure] == best))
        cells += [_cell([r[cost] for r in done], digits=0) for cost in COSTS]
        lines.append("| " + " | ".join([*cells, _ratio(medians, name)]) + " |")
    failures = [_failure(row) for row in runs if row["status"] != DONE]
    for message in dict.fromkeys(failures):
        gaps = " |" * (width - 3)
        lines.append(f"| {name} | {failures.count(message)} | {message} |{gaps}")
    return lines


def _failure(row: Row) -> str:
    reached = f" ({row['reached']})" if row.get("reached") else ""
    return f"failed: {row['message']}{reached}".replace("|", "/")[:300]


def _ratio(medians: dict[str, dict[str, float]], name: str) -> str:
    rival = medians.get(RIVAL)
    return f"{rival['fit_cpu_s'] / medians[name]['fit_cpu_s']:.1f}" if rival else "-"


def _cell(values: list[float], *, best: bool = False, digits: int = 4) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    middle = f"**{middle}**" if best else middle
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _floor(rows: list[Row]) -> list[str]:
    done = [row for row in rows if row["status"] == DONE]
    if not done:
        return []
    floors = ", ".join(f"{title} {done[0][name]:.4f}" for name, title in FLOORS.items())
    real = done[0]["trtr_auc"]
    return ["", f"Held-out rows against the training rows: {floors}; AUC of real rows {real:.4f}."]
