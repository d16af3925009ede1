"""Alarm rates of every bound and test where the truth is known, and the power of one-run bounds.

    python benchmarks/calibration.py [--seeds 2000] [--markdown docs/calibration.md] [--json OUT]

A procedure alarms when it says more than the truth: a p-value at most its level without a leak, a
lower bound above the true figure, an interval's end on the wrong side. Each procedure draws its own
data from its name and the seed, so adding one leaves the others' figures alone. Of some seventy
procedures a few exceed two standard errors by luck: one that does is measured again on ten times as
many fresh seeds, both figures are shown, and the second one counts. The rules marked naive are what
other tools do; they are here to show that this benchmark can see a bad rule.
"""

import argparse
import json
import math
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from calibration_procedures import ALPHA, Procedure, procedures
from calibration_worlds import DELTA, shifted

from audits.statistics import (
    canary_mu,
    gaussian_epsilon,
    gaussian_mu,
    guess,
    one_run_epsilon,
    one_run_mu,
)

MARKERS = ("<!-- calibration: begin -->", "<!-- calibration: end -->")
POWER_SEEDS_EACH = 20
REPEATED = 10


def main() -> None:
    arguments = _arguments()
    alarms = [_alarm(procedure, arguments.seeds) for procedure in procedures()]
    draws = max(1, arguments.seeds // POWER_SEEDS_EACH)
    power = [_power(epsilon, m, draws) for m in (1_000, 10_000) for epsilon in (1, 2, 4, 8)]
    text = f"{alarm_table(alarms)}\n\n{power_table(power)}"
    if arguments.markdown:
        between_markers(arguments.markdown, text)
    if arguments.json:
        result = {"seeds": arguments.seeds, "alarms": alarms, "power": power}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print(text)
    broken = [row for row in alarms if row["kept"] == row["naive"]]
    for row in broken:
        print(f"unexpected: {row['name']} on {row['data']}: {row['rate']:.4f}", file=sys.stderr)
    sys.exit(1 if broken else 0)


def rate(procedure: Procedure, seeds: int, *, first: int = 0) -> float:
    """Share of the seeds first, first + 1, ... in which the procedure alarms."""
    key = zlib.crc32(f"{procedure.name}|{procedure.data}".encode())
    alarms = [procedure.alarms(np.random.default_rng([key, first + i])) for i in range(seeds)]
    return sum(alarms) / seeds


def allowed(level: float, seeds: int) -> float:
    """The level and two standard errors of a share measured on this many seeds."""
    return level + 2.0 * math.sqrt(level * (1.0 - level) / seeds)


def _alarm(procedure: Procedure, seeds: int) -> dict[str, Any]:
    share, again = rate(procedure, seeds), None
    kept = share <= allowed(procedure.level, seeds)
    if not kept:
        again = rate(procedure, REPEATED * seeds, first=seeds)
        kept = again <= allowed(procedure.level, REPEATED * seeds)
    row = {
        "name": procedure.name,
        "data": procedure.data,
        "level": procedure.level,
        "rate": share,
        "allowed": round(allowed(procedure.level, seeds), 6),
        "again": again,
        "kept": kept,
        "naive": procedure.naive,
        "seeds": seeds,
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _power(epsilon: float, canaries: int, draws: int) -> dict[str, Any]:
    """Mean bounds of three methods on scores N(mu in, 1), mu from (epsilon, delta)."""
    mu, each = gaussian_mu(epsilon, delta=DELTA), canaries // 10
    shown = np.array([_shown(mu, canaries, each, seed) for seed in range(draws)])
    above = float((shown[:, 2] > mu).mean())
    return {
        "epsilon": epsilon,
        "mu": mu,
        "canaries": canaries,
        "one_run_epsilon": float(shown[:, 0].mean()),
        "one_run_mu_epsilon": float(np.mean([_epsilon(value) for value in shown[:, 1]])),
        "canary_mu_epsilon": float(np.mean([_epsilon(value) for value in shown[:, 2]])),
        "canary_mu": float(shown[:, 2].mean()),
        "canary_mu_share": float(shown[:, 2].mean()) / mu,
        "canary_mu_above": above,
        "draws": draws,
    }


def _shown(mu: float, canaries: int, each: int, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng([canaries, round(1000 * mu), seed])
    scores, included = shifted(mu)(rng, canaries)
    guesses = guess(scores, included, k_plus=each, k_minus=each, rng=rng)
    return (
        one_run_epsilon(guesses, delta=DELTA, alpha=ALPHA),
        one_run_mu(guesses, alpha=ALPHA),
        canary_mu(scores, included, alpha=ALPHA),
    )


def _epsilon(mu: float) -> float:
    return gaussian_epsilon(mu, delta=DELTA)


def alarm_table(rows: list[dict[str, Any]]) -> str:
    """One line a procedure; the naive ones say so."""
    lines = [
        f"Share of {rows[0]['seeds']:,} seeds in which the procedure says more than the truth; "
        "kept: at most the promised level and two standard errors.",
        "",
        "| procedure | data | promised | measured | again, fresh seeds | kept |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"*naive:* {row['name']}" if row["naive"] else row["name"]
        again = "" if row["again"] is None else f"{row['again']:.4f}"
        measured = f"{row['rate']:.4f} | {again} | {'yes' if row['kept'] else '**no**'}"
        lines.append(f"| {name} | {row['data']} | {row['level']:g} | {measured} |")
    return "\n".join(lines)


def power_table(rows: list[dict[str, Any]]) -> str:
    """What each method shows of an ideal attacker's epsilon."""
    lines = [
        f"Mean of {rows[0]['draws']} draws, scores N(mu in, 1), delta {DELTA:g}, alpha {ALPHA:g}; "
        f"guesses: a tenth of the canaries in, a tenth out.",
        "",
        "| canaries | true epsilon (mu) | one-run epsilon | one-run mu as epsilon "
        "| canary mu as epsilon | canary mu | share of mu | draws above mu |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['canaries']:,} | {row['epsilon']:g} ({row['mu']:.3f}) "
            f"| {row['one_run_epsilon']:.2f} | {row['one_run_mu_epsilon']:.2f} "
            f"| {row['canary_mu_epsilon']:.2f} | {row['canary_mu']:.3f} "
            f"| {100 * row['canary_mu_share']:.0f} % | {100 * row['canary_mu_above']:.0f} % |"
        )
    return "\n".join(lines)


def between_markers(path: Path, text: str) -> None:
    """Replace what stands between the markers of a document, which it must have."""
    before, rest = path.read_text().split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    path.write_text(f"{before}{MARKERS[0]}\n\n{text}\n\n{MARKERS[1]}{after}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--markdown", type=Path, help="document whose marked part is rewritten")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
