"""DPCTGAN of the package smartnoise-synth, at the sizes and the noise it ships with.

It stops after the first epoch at whose end its accountant is past epsilon (a gift). The public
domain is given by fitting its encoder on made rows that hold every public category; numbers are
scaled by their public bounds. Its sampler of conditions reads the frequencies of the categories
from the rows, without a charge (a gift), and its noise is not seeded.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from public_domain import Watch, as_labels, labels, read_job, read_rows, write_rows
from snsynth.pytorch.nn.dpctgan import DPCTGAN
from snsynth.transform.chain import ChainTransformer
from snsynth.transform.label import LabelTransformer
from snsynth.transform.minmax import MinMaxTransformer
from snsynth.transform.onehot import OneHotEncoder
from snsynth.transform.table import TableTransformer


def main() -> None:
    job, meta = read_job()
    np.random.seed(job["seed"])  # noqa: NPY002 - the package draws from it
    torch.manual_seed(job["seed"])
    most = job["settings"]["most_categories"]
    watch = Watch()
    frame = read_rows(job, meta)
    for name, facts in meta["columns"].items():
        if labels(facts, most) is not None:
            frame[name] = as_labels(frame[name], facts)
    model = DPCTGAN(epsilon=job["epsilon"], delta=job["delta"], cuda=False, verbose=False)
    model.fit(frame, transformer=encoder(meta, most))
    watch.lap("fit")
    write_rows(pd.DataFrame(model.sample(job["rows"]), columns=list(frame.columns)), job, meta)
    watch.lap("sample")
    watch.say(epsilon_spent=float(model.epsilon_list[-1]), epochs=len(model.epsilon_list))


def encoder(meta: dict[str, Any], most: int) -> TableTransformer:
    """The package's encoder, fitted on public facts alone."""
    known = {name: labels(facts, most) for name, facts in meta["columns"].items()}
    table = TableTransformer([_part(meta["columns"][name], known[name]) for name in known])
    rows = max(len(values) for values in known.values() if values is not None)
    made = {
        name: [meta["columns"][name]["lower"]] * rows
        if values is None
        else [values[i % len(values)] for i in range(rows)]
        for name, values in known.items()
    }
    table.fit(pd.DataFrame(made))
    return table


def _part(facts: dict[str, Any], known: list[str] | None) -> Any:
    if known is not None:
        return ChainTransformer([LabelTransformer(nullable=False), OneHotEncoder()])
    return MinMaxTransformer(
        lower=float(facts["lower"]), upper=float(facts["upper"]), nullable=facts["missing"]
    )


if __name__ == "__main__":
    main()
