"""The commands `dpsynth ledger show` and `dpsynth ledger verify`."""

from typing import Annotated

import typer

from dpsynth.cli_options import HELP, AsJson, Dataset
from dpsynth.console import emit

ledger_app = typer.Typer(
    context_settings=HELP, no_args_is_help=True, help="Read and check a privacy ledger."
)


@ledger_app.command("show")
def ledger_show(
    where: Annotated[str, typer.Argument(help="Ledger file or URL.")],
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> int:
    """What was charged, to which release, and what is left.

    Example: dpsynth ledger show release.ledger.db
    """
    from dpsynth.plan_text import ledger_json, ledger_text
    from dpsynth.privacy.ledger import Ledger

    book = Ledger.read(where, dataset=dataset)
    emit(ledger_json(book), as_json=as_json, text=ledger_text(book))
    return 0


@ledger_app.command("verify")
def ledger_verify(
    where: Annotated[str, typer.Argument(help="Ledger file or URL.")],
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> int:
    """Check that no entry was changed, added or removed since it was written.

    Example: dpsynth ledger verify release.ledger.db
    """
    from dpsynth.privacy.ledger import Ledger

    book = Ledger.read(where, dataset=dataset)
    book.verify()
    count = len(book.entries())
    emit(
        {"ok": True, "entries": count},
        as_json=as_json,
        text=f"{where}: {count} entries, chain whole",
    )
    return 0
