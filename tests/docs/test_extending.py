"""The examples of docs/extending.md, installed by entry points, keep every contract."""

import importlib.util
import inspect
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from torch import Tensor, nn

import audits
from audits import registry as attack_registry
from audits.records import encode
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
ATTACK_CONTRACT = tuple(_contract("tests/audits/test_audit_attacks.py"))


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
def test_the_generator_keeps_the_contract(test: str, chain: ModuleType) -> None:
    GENERATOR_CONTRACT[test](name=chain.NAME)  # type: ignore[operator]


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


@pytest.mark.parametrize("test", ATTACK_CONTRACT)
def test_the_attack_keeps_the_contract(test: str, crowding: ModuleType) -> None:
    function = _contract("tests/audits/test_audit_attacks.py")[test]
    given = {"name": crowding.NAME, "tables": encode(_table(120, 1), _table(90, 2), _table(150, 3))}
    wanted = inspect.signature(function).parameters  # type: ignore[arg-type]
    function(**{key: value for key, value in given.items() if key in wanted})  # type: ignore[operator]


def test_the_attack_takes_part_in_an_audit(crowding: ModuleType) -> None:
    result = audits.run(_table(300, 1), _table(300, 2), _table(300, 3))
    assert {"closest_record", "crowding"} <= {finding.name for finding in result.findings}
    (found,) = [finding for finding in result.findings if finding.name == "crowding"]
    assert found.verdict != "leak"


def test_the_attack_notices_copies(crowding: ModuleType) -> None:
    train = _table(300, 1)
    copied = pd.concat([train, train, train], ignore_index=True)
    result = audits.run(train, _table(300, 2), copied, attacks=["crowding"])
    (found,) = [finding for finding in result.findings if finding.name == "crowding"]
    assert found.verdict == "leak"


def test_entry_point_groups_on_the_page_are_those_that_are_read() -> None:
    groups = re.findall(r'\[project\.entry-points\."([^"]+)"\]', PAGE)
    assert groups == [generator_registry.ENTRY_POINTS, attack_registry.GROUP]
