"""An earlier release beside the tables of an audit: what the checks of lineage look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from audits.records import Layout, Records, encode, encode_onto


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Three tables on a layout of their own, whose ranges and labels are those of the release.

    Attributes:
        previous: rows of the earlier release, the generation before.
        train: rows the generator was trained on.
        synthetic: rows it made.
    """

    previous: Records
    train: Records
    synthetic: Records


def encode_earlier(
    previous: pd.DataFrame,
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    layout: Layout,
    ignore: Sequence[str] = (),
) -> Earlier:
    """Read an earlier release as the tables of the audit were read.

    A layout of its own keeps labels that only the earlier release has: they are what may be lost.

    Args:
        previous, train, synthetic: tables of the same columns.
        layout: of the audit, whose kinds hold here too.
        ignore: columns to leave out.

    Raises:
        AuditInputError: columns of `previous` differ or repeat, no rows, or a value that does not
            fit its column's kind.
    """
    named = previous.set_axis([str(name) for name in previous.columns], axis=1)
    left = [name for name in named.columns if name not in set(map(str, ignore))]
    encode_onto(layout, named[left], role="previous")  # for messages that name the right table
    kinds = dict(zip(layout.names, layout.kinds, strict=True))
    frames = (
        table.set_axis([str(name) for name in table.columns], axis=1)[list(layout.names)]
        for table in (named, train, synthetic)
    )
    read = encode(*frames, kinds=kinds)
    # Row order must not matter, so every seeded draw starts from one order.
    return Earlier(
        previous=read.train.ordered(),
        train=read.holdout.ordered(),
        synthetic=read.synthetic.ordered(),
    )
