"""One of dpsynth's generators, trained privately or without privacy, and what its monitor saw.

Run like any rival. The settings say `generator` and `private`; without privacy epsilon is not used.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from own import declared
from public_domain import Watch, read_job

from dpsynth import Synthesizer
from dpsynth.fitted import FittedModel
from dpsynth.non_private import fit_non_private
from dpsynth.schema import Schema
from dpsynth.writing import write_frame


def main() -> None:
    # Rows are data and need no gradient; torch remarks on that for Opacus's hooks.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    job, meta = read_job()
    schema = declared(meta)
    rng = np.random.default_rng(job["seed"])
    watch = Watch()
    if job["settings"]["private"]:
        model = _private(job, schema)
        watch.lap("fit")
        frame = model.sample(job["rows"], rng=rng)
        seen = said(model.watched)
    else:
        bare = fit_non_private(
            job["train"], schema=schema, generator=job["settings"]["generator"], rng=rng
        )
        watch.lap("fit")
        frame = bare.sample(job["rows"], rng=rng)
        seen = said(None)
    write_frame(frame, job["synthetic"], overwrite=True)
    watch.lap("sample")
    watch.say(**seen)


def _private(job: dict[str, Any], schema: Schema) -> FittedModel:
    settings = Synthesizer(
        epsilon=job["epsilon"],
        delta=job["delta"],
        schema=schema,
        generator=job["settings"]["generator"],
    )
    return settings.fit(job["train"])


def said(watched: Mapping[str, Any] | None) -> dict[str, Any]:
    """The monitor's last words: alarms at the released look, looks taken and the best step."""
    if watched is None:
        return {"alarms": None, "collapse": None, "looks": None, "best_step": None}
    released = watched["released"]
    return {
        "alarms": list(released["alarms"]),
        "collapse": list(released["collapse"]),
        "looks": len(watched["readings"]),
        "best_step": watched["best_step"],
    }


if __name__ == "__main__":
    main()
