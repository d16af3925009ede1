"""What several commands do with their options before they call the library."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth.console import say
from dpsynth.errors import DPSynthError, InputError

if TYPE_CHECKING:
    from dpsynth.privacy.ledger import Ledger
    from dpsynth.schema import Schema
    from dpsynth.synthesizer import Synthesizer


def synthesizer_for(
    epsilon: float,
    delta: float,
    declared: "Schema | None",
    generator: str,
    *,
    warm_start: str | None = None,
    device: str = "cpu",
) -> "Synthesizer":
    """The library's door with the options of a command; its ledger comes later."""
    from dpsynth.synthesizer import Synthesizer
    from dpsynth.training.options import TrainingOptions
    from dpsynth.warm_start import WarmStart

    name = chosen_generator(generator, declared)
    training = TrainingOptions.recommended(
        epsilon=epsilon,
        generator=name,
        max_rows_per_unit=1 if declared is None else declared.max_rows_per_unit,
    )
    return Synthesizer(
        epsilon=epsilon,
        delta=delta,
        schema=declared,
        generator=name,
        training=replace(training, device=checked_device(device, name)),
        warm_start=None if warm_start is None else WarmStart.read(warm_start),
    )


def chosen_generator(name: str, declared: "Schema | None") -> str:
    """The generator's name; for "auto" that of the rule's choice, which is said."""
    from dpsynth.generators import choice

    if name != choice.AUTO:
        return name
    found = choice.choose(columns=None if declared is None else len(declared.modelled))
    say(f"generator {found.generator}: {found.reason} (docs/generators.md)")
    return found.generator


def checked_device(device: str, generator: str) -> str:
    """The device, if it is there.

    Raises:
        InputError: another word than cpu or cuda, no CUDA device, or the flagship on one.
    """
    if device == "cpu":
        return device
    import torch

    from dpsynth.training.options import MEASURING_GENERATOR

    if device != "cuda":
        raise InputError(f"--device is {device!r}; allowed: cpu, cuda")
    if generator == MEASURING_GENERATOR:
        raise InputError(f"generator {generator!r} trains on the CPU alone; leave --device out")
    if not torch.cuda.is_available():
        raise InputError("--device is cuda, and torch finds no CUDA device; leave --device out")
    return device


def declared_schema(path: Path | None) -> "Schema | None":
    """The schema in a file; None where none was given, so that all is learned."""
    from dpsynth.schema import Schema

    return None if path is None else Schema.from_toml(path)


@contextlib.contextmanager
def booked_in(
    where: str | None,
    *,
    out: Path,
    dataset: str,
    epsilon: float,
    delta: float,
    total: float | None = None,
) -> Iterator["Ledger"]:
    """The ledger to charge; one made for this command is removed if nothing was booked in it.

    Args:
        where: file or URL; None makes one beside `out`, for this command alone.
        out: what the command will write.
        dataset: name of the private table in the ledger.
        epsilon, delta: budget of a dataset that the ledger does not know yet.
        total: the budget that the user stated, in place of `epsilon`; a dataset that the ledger
            knows must have it already, since a limit that is not kept must not be passed over.
    """
    from dpsynth.privacy.ledger import Ledger

    must_be_new(out)
    if total is not None and total < epsilon:
        raise InputError(
            f"--total-epsilon {total:g} is below --epsilon {epsilon:g}: one release would not fit "
            "in it; lower --epsilon or raise the total"
        )
    path = where or f"{out}.ledger.db"
    made_here = where is None and not Path(path).exists()
    book = Ledger.open(
        path,
        dataset=dataset,
        epsilon=epsilon if total is None else total,
        delta=delta,
        shared=where is not None,
        waiting=say,
    )
    if total is not None and book.budget.epsilon != total:
        raise InputError(
            f"ledger {book.name}: dataset {dataset!r} has a budget of epsilon "
            f"{book.budget.epsilon:g} already, which never changes, and --total-epsilon says "
            f"{total:g}; leave it out, or give another --dataset if these are other people"
        )
    one = "; give all releases of the same people one --ledger"
    say(f"booking in {book.name} as dataset {dataset!r}{one if where is None else ''}")
    try:
        yield book
    except BaseException:
        # Left behind, it would hold the next attempt to the epsilon of this one for nothing.
        with contextlib.suppress(OSError, DPSynthError):
            if made_here and all(entry.event is None for entry in book.entries()):
                Path(path).unlink()
        raise


def holds_releases(where: str, names: Sequence[str]) -> bool:
    """Whether a fit of a table with these columns will look for rows of earlier releases."""
    from dpsynth.privacy.known_rows import comparison_of
    from dpsynth.privacy.ledger import Ledger
    from dpsynth.privacy.ledger_releases import known_releases

    books = Ledger.read_all(where, waiting=say)
    return bool(comparison_of(known_releases(books[0].entries()), names).releases)


def dataset_name(data: str) -> str:
    """The ledger's name for a table that the user did not name: the file's."""
    return "database" if "://" in data else Path(data).name


def must_be_new(out: Path) -> None:
    """Refuse an output that exists or has nowhere to go, before anything is read or charged."""
    from dpsynth.writing import refuse_unwritable

    if out.exists() or out.is_symlink():
        raise InputError(f"{out} exists; give a path that does not, or move it away")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out.absolute().parent}: no such folder; make it first")
    refuse_unwritable(out.absolute().parent)


def must_be_there(data: str) -> None:
    """Refuse a table that is no file, before a ledger fixes a budget for it."""
    if "://" not in data and not Path(data).exists():
        raise InputError(f"{data}: no such file; check the path")


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`COL=VALUE` texts as a mapping; each column once."""
    found: dict[str, str] = {}
    for name, value in map(_pair, texts):
        if name in found:
            raise InputError(f"--where names column {name!r} twice; give one value a column")
        found[name] = value
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"--where {text!r} is not COL=VALUE; write for example --where sex=female")
    return name, value
