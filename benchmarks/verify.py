"""How long `dpsynth verify` takes on a bundle of 100,000 rows and 15 columns, and its memory.

    python benchmarks/verify.py [ROWS]

The table is made up; statement, evidence, decision, report and documents are real ones, written by
`write_bundle`. Verified in a fresh process, so that loading the package counts too.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from audits import suite
from audits.result import Claim
from dpsynth.privacy.events import GaussianEvent
from dpsynth.privacy.ledger import Charge
from dpsynth.privacy.statement import make_statement
from dpsynth.release.bundle import BundleContents, write_bundle
from dpsynth.release.domain import learned_fields
from dpsynth.release.evidence import AUDIT_KINDS, audit_frame
from dpsynth.release.gate import decide
from dpsynth.release.policy import parse_policy, policy_hash
from dpsynth.release.report.columns import column_shares
from dpsynth.schema import Column, Schema
from dpsynth.table import Table

ROWS = 100_000
AUDITED = 2_000
CLAIM = Claim(epsilon=1.0, delta=1e-5)
#: Allows what was audited so briefly, so that the table and its metadata lie in `public/`.
POLICY = 'name = "benchmark"\naudience = "development"\nmax_epsilon = 3.0\n'
WORDS = tuple(f"value {number}" for number in range(40))
CHILD = """
import json, resource, sys, time
start = time.perf_counter()
from dpsynth.release.verify import verify_bundle
loaded = time.perf_counter()
outcome = verify_bundle(sys.argv[1])
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
failures = [check.message for check in outcome.failures]
print(json.dumps([loaded - start, done - loaded, peak, len(outcome.checks), failures]))
"""


def make_schema() -> Schema:
    """Fifteen columns: five whole numbers, four others, four categories, one date, one boolean."""
    return Schema(
        columns=(
            *(Column(name=f"count_{i}", kind="integer", lower=0, upper=999) for i in range(5)),
            *(
                Column(name=f"amount_{i}", kind="numeric", lower=0.0, upper=1e4, decimals=2)
                for i in range(4)
            ),
            *(Column(name=f"word_{i}", kind="categorical", categories=WORDS) for i in range(4)),
            Column(name="day", kind="datetime", lower="2000-01-01", upper="2025-12-31"),
            Column(name="member", kind="boolean"),
        )
    )


def make_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows within that domain, one cell in twenty of the first column missing."""
    data: dict[str, object] = {}
    for i in range(5):
        data[f"count_{i}"] = pd.array(rng.integers(0, 1000, rows), dtype="Int64")
    for i in range(4):
        data[f"amount_{i}"] = np.round(rng.gamma(2.0, 100.0, rows).clip(0, 1e4), 2)
    for i in range(4):
        data[f"word_{i}"] = rng.choice(WORDS, rows)
    days = pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9_000, rows), unit="D")
    frame = pd.DataFrame({**data, "day": days.strftime("%Y-%m-%d"), "member": rng.random(rows) < 1})
    frame.loc[rng.random(rows) < 0.05, "count_0"] = pd.NA
    return frame


def make_contents(rows: int) -> BundleContents:
    """Everything that a bundle is made from; the audit runs on few real rows."""
    rng = np.random.default_rng(7)
    schema, synthetic = make_schema(), make_table(rows, rng)
    train, holdout = make_table(AUDITED, rng), make_table(AUDITED // 4, rng)
    policy = parse_policy(POLICY)
    shares = {"rows": 0.1, **{f"values: {name}": 0.9 / 15 for name in schema.names}}
    statement = make_statement(
        epsilon=CLAIM.epsilon,
        delta=CLAIM.delta,
        charges=[
            Charge(label, GaussianEvent(noise_multiplier=1.0 / (0.24 * math.sqrt(share))))
            for label, share in shares.items()
        ],
        privacy_unit="row",
        max_rows_per_unit=1,
        sampling="full batch",
        noise_source="ChaCha20 seeded by the operating system",
        releasable=True,
        generator="autoregressive",
        clamping=(),
        unprotected=(f"column names: {', '.join(schema.names)}",),
        versions={"dpsynth": "0.1.0"},
        booking=None,
        policy_hash=policy_hash(policy),
    )
    audit = suite.run(
        *(audit_frame(Table.from_frame(t), schema) for t in (train, holdout, synthetic)),
        kinds={column.name: AUDIT_KINDS[column.kind] for column in schema.columns},
        claim=CLAIM,
        attacks=["closest_record"],
        checks=["copies"],
    )
    return BundleContents(
        synthetic=synthetic,
        rows=rows,
        schema=schema,
        learned=learned_fields(schema, None),
        statement=statement,
        audit=audit,
        decision=decide(statement, audit, policy),
        policy_text=POLICY,
        model_files={"model.safetensors": rng.bytes(4 * 2**20)},
        holdout_rows=range(AUDITED // 4),
        columns=column_shares(schema, synthetic, train),
    )


def main() -> None:
    """Write the bundle, verify it in a fresh process, and print what it took."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as place:
        bundle = write_bundle(Path(place) / "bundle", make_contents(rows))
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(bundle)], capture_output=True, text=True, check=True
        )
    load, verify, peak, checks, failures = json.loads(done.stdout)
    print(f"rows {rows}, columns {len(make_schema().columns)}, checks {checks}")
    print(f"load {load:.2f} s, verify {verify:.2f} s, peak memory {peak:.0f} MiB")
    if failures:
        raise SystemExit(f"not verified: {failures}")


if __name__ == "__main__":
    main()
