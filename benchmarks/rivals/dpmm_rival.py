"""AIM and MST of the package dpmm.

The package bins numeric columns itself (PrivTree) within the public bounds. The budget of the bins
is the one it ships with and is taken out of epsilon, so that the sum is epsilon. Columns with
declared categories, and integer columns of few possible values, are given as public categories,
"missing" among them. Other missing values go the package's own way: a column of flags, whose
presence it reads from the rows (a gift, as is the number of rows).
"""

import time
from typing import Any

import pandas as pd
from dpmm.models.aim import AIM
from dpmm.pipelines import AIMPipeline, MSTPipeline
from public_domain import Watch, as_labels, labels, read_job, read_rows, write_rows

PIPELINES = {"aim": AIMPipeline, "mst": MSTPipeline}


def main() -> None:
    job, meta = read_job()
    settings = job["settings"]
    _say_rounds()
    watch = Watch()
    frame, domain = prepare(read_rows(job, meta), meta, settings["most_categories"])
    bins = settings["bins_epsilon"]
    size = {key: settings[key] for key in ("max_model_size",) if key in settings}
    pipeline = PIPELINES[job["system"]](
        epsilon=job["epsilon"] - bins, delta=job["delta"], proc_epsilon=bins, n_jobs=1, **size
    )
    pipeline.fit(frame, domain=domain, random_state=job["seed"])
    watch.lap("fit")
    drawn = pipeline.generate(n_records=job["rows"], random_state=job["seed"])
    write_rows(drawn, job, meta)
    watch.lap("sample")
    watch.say()


def prepare(
    frame: pd.DataFrame, meta: dict[str, Any], most: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows in the package's types, and the public domain in its words."""
    domain: dict[str, Any] = {}
    for name, facts in meta["columns"].items():
        known = labels(facts, most)
        if known is not None:
            frame[name] = as_labels(frame[name], facts)
            domain[name] = {"categories": known}
            continue
        domain[name] = {"lower": facts["lower"], "upper": facts["upper"]}
        if facts["kind"] == "integer" and frame[name].notna().all():
            frame[name] = frame[name].round().astype(int)
    return frame, domain


def _say_rounds() -> None:
    """Print a line per round of AIM, so that a run stopped at its limit says how far it was."""
    choose, begun, done = AIM.worst_approximated, time.perf_counter(), [0]

    def counted(self: AIM, *arguments: Any, **named: Any) -> Any:
        done[0] += 1
        most = self.rounds or 16 * len(self._domain)
        spent = time.perf_counter() - begun
        print(f"round {done[0]} of at most {most}, {spent:.0f} s", flush=True)
        return choose(self, *arguments, **named)

    AIM.worst_approximated = counted


if __name__ == "__main__":
    main()
