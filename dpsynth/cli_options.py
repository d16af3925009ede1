"""Options that several commands share: one flag means the same thing everywhere."""

from pathlib import Path
from typing import Annotated, Literal

import typer

HELP = {"help_option_names": ["-h", "--help"]}

Data = Annotated[str, typer.Argument(help="CSV, Parquet or database URL (with --query).")]
Epsilon = Annotated[float, typer.Option(help="Privacy budget, above 0. All steps share it.")]
Delta = Annotated[float, typer.Option(help="Probability budget, in (0, 1).")]
SchemaFile = Annotated[
    Path | None, typer.Option("--schema", help="Schema file (TOML); without it all is learned.")
]
WarmStartTable = Annotated[
    str | None,
    typer.Option(
        "--warm-start",
        help="Public rows of the same columns, or an earlier release, to train on first.",
    ),
]
GeneratorName = Annotated[
    str, typer.Option(help="See `dpsynth generators`; auto: chosen by public facts.")
]
Device = Annotated[str, typer.Option(help="Where a network is trained: cpu or cuda.")]
InputGeneration = Annotated[
    int | None,
    typer.Option(
        "--input-generation",
        help="0: real rows; 1: made from real ones; ... Found out where it can be.",
    ),
]
Rows = Annotated[int | None, typer.Option(help="Synthetic rows; default: the noisy row count.")]
PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Release policy: public, internal (the default), development, or a TOML file.",
    ),
]
WaiversFile = Annotated[
    Path | None, typer.Option("--waivers", help="Rules set aside by name (TOML).")
]
AboutFile = Annotated[
    Path | None, typer.Option("--about", help="What the owner says of the release (TOML).")
]
SigningKey = Annotated[
    Path | None, typer.Option("--key", help="Private key that signs the bundle (PKCS#8, Ed25519).")
]
LedgerPath = Annotated[
    str | None,
    typer.Option("--ledger", help="Ledger file or database URL, one for all releases of a table."),
]
TotalEpsilon = Annotated[
    float | None,
    typer.Option(help="Budget of a new ledger for all releases together; default: this epsilon."),
]
Dataset = Annotated[
    str | None, typer.Option(help="Name of the dataset in the ledger; default: the file's name.")
]
Query = Annotated[str | None, typer.Option(help="SQL query, with a database URL.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where to write; must not exist.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable result on standard output.")]
Format = Literal["csv", "parquet"]
Seed = Annotated[int | None, typer.Option(min=0, help="Makes the sample repeatable.")]
