"""dpsynth: differentially private synthetic tables, audited and gated before release.

    >>> from dpsynth import Synthesizer                                     # doctest: +SKIP
    >>> Synthesizer(epsilon=1.0).fit("people.csv").sample(1000)             # doctest: +SKIP

Importing this package loads neither torch nor pandas; names are imported when first used.
"""

import importlib
from typing import Any

_HOMES = {
    "Column": "dpsynth.schema",
    "FittedModel": "dpsynth.fitted",
    "Ledger": "dpsynth.privacy.ledger",
    "Schema": "dpsynth.schema",
    "Synthesizer": "dpsynth.synthesizer",
    "Table": "dpsynth.table",
    "run": "dpsynth.pipeline",
}

__all__ = ["Column", "FittedModel", "Ledger", "Schema", "Synthesizer", "Table", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dpsynth' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
