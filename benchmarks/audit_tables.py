"""What benchmarks/audit_rates.py saw, as tables in a page and as promises kept or broken."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit_worlds import COPIES, POWER, WORLDS, Sizes

TASKS = ("rates", "power", "copies", "speed")
ALPHA = 0.05
PROMISED_POWER = 0.95
# Fewer runs say nothing of a rate near 95 %.
MIN_STATED = 100
TARGET_SECONDS = 180.0
WHOLE = "**the whole audit**"
ANY = "any of "
Line = dict[str, Any]
Shown = tuple[str, list[str]]


def rates(lines: Sequence[Line], again: Sequence[Line] = ()) -> Shown:
    """Alarms without a leak, by finding and of the whole audit, and the promises broken.

    Args:
        lines: of the task "rates", the same number for each world.
        again: of fresh seeds, for worlds in `exceeded`; where there are any, they decide.
    """
    worlds = list(WORLDS)
    table = [
        f"{len(lines) // len(worlds):,} seeds of each kind of table. Rows of train / holdout / "
        f"synthetic: {_all_sizes(WORLDS)}. Share of seeds with an alarm; kept: at most what is "
        "promised and two standard errors.",
        "",
        f"| finding | promised | {' | '.join(worlds)} | kept |",
        f"|---|---|{'---|' * len(worlds)}---|",
    ]
    broken = []
    for name in _judged(lines):
        cells = [_cell(lines, again, name, world) for world in worlds]
        shown = " | ".join(text for text, _ in cells)
        kept = all(kept for _, kept in cells)
        table.append(f"| {name} | {_level(lines, name):.4f} | {shown} | {_yes(kept)} |")
        broken += [
            f"{name} alarms without a leak on {world}: {text}"
            for world, (text, kept) in zip(worlds, cells, strict=True)
            if not kept
        ]
    quiet = [_share(_of(lines, world), WHOLE, "none") for world in worlds]
    table.append(f'| *says "nothing found"* | | {" | ".join(f"{x:.2f}" for x in quiet)} | |')
    return "\n".join(table), broken


def exceeded(lines: Sequence[Line]) -> list[str]:
    """Worlds in which some share of alarms is above what is promised and two standard errors."""
    names = _judged(lines)
    return [
        world for world in WORLDS if not all(_cell(lines, (), name, world)[1] for name in names)
    ]


def _judged(lines: Sequence[Line]) -> list[str]:
    """All findings, the groups of several that share one rate, and the whole audit."""
    members: dict[str, set[str]] = {}
    for line in lines:
        for name, finding in line["findings"].items():
            members.setdefault(finding["group"], set()).add(name)
    shared = [f"{ANY}{group}" for group, names in members.items() if len(names) > 1]
    return [*_names(lines), *shared, WHOLE]


def _cell(lines: Sequence[Line], again: Sequence[Line], name: str, world: str) -> tuple[str, bool]:
    """Share of alarms of one finding in one world, as text, and whether the promise is kept."""
    level, here = _level(lines, name), _of(lines, world)
    if not any(_verdicts(line, name) for line in here):
        return "", True
    share = _share(here, name, "leak")
    if share <= allowed(level, len(here)):
        return f"{share:.4f}", True
    fresh = _of(again, world)
    if not fresh:
        return f"{share:.4f}", False
    second = _share(fresh, name, "leak")
    return f"{share:.4f}, again {second:.4f}", second <= allowed(level, len(fresh))


def _level(lines: Sequence[Line], name: str) -> float:
    """False-alarm rate that is promised: groups of tests share that of the audit evenly."""
    return ALPHA if name == WHOLE else ALPHA / max(line["groups"] for line in lines)


def power(lines: Sequence[Line]) -> Shown:
    """How often a leak as small as stated is seen, by finding, and the promises broken.

    Args:
        lines: of the task "power", the same number for each world.
    """
    table = [
        f"{len(lines) // len(POWER):,} seeds of each kind of table. Rows of train / holdout / "
        f"synthetic: {_all_sizes(POWER)}. Stated: clean audits in which the finding said that it "
        "would have noticed; share: mean of the copied share that it named; caught: alarms where "
        f"just that share was copied. Kept: at least {100 * PROMISED_POWER:.0f} % less two "
        f"standard errors; not judged from fewer than {MIN_STATED} runs.",
        "",
        "| tables | finding | stated | share | caught | kept |",
        "|---|---|---|---|---|---|",
    ]
    broken = []
    for world in POWER:
        here = _of(lines, world)
        for name in _names(here):
            found = [line["findings"][name] for line in here if name in line["findings"]]
            share = sum(item["stated"] for item in found) / len(found)
            caught = sum(item["caught"] for item in found) / len(found)
            kept = caught >= 1.0 - allowed(1.0 - PROMISED_POWER, len(found))
            told = _yes(kept) if len(found) >= MIN_STATED else ""
            table.append(
                f"| {world} | {name} | {len(found)} | {100 * share:.1f} % | {caught:.3f} | {told} |"
            )
            if not kept and told:
                broken.append(f"{name} misses what it calls detectable on {world}: {caught:.3f}")
    return "\n".join(table), broken


def copies(lines: Sequence[Line]) -> Shown:
    """Verdicts on verbatim copies of seven binary columns; none may be "none".

    Args:
        lines: of the task "copies", the same number for each size.
    """
    table = [
        f"{len(lines) // len(COPIES):,} seeds of each size.",
        "",
        "| tables | leak | inconclusive | nothing found | kept |",
        "|---|---|---|---|---|",
    ]
    broken = []
    for size in COPIES:
        here = _of(lines, size)
        counts = [_count(here, WHOLE, verdict) for verdict in ("leak", "inconclusive", "none")]
        kept = counts[2] == 0
        table.append(f"| {size} | {' | '.join(map(str, counts))} | {_yes(kept)} |")
        if not kept:
            broken.append(f"a verbatim copy passes: {size}, {counts[2]} of {len(here)}")
    return "\n".join(table), broken


def speed(line: Line) -> Shown:
    """Seconds by step of one audit, the slowest first, and whether the target is met."""
    seconds = line["seconds"]
    table = [
        f"{line['rows']:,} rows in each of train, holdout and synthetic, {line['columns']} columns "
        f"({line['table']}), {line['threads']} threads: {seconds:.0f} s (target "
        f"{TARGET_SECONDS:.0f} s), peak memory {line['peak_mib']:.0f} MiB.",
        "",
        "| step | seconds |",
        "|---|---|",
    ]
    steps = sorted(line["steps"].items(), key=lambda step: -step[1])
    table += [f"| {name} | {taken:.1f} |" for name, taken in steps]
    slow = [] if seconds <= TARGET_SECONDS else [f"the full suite takes {seconds:.0f} s"]
    return "\n".join(table), slow


def allowed(level: float, seeds: int) -> float:
    """The level and two standard errors of a share measured on this many seeds."""
    return level + 2.0 * math.sqrt(level * (1.0 - level) / seeds)


def between_markers(path: Path, task: str, text: str) -> None:
    """Replace what stands between the task's markers in a document, which it must have."""
    begin, end = f"<!-- {task}: begin -->", f"<!-- {task}: end -->"
    before, rest = path.read_text().split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _of(lines: Sequence[Line], world: str) -> list[Line]:
    return [line for line in lines if line["world"] == world]


def _names(lines: Sequence[Line]) -> list[str]:
    """Findings in the order of the audit, of all lines."""
    return list(dict.fromkeys(name for line in lines for name in line["findings"]))


def _count(lines: Sequence[Line], name: str, verdict: str) -> int:
    """Lines in which this finding, some finding of this group, or the whole audit says so."""
    return sum(verdict in _verdicts(line, name) for line in lines)


def _verdicts(line: Line, name: str) -> list[str]:
    if name == WHOLE:
        return [line["verdict"]]
    group = name.removeprefix(ANY) if name.startswith(ANY) else None
    return [
        finding["verdict"]
        for found, finding in line["findings"].items()
        if (found == name if group is None else finding["group"] == group)
    ]


def _share(lines: Sequence[Line], name: str, verdict: str) -> float:
    return _count(lines, name, verdict) / len(lines)


def _all_sizes(worlds: dict[str, tuple[Any, Sizes]]) -> str:
    return "; ".join(
        f"{world} {' / '.join(f'{rows:,}' for rows in sizes)}"
        for world, (_, sizes) in worlds.items()
    )


def _yes(kept: bool) -> str:
    return "yes" if kept else "**no**"
