"""The commands `dpsynth ledger open`, `show` and `verify`."""

from pathlib import Path
from typing import Annotated

import typer

from dpsynth.cli_options import HELP, AsJson
from dpsynth.console import emit, say

ledger_app = typer.Typer(
    context_settings=HELP, no_args_is_help=True, help="Open, read and check a privacy ledger."
)

Where = Annotated[str, typer.Argument(help="Ledger file or database URL.")]
OneDataset = Annotated[str | None, typer.Option("--dataset", help="Only this one; default: all.")]


@ledger_app.command("open")
def ledger_open(
    where: Where,
    dataset: Annotated[str, typer.Option(help="Name of the new dataset.")],
    epsilon: Annotated[float, typer.Option(help="Its budget for all releases together.")],
    delta: Annotated[float, typer.Option(help="Probability budget, in (0, 1).")] = 1e-5,
    as_json: AsJson = False,
) -> int:
    """Fix the budget of a dataset before its first release; it never changes afterwards.

    Example: dpsynth ledger open people.ledger.db --dataset people --epsilon 3 --delta 1e-5
    """
    from dpsynth.privacy.ledger import Ledger

    book = Ledger.create(where, dataset=dataset, epsilon=epsilon, delta=delta, waiting=say)
    emit(
        {"ledger": book.name, "dataset": dataset, "epsilon": epsilon, "delta": delta},
        as_json=as_json,
        text=f"{book.name}: dataset {dataset!r} has epsilon {epsilon:g} at delta {delta:g} for all "
        "its releases",
    )
    return 0


@ledger_app.command("show")
def ledger_show(where: Where, dataset: OneDataset = None, as_json: AsJson = False) -> int:
    """Budget, spending and releases of each dataset; --json shows every entry.

    Example: dpsynth ledger show people.ledger.db
    """
    from dpsynth.ledger_text import ledger_json, ledger_text
    from dpsynth.privacy.ledger import Ledger

    books = (
        Ledger.read_all(where, waiting=say)
        if dataset is None
        else (Ledger.read(where, dataset=dataset, waiting=say),)
    )
    if as_json:
        emit(ledger_json(books), as_json=True, text="")
    else:
        emit(None, as_json=False, text=ledger_text(books))
    return 0


@ledger_app.command("verify")
def ledger_verify(
    where: Where,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle whose charges must be in the ledger.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check that no entry was changed, added or removed, and that all budgets were kept.

    Example: dpsynth ledger verify people.ledger.db --bundle release
    """
    from dpsynth.ledger_bundle import check_bundle
    from dpsynth.privacy.ledger import Ledger

    book = Ledger.read_all(where, waiting=say)[0]
    book.verify()
    count = len(book.entries())
    facts: dict[str, object] = {"ok": True, "entries": count}
    lines = [f"{book.name}: {count} entries, chain whole, budgets kept"]
    if bundle is not None:
        booking = check_bundle(where, bundle, waiting=say)
        facts |= vars(booking)
        noted = "its manifest is noted" if booking.noted else "no bundle of it is noted"
        lines.append(
            f"{bundle}: booked as release {booking.release} of dataset {booking.dataset!r}; {noted}"
        )
    emit(facts, as_json=as_json, text="\n".join(lines))
    return 0
