"""Options that several commands have."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

import lookalike


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lookalike {lookalike.__version__}")
        raise typer.Exit


Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="PATH",
        envvar="LOOKALIKE_DB",
        help="The database, a path that ends in .db; else one in the folder for user data.",
        show_default=False,
    ),
]
Collection = Annotated[
    str, typer.Option(metavar="NAME", help="The collection within the database.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Say more; twice, also where an error is from.",
        show_default=False,
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but data and errors.")]
Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
]


class Metric(str, Enum):
    """How likeness is measured."""

    cosine = "cosine"
    ip = "ip"
    l2 = "l2"


class Report(str, Enum):
    """How a summary is printed."""

    text = "text"
    json = "json"


ReportFormat = Annotated[Report, typer.Option("--format", help="How to print the summary.")]
