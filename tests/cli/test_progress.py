"""Progress bars: one for each stage, full at its end, on standard error alone."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.progress import Progress

from dpsynth import console
from dpsynth.release.evidence import AuditOptions, audit_tables
from dpsynth.schema import Column, Schema
from dpsynth.table import Table


def _tables() -> tuple[Table, Table, Table]:
    rng = np.random.default_rng(11)
    frames = [pd.DataFrame({"age": rng.integers(0, 90, 80), "n": rng.random(80)}) for _ in range(3)]
    first, second, third = (Table.from_frame(frame) for frame in frames)
    return first, second, third


SCHEMA = Schema(columns=(Column(name="age", kind="integer"), Column(name="n", kind="numeric")))


def test_an_audit_is_one_bar_that_is_full_at_the_end() -> None:
    told: list[tuple[str, int, int]] = []
    progress = Progress(console=Console(file=io.StringIO()), disable=True)
    shown = console.Bars(progress)

    def tell(label: str, done: int, total: int) -> None:
        told.append((label, done, total))
        shown(label, done, total)

    shown("reading", 0, 1)
    options = AuditOptions(attacks=["closest_record", "linkability"], checks=["copies"])
    audit_tables(_tables(), schema=SCHEMA, options=options, progress=tell)
    labels = [label for label, _, _ in told]
    assert all(label.startswith("audit: ") for label in labels)
    for name in ("closest_record", "linkability", "copies"):
        assert any(name in label for label in labels), name
    done = [count for _, count, _ in told]
    assert done == sorted(done)
    assert len({total for _, _, total in told}) == 1
    assert told[-1][1] == told[-1][2]
    shown.close()
    assert [task.finished for task in progress.tasks] == [True, True]
    assert [task.description for task in progress.tasks] == ["reading", "audit"]


def test_bars_are_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        paper = io.StringIO()
        monkeypatch.setattr(console, "ERR", Console(file=paper, force_terminal=terminal, width=80))
        with console.bars() as shown:
            shown("audit: copies", 1, 2)
        assert ("audit" in paper.getvalue()) == terminal
