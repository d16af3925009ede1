"""Where the results of long runs are kept, found again by a hash of everything they came from."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DONE, FAILED = "done", "failed"


def digest(value: Any) -> str:
    """A hash of a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_digest(folder: Path) -> str:
    """Of every Python file below a folder, names included."""
    return digest({str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*.py")})


@dataclass(frozen=True)
class Cache:
    """A folder: `runs` (what each run reported), `synthetic` (its rows), `scores`, and so on."""

    folder: Path

    def file(self, part: str, name: str) -> Path:
        """A file of one part of the cache, its folder made."""
        path = self.folder.absolute() / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def load(self, part: str, key: str) -> Any:
        """What was stored under a key, or None."""
        path = self.file(part, f"{key}.json")
        return json.loads(path.read_text()) if path.exists() else None

    def store(self, part: str, key: str, value: Any) -> None:
        """Keep a JSON value, whole or not at all: a stopped benchmark leaves no half result."""
        path = self.file(part, f"{key}.json")
        beside = path.with_suffix(f".{os.getpid()}.part")
        beside.write_text(json.dumps(value, indent=1))
        beside.replace(path)
