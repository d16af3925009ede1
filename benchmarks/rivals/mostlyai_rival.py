"""TabularARGN of the package mostlyai-engine, with its DP-SGD.

The noise is set so that the settled number of epochs ends at epsilon by the package's own
accountant, with batches of the size that it would choose; it also stops when that epsilon is
passed. It cannot be given public categories, and its own protection of values would have to be
paid, so that is off: ranges and categories are read from the rows (a gift), and so is the loss on
a fifth of the rows by which it picks the best epoch. Its noise is not seeded.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mostlyai import engine
from mostlyai.engine.domain import DifferentialPrivacyConfig
from opacus.accountants.utils import get_noise_multiplier
from public_domain import NUMBERS, Watch, as_labels, read_job, read_rows, write_rows

TRAINED_PART = 0.8
"""Of the rows; the rest is for its validation."""
BATCHES = 64
"""An epoch, at least."""


def main() -> None:
    job, meta = read_job()
    settings = job["settings"]
    engine.set_random_state(job["seed"])
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        frame = read_rows(job, meta)
        for name, facts in meta["columns"].items():
            if facts["kind"] not in NUMBERS:
                frame[name] = as_labels(frame[name], facts)
        noise = fit(frame, meta, job, settings, Path(folder))
        watch.lap("fit")
        engine.generate(sample_size=job["rows"], workspace_dir=folder)
        drawn = pd.read_parquet(Path(folder) / "SyntheticData")
        write_rows(drawn, job, meta)
        watch.lap("sample")
    watch.say(noise_multiplier=noise)


def fit(
    frame: pd.DataFrame,
    meta: dict[str, Any],
    job: dict[str, Any],
    settings: dict[str, Any],
    folder: Path,
) -> float:
    """Train in the folder; returns the noise multiplier."""
    types = {
        name: "TABULAR_NUMERIC_AUTO" if facts["kind"] in NUMBERS else "TABULAR_CATEGORICAL"
        for name, facts in meta["columns"].items()
    }
    engine.split(frame, workspace_dir=folder, tgt_encoding_types=types)
    engine.analyze(value_protection=False, workspace_dir=folder)
    engine.encode(workspace_dir=folder)
    trained, epochs = int(len(frame) * TRAINED_PART), settings["epochs"]
    batch = 2 ** max(3, int(math.log2(trained / BATCHES)))
    steps = max(1, trained // batch)
    noise = 1.001 * get_noise_multiplier(
        target_epsilon=job["epsilon"],
        target_delta=job["delta"],
        sample_rate=1 / (steps + 1),
        epochs=epochs,
        accountant="rdp",
    )
    privacy = DifferentialPrivacyConfig(
        max_epsilon=job["epsilon"], delta=job["delta"], noise_multiplier=noise
    )
    engine.train(
        max_epochs=epochs,
        batch_size=batch,
        differential_privacy=privacy,
        device="cpu",
        workspace_dir=folder,
    )
    return noise


if __name__ == "__main__":
    main()
