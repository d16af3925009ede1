"""Audit a table of dpsynth, and the same table with copied training rows, on real data.

The rows of all given files are pooled and shuffled; half train the generator, half are held out.

    python benchmarks/audit_example.py ADULT/train.csv ADULT/test.csv --rows 20000 --copied 0.1
"""

import argparse
import time
from pathlib import Path

import pandas as pd

import audits
from audits.report import write_html
from dpsynth import Synthesizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path, help="CSV files of one source")
    parser.add_argument("--rows", type=int, default=20_000, help="of train, and of the holdout")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--copied", type=float, default=0.1, help="share replaced by copies")
    parser.add_argument("--reports", type=Path, help="folder for the two reports")
    options = parser.parse_args()
    pooled = pd.concat([pd.read_csv(path) for path in options.tables])
    pooled = pooled.sample(frac=1, random_state=1).reset_index(drop=True)
    train, holdout = pooled[: options.rows], pooled[options.rows : 2 * options.rows]
    model = Synthesizer(epsilon=options.epsilon, delta=options.delta).fit(train)
    made = model.sample(len(train), seed=1)
    copies = int(options.copied * len(train))
    claim = audits.Claim(epsilon=options.epsilon, delta=options.delta)
    for name, synthetic in (
        ("dpsynth", made),
        (f"{options.copied:.0%} copied", pd.concat([train[:copies], made[copies:]])),
    ):
        start = time.perf_counter()
        result = audits.run(train, holdout, synthetic, claim=claim, n_jobs=2)
        print(f"\n{name}: {result.verdict}, {time.perf_counter() - start:.0f} s")
        show(result)
        if options.reports:
            options.reports.mkdir(parents=True, exist_ok=True)
            write_html(result, options.reports / f"{name.replace(' ', '_')}.html")


def show(result: audits.AuditResult) -> None:
    for finding in result.findings:
        p_value = "" if finding.p_adjusted is None else f"p = {finding.p_adjusted:.2g}"
        print(f"  {finding.name:20} {finding.verdict:13} {p_value:12} {finding.reason[:110]}")


if __name__ == "__main__":
    main()
