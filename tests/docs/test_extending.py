"""The examples of docs/extending.md, installed by entry points, keep every contract."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import Tensor, nn

import audits
from audits import registry as attack_registry
from audits.records import Records, encode
from dpsynth import Column, Schema, Synthesizer
from dpsynth.generators import registry as generator_registry
from dpsynth.privacy.noise import seeded_noise
from dpsynth.training.options import TrainingOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def _example(kind: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (code,) = re.findall(rf"<!-- example: {kind} -->\n```python\n(.*?)^```$", PAGE, re.S | re.M)
    module = ModuleType(f"docs_example_{kind}")
    exec(compile(code, f"docs/extending.md ({kind})", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def _point(module: ModuleType, group: str) -> EntryPoint:
    return EntryPoint(name=module.NAME, value=module.__name__, group=group)


def _contract(path: str) -> dict[str, object]:
    """The functions of a contract file that are run on each installed name."""
    spec = importlib.util.spec_from_file_location(f"docs_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {n: f for n, f in vars(module).items() if n.startswith("test_") and callable(f)}
    return {n: f for n, f in found.items() if "name" in inspect.signature(f).parameters}


GENERATOR_CONTRACT = _contract("tests/contract/test_generators.py")
ATTACK_PAGE = "tests/audits/test_audit_attacks.py"


def _settings(function: object) -> dict[str, list[Any]]:
    """The values that a test is run with, by argument."""
    marks = getattr(function, "pytestmark", ())
    return {mark.args[0]: list(mark.args[1]) for mark in marks if mark.name == "parametrize"}


def _attack_contract() -> Iterator[Any]:
    """Every test that is run on membership attacks without a box, with each other setting."""
    for test, function in _contract(ATTACK_PAGE).items():
        settings = _settings(function)
        if "closest_record" in settings.pop("name"):
            for values in product(*settings.values()):
                given = dict(zip(settings, values, strict=True))
                yield pytest.param(test, given, id=f"{test}-{given}" if given else test)


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = _example("generator", monkeypatch)
    point = _point(module, generator_registry.ENTRY_POINTS)

    def entry_points(*, group: str, name: str = "chain") -> list[EntryPoint]:
        return [point] if (group, name) == (point.group, point.name) else []

    fake = SimpleNamespace(entry_points=entry_points)
    monkeypatch.setattr(generator_registry, "metadata", fake)
    return module


@pytest.fixture
def crowding(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = _example("attack", monkeypatch)
    point = _point(module, attack_registry.GROUP)
    monkeypatch.setattr(attack_registry, "entry_points", lambda group: [point])
    return module


def _table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([31, seed])
    town = rng.choice(["north", "south", "east"], rows, p=[0.6, 0.3, 0.1])
    height = np.where(town == "north", 150.0, 180.0) + rng.normal(0, 5, rows)
    return pd.DataFrame({"town": town, "height": height.round(1), "visits": rng.poisson(4, rows)})


@pytest.mark.parametrize("test", GENERATOR_CONTRACT)
def test_the_generator_keeps_the_contract(
    test: str, chain: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = GENERATOR_CONTRACT[test]
    others = {"monkeypatch": monkeypatch, "max_grad_norm": 5.0}
    wanted = inspect.signature(asked).parameters  # type: ignore[arg-type]
    given = {name: value for name, value in others.items() if name in wanted}
    asked(name=chain.NAME, **given)  # type: ignore[operator]


def test_the_contract_refuses_a_loss_that_mixes_rows(
    chain: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = chain.per_example_loss

    def mixing(model: nn.Module, codes: Tensor) -> Tensor:
        losses: Tensor = honest(model, codes)
        return losses + losses.mean()

    monkeypatch.setattr(chain, "per_example_loss", mixing)
    with pytest.raises(AssertionError):
        GENERATOR_CONTRACT["test_loss_of_a_row_depends_on_that_row_alone"](name="chain")  # type: ignore[operator]


def test_the_generator_trains_and_learns_a_relation(chain: ModuleType) -> None:
    schema = Schema(
        columns=(
            Column(name="town", kind="categorical", categories=("north", "south", "east")),
            Column(name="height", kind="numeric", lower=100, upper=230, decimals=1),
        )
    )
    settings = Synthesizer(
        epsilon=20.0, schema=schema, generator="chain", training=TrainingOptions(steps=40)
    )
    people = _table(2000, 0)[["town", "height"]]
    model = settings.fit(people, noise=seeded_noise(1), rng=np.random.default_rng(1))
    made = model.sample(2000, seed=2)
    north = made["town"] == "north"
    assert 0.4 < north.mean() < 0.8
    # Without the relation both means would be about 162.
    assert made.loc[~north, "height"].mean() - made.loc[north, "height"].mean() > 10.0


@pytest.mark.parametrize(("test", "setting"), list(_attack_contract()))
def test_the_attack_keeps_the_contract(
    test: str, setting: dict[str, Any], crowding: ModuleType
) -> None:
    # Loaded now, with the attack installed, so that the contract knows it by name.
    function: Any = _contract(ATTACK_PAGE)[test]
    frames = [_table(rows, seed) for seed, rows in enumerate((120, 90, 150, 100))]
    given = {
        "name": crowding.NAME,
        "tables": encode(*frames[:3], reference=frames[3]),
        "mixed_table": _table,
        **setting,
    }
    wanted = inspect.signature(function).parameters
    function(**{key: value for key, value in given.items() if key in wanted})


def test_the_contract_of_attacks_is_all_there() -> None:
    found = {param.values[0] for param in _attack_contract()}
    assert {"test_planted_copies_score_higher", "test_order_of_rows_does_not_matter"} <= found
    assert len(found) >= 7


def test_the_contract_refuses_an_attack_that_looks_at_the_order(
    crowding: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counting(targets: Records, *, synthetic: Records) -> np.ndarray:
        return np.arange(len(targets), dtype=np.float64)

    monkeypatch.setattr(crowding, "score", counting)
    frames = [_table(rows, seed) for seed, rows in enumerate((120, 90, 150, 100))]
    contract: Any = _contract(ATTACK_PAGE)["test_order_of_rows_does_not_matter"]
    with pytest.raises(AssertionError):
        contract(name="crowding", tables=encode(*frames[:3], reference=frames[3]))


def test_the_attack_takes_part_in_an_audit(crowding: ModuleType) -> None:
    assert {"closest_record", "crowding"} <= set(attack_registry.choose(None))
    result = audits.run(
        *(_table(300, seed) for seed in (1, 2, 3)),
        attacks=["closest_record", "crowding"],
        checks=["copies"],
    )
    assert {"closest_record", "crowding"} <= {finding.name for finding in result.findings}
    (found,) = [finding for finding in result.findings if finding.name == "crowding"]
    assert found.verdict != "leak"


def test_the_attack_notices_copies(crowding: ModuleType) -> None:
    train = _table(300, 1)
    copied = pd.concat([train, train, train], ignore_index=True)
    result = audits.run(train, _table(300, 2), copied, attacks=["crowding"], checks=["copies"])
    (found,) = [finding for finding in result.findings if finding.name == "crowding"]
    assert found.verdict == "leak"


def test_entry_point_groups_on_the_page_are_those_that_are_read() -> None:
    groups = re.findall(r'\[project\.entry-points\."([^"]+)"\]', PAGE)
    assert groups == [generator_registry.ENTRY_POINTS, attack_registry.GROUP]
