"""The systems that are compared: how each is run, at which version and settings."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utility_cache import Cache, code_digest, file_digest

import dpsynth

RIVALS = Path(__file__).parent / "rivals"
PACKAGE = Path(dpsynth.__file__).parent


@dataclass(frozen=True)
class System:
    """One way to make a synthetic table.

    Attributes:
        runner: its script in `rivals`.
        settings: what the script is told; part of what a result is found by, so a change of a
            script that changes its results must change them too.
        requirements: its file of pinned packages in `rivals`; "" runs it with this Python.
        complete: the file names all that is needed; what packages ask for besides is not installed.
        remark: what a reader of its figures should know.
    """

    name: str
    runner: str
    settings: dict[str, Any] = field(default_factory=dict)
    requirements: str = ""
    complete: bool = False
    remark: str = ""

    def version(self) -> dict[str, str]:
        """What stands for its code in the hash of a result."""
        if self.requirements:
            return {"requirements": (RIVALS / self.requirements).read_text()}
        return {"code": code_digest(PACKAGE)}

    def about(self) -> str:
        """Its version, settings and remark on one line."""
        lines = (RIVALS / self.requirements).read_text().split() if self.requirements else []
        version = lines[0] if lines else f"dpsynth {dpsynth.__version__}"
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return f"{version}; {settings}. {self.remark}"

    def python(self, cache: Cache) -> Path:
        """The Python that runs it; its environment is made on first use.

        Raises:
            RuntimeError: an environment that cannot be made, with the installer's last error.
        """
        if not self.requirements:
            return Path(sys.executable)
        wanted = RIVALS / self.requirements
        folder = cache.file("environments", f"{wanted.stem}-{file_digest(wanted)[:12]}")
        finished = folder / "finished"
        if not finished.exists():
            _call([sys.executable, "-m", "venv", "--clear", str(folder)])
            install = [str(folder / "bin/python"), "-m", "pip", "install", "-q"]
            install += ["--no-deps"] if self.complete else []
            _call([*install, "-r", str(wanted)])
            finished.touch()
        return folder / "bin/python"


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RuntimeError(f"cannot be installed: {(errors or [done.stderr.strip()])[-1]}")


_BINS = (
    "Numeric columns binned by the package's PrivTree within the public bounds, with the 0.1 of "
    "epsilon that it ships with; declared categories and integers of at most 32 values as public "
    "categories. A binned number comes back as any number of its bin, so a numeric column that "
    "really has few distinct values (DENSITY of the ACS tables) is wrong in nearly every row."
)
ALL = {
    system.name: system
    for system in (
        System("dpsynth", "own.py", {"generator": "autoregressive"}, remark="Every default."),
        System("independent", "own.py", {"generator": "independent"}, remark="Every default."),
        System(
            "aim",
            "dpmm_rival.py",
            {"bins_epsilon": 0.1, "max_model_size": 80, "most_categories": 32},
            requirements="dpmm.txt",
            remark=f"AIM at the model size of its authors (80 MB). {_BINS}",
        ),
        System(
            "mst",
            "dpmm_rival.py",
            {"bins_epsilon": 0.1, "most_categories": 32},
            requirements="dpmm.txt",
            remark=f"MST. {_BINS}",
        ),
        System(
            "dpctgan",
            "smartnoise_rival.py",
            {"most_categories": 32},
            requirements="smartnoise.txt",
            remark="The package's defaults, with public bounds and categories; trains until its "
            "accountant is past epsilon at the end of an epoch, and its sampler reads the "
            "categories' frequencies without a charge (gifts).",
        ),
        System(
            "tabularargn",
            "mostlyai_rival.py",
            {"epochs": 10, "value_protection": False},
            requirements="mostlyai.txt",
            complete=True,
            remark="Medium model; noise set so that ten epochs end at epsilon. Ranges and "
            "categories read from the rows, best epoch picked by held-out rows (gifts).",
        ),
    )
}
