"""What was measured, as a model folder keeps it: facts in JSON, tables as tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from dpsynth.generators.base import Layout
from dpsynth.refinement.measured import Measured, cut_tables

MEASURED = "measured.safetensors"
_TABLES = "tables"


def measured_facts(measured: Measured) -> dict[str, float]:
    """What is neither in the layout nor in the tables."""
    return {"one_way_std": measured.one_way_std, "std": measured.std}


def measured_tables(measured: Measured) -> bytes:
    """The noisy tables, one after the other, as float64."""
    flat = np.concatenate([np.zeros(0), *(table.ravel() for table in measured.tables)])
    return save({_TABLES: torch.from_numpy(flat)})


def measured_from(
    facts: Mapping[str, Any] | None, tables: bytes | None, layout: Layout
) -> Measured | None:
    """What `measured_facts` and `measured_tables` wrote, with the model's layout.

    Raises:
        ValueError: one of them is missing, or they do not fit together.
    """
    if (facts is None) != (tables is None):
        raise ValueError(f"{MEASURED} and model.json do not belong together")
    if facts is None or tables is None:
        return None
    pairs = layout.pairs or ()
    values = load(tables)[_TABLES].to(torch.float64).numpy()
    cells = sum(layout.sizes[i] * layout.sizes[j] for i, j in pairs)
    if values.shape != (cells,):
        raise ValueError(f"{MEASURED} has shape {values.shape}, the pairs have {cells} cells")
    return Measured(
        rows=max(layout.rows, 1.0),
        one_way=layout.one_way,
        one_way_std=float(facts["one_way_std"]),
        pairs=pairs,
        tables=cut_tables(values, pairs, layout.sizes),
        std=float(facts["std"]),
    )
