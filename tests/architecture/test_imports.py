"""Who may import whom, what stays light, and what no source file may hold."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / ".importlinter"
SOURCES = sorted([*(ROOT / "dpsynth").rglob("*.py"), *(ROOT / "audits").rglob("*.py")])

PLANTED = {
    "Leaves know nothing of ours but leaves": ("cells", "import dpsynth.privacy.noise"),
    "The trusted core rests on leaves alone": ("privacy/gdp", "import dpsynth.plan_text"),
    "In the trusted core gradients alone need torch": ("privacy/rows", "import torch"),
    "Opacus is for clipping and the witness accountant": ("fitted", "import opacus"),
    "Encoding is free of torch, generators and training": ("encoding/binning", "import torch"),
    "Generators see neither rows nor ledger nor noise": (
        "generators/base",
        "from dpsynth.privacy.ledger import Ledger",
    ),
    "Generators do not know each other": (
        "generators/independent",
        "import dpsynth.generators.autoregressive",
    ),
    "Refinement sees answers, not rows, and asks in one file": (
        "refinement/targets",
        "from dpsynth.privacy.curator import Curator",
    ),
    "Refinement knows the interface of a generator and no single one": (
        "refinement/tables",
        "import dpsynth.generators.independent",
    ),
    "Sampling sees neither private rows nor ledger nor noise": (
        "sampling/sampler",
        "from dpsynth.privacy.curator import Curator",
    ),
    "Sampling knows the interface of a generator and no single one": (
        "sampling/drawing",
        "import dpsynth.generators.registry",
    ),
    "Training knows the interface of a generator and no single one": (
        "training/dpsgd",
        "import pandas",
    ),
    "Release is free of torch, training, generators and encoding": (
        "release/report/words",
        "import dpsynth.encoding.codec",
    ),
    "The gate is a pure function of statement, evidence and policy": (
        "release/gate/outcome",
        "import dpsynth.release.manifest",
    ),
    "Verifying draws nothing and runs no attack": (
        "release/verification/checks",
        "import matplotlib",
    ),
    "Audits stand alone": ("../audits/tables/sampling", "import dpsynth.errors"),
    "Attacks know tables and measures, not who judges them": (
        "../audits/attacks/closest_record",
        "import audits.checks.copies",
    ),
    "Attacks do not know each other": (
        "../audits/attacks/near_copies",
        "import audits.attacks.closest_record",
    ),
    "Statistics know numbers alone": ("../audits/statistics/ranks", "import audits.records"),
}
"""For each contract a module of dpsynth and a line in it that breaks the contract."""


def _lint(folder: Path) -> dict[str, bool]:
    """Contracts by name, and whether each holds for the packages in `folder`."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", str(folder / RULES.name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\S.*?) (KEPT|BROKEN)\b.*$", done.stdout, flags=re.MULTILINE)
    verdicts = {name: verdict == "KEPT" for name, verdict in found}
    assert verdicts, done.stdout + done.stderr
    assert (done.returncode == 0) == all(verdicts.values())
    return verdicts


def _names() -> set[str]:
    rules = configparser.ConfigParser()
    rules.read(RULES, encoding="utf-8")
    return {rules[s]["name"] for s in rules.sections() if s.startswith("importlinter:contract:")}


def test_every_contract_is_kept() -> None:
    verdicts = _lint(ROOT)
    assert set(verdicts) == _names()
    assert [name for name, kept in verdicts.items() if not kept] == []


def test_every_contract_can_be_broken(tmp_path: Path) -> None:
    """Control: the same rules on a copy in which each contract's planted import is added."""
    assert set(PLANTED) == _names()
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("dpsynth", "audits"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(RULES, tmp_path)
    for module, line in PLANTED.values():
        path = tmp_path / "dpsynth" / f"{module}.py"
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    assert [name for name, kept in _lint(tmp_path).items() if kept] == []


@pytest.mark.parametrize(
    "module",
    [
        "dpsynth",
        "dpsynth.plan",
        "dpsynth.plan_text",
        "dpsynth.refinement.selection",
        "audits",
        "dpsynth.release.verify",
    ],
)
def test_light_modules_load_no_torch(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'torch', 'opacus'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_torch_is_seen_where_it_is_loaded() -> None:
    """Control of the test above."""
    program = "import sys, dpsynth.privacy.layers; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


_GLOBAL_RANDOMNESS = re.compile(
    r"^(np|numpy)\.random\.(?!(Generator|default_rng|SeedSequence|BitGenerator|PCG64|Philox)$)"
    r"|^random\."
    r"|^torch\.(seed|manual_seed|rand|randn|randint|randperm|bernoulli|multinomial|normal)$"
)
_FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save", "pickle.loads", "pickle.load"}
_FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "random"}


def _faults(tree: ast.AST) -> Iterator[str]:
    """What no source file may hold, one text each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert (python -O drops it; raise instead)"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: bare except"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
            for name in {n.split(".")[0] for n in names[: 1 if names[0] else None]}:
                if name in _FORBIDDEN_MODULES:
                    yield f"line {node.lineno}: import of {name}"
        elif isinstance(node, ast.Call):
            yield from _call_faults(node)


def _call_faults(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    keywords = {k.arg for k in node.keywords}
    if name in _FORBIDDEN_CALLS:
        yield f"line {node.lineno}: call of {name}"
    if _GLOBAL_RANDOMNESS.match(name) and "generator" not in keywords:
        yield f"line {node.lineno}: global randomness ({name}); pass an rng"


def test_no_source_holds_what_none_may() -> None:
    assert len(SOURCES) > 50
    found = [
        f"{path.relative_to(ROOT)} {fault}"
        for path in SOURCES
        for fault in _faults(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "assert x",
        "try:\n    f()\nexcept:\n    pass",
        "import pickle",
        "import random",
        "from random import choice",
        "eval('1')",
        "torch.load(p)",
        "np.random.normal()",
        "np.random.seed(0)",
        "torch.randn(3)",
    ],
)
def test_each_fault_is_found(source: str) -> None:
    assert len(list(_faults(ast.parse(source)))) == 1


def test_passed_randomness_is_no_fault() -> None:
    source = "rng.normal(); np.random.default_rng(seed); torch.rand(3, generator=g)"
    assert list(_faults(ast.parse(source))) == []
