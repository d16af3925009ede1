"""Checks of `training.json`: both halves and the model say the same of the training."""

from collections.abc import Iterator
from functools import partial

from dpsynth.errors import IntegrityError
from dpsynth.release.canonical import read_json
from dpsynth.release.training import NAME, Training
from dpsynth.release.verification.checks import Check, held
from dpsynth.release.verification.layout import require_plain
from dpsynth.release.verification.parts import Internal, Parts

MODEL = "internal/model/model.json"


def check_training(parts: Parts) -> Iterator[Check]:
    """One check, where the internal half is there; the verdict's check knows the public one."""
    if parts.internal is not None and parts.manifest is not None:
        yield held("training", partial(_one_story, parts, parts.internal))


def _one_story(parts: Parts, internal: Internal) -> str:
    kept, shown = internal.training, parts.public.training
    allowed = parts.manifest is not None and parts.manifest.verdict == "allow"
    if shown != (kept if allowed else None):
        raise IntegrityError(
            f"public/{NAME} is not what internal/{NAME} and the verdict give; one of them was "
            "changed after the run"
        )
    watched = _watched(parts)
    if watched is not None and watched != kept:
        raise IntegrityError(
            f"internal/{NAME} is not what {MODEL} holds of the training; one of them was changed "
            "after the run"
        )
    if kept is None:
        return "what was seen of the training was not kept"
    return f"{len(kept.readings) + 1} looks at the training, the same in every file"


def _watched(parts: Parts) -> Training | None:
    """What the model itself holds; a model's files are its generator's affair, so it need not."""
    path = parts.folder / MODEL
    if not path.exists():
        return None
    require_plain(path)
    facts = read_json(path)
    found = facts.get("watched") if isinstance(facts, dict) else None
    return Training.of(found) if isinstance(found, dict) else None
