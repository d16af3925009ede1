"""The tables that the utility benchmark makes itself."""

import importlib
import itertools
import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def tables():
    return importlib.import_module("utility_tables")


def test_the_parity_table_has_its_parities_and_no_pair_that_tells(tables) -> None:
    frame = tables.parity(20_000, np.random.default_rng(0))
    assert frame.shape == (20_000, 12)
    assert (frame["ab"] == (frame["a"] + frame["b"]) % 2).all()
    assert (frame["bc"] == (frame["b"] + frame["c"]) % 2).all()
    assert (frame["cd"] == (frame["c"] + frame["d"]) % 2).all()
    assert (frame["abc"] == (frame["a"] + frame["b"] + frame["c"]) % 2).all()
    assert (frame["bcd"] == (frame["b"] + frame["c"] + frame["d"]) % 2).all()
    wrong = (frame["target"] != frame[["a", "b", "c", "d"]].sum(axis=1) % 2).mean()
    assert wrong == pytest.approx(0.05, abs=0.01)
    correlations = frame.corr().to_numpy()[np.triu_indices(12, 1)]
    assert np.abs(correlations).max() < 0.035  # five standard errors


def test_a_made_table_is_always_the_same_and_complete(tables, tmp_path) -> None:
    cache = importlib.import_module("utility_cache").Cache(tmp_path)
    table = tables.made("parity", cache)
    first = table.train.read_bytes(), table.test.read_bytes(), table.meta.read_bytes()
    table = tables.made("parity", cache)
    assert first == (table.train.read_bytes(), table.test.read_bytes(), table.meta.read_bytes())
    train, test = pd.read_csv(table.train), pd.read_csv(table.test)
    assert (len(train), len(test), table.rows()) == (20_000, 5_000, 20_000)
    assert not train.head(5_000).equals(test)
    meta = json.loads(table.meta.read_text())
    assert list(meta["columns"]) == list(train.columns)
    assert meta["target"] == table.target == "target"


def test_a_folder_without_a_file_is_refused(tables, table_folder) -> None:
    (table_folder / "meta.json").unlink()
    with pytest.raises(SystemExit, match=r"tiny: no meta\.json; a table is a folder with"):
        tables.BenchmarkTable(table_folder)


def test_rivals_get_small_integers_and_missing_cells_as_categories(monkeypatch, tmp_path) -> None:
    """What a rival's runner is told of a column: public facts, never the rows."""
    folder = importlib.import_module("utility_systems").RIVALS
    monkeypatch.syspath_prepend(folder)
    domain = importlib.import_module("public_domain")
    integer = {"kind": "integer", "lower": 1, "upper": 3, "missing": True}
    assert domain.labels(integer, most=32) == ["1", "2", "3", domain.MISSING]
    assert domain.labels(integer | {"upper": 99}, most=32) is None
    assert domain.labels(integer | {"kind": "numeric"}, most=32) is None
    known = {"kind": "categorical", "categories": [7, 8], "missing": False}
    assert domain.labels(known, most=32) == ["7", "8"]
    meta = {"columns": {"n": integer, "k": known | {"missing": True}}}
    (tmp_path / "train.csv").write_text("n,k\n1,7\n,8\n3,\n")
    frame = domain.read_rows({"train": tmp_path / "train.csv"}, meta)
    told = {name: domain.as_labels(frame[name], meta["columns"][name]) for name in frame}
    assert [*told["n"], *told["k"]] == ["1", domain.MISSING, "3", "7", "8", domain.MISSING]
    domain.write_rows(pd.DataFrame(told), {"synthetic": tmp_path / "out.csv"}, meta)
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "train.csv").read_text()


def test_every_runner_and_requirements_file_is_there() -> None:
    systems = importlib.import_module("utility_systems")
    files = [(s.runner, s.requirements) for s in systems.ALL.values()]
    for name in filter(None, itertools.chain(*files)):
        assert (systems.RIVALS / name).is_file(), name
    for system in systems.ALL.values():
        pins = (
            (systems.RIVALS / system.requirements).read_text().split()
            if system.requirements
            else []
        )
        assert all("==" in pin for pin in pins), system.name
        assert system.about().endswith(system.remark)
