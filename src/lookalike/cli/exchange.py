"""``lookalike export`` and ``lookalike import``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.keeping import Tenant
from lookalike.cli.options import (
    Collection,
    Database,
    Quiet,
    Report,
    ReportFormat,
    Token,
    Verbose,
    Version,
)
from lookalike.cli.terminal import Terminal, startup_done, visible
from lookalike.index import Index

EXPORT_EXAMPLE = "lookalike export photos.parquet"
IMPORT_EXAMPLE = "lookalike import photos.parquet --db copy.db"


def export(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE.parquet|FILE.npy|FOLDER",
            help="Where to: a Parquet file; or a NumPy file, with .jsonl and .json beside it; or "
            "a folder for these three. What is there is replaced.",
            show_default=False,
        ),
    ],
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Write all rows, with their vectors, into files that other programs read."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, collection=collection, tenant=tenant, create=False) as opened,
    ):
        terminal.on_interrupt = "Stopped. What was there before still is."
        startup_done()
        with progress.busy("Exporting", terminal):
            rows = opened.export(target)
        if report_format is Report.json:
            typer.echo(json.dumps({"rows": rows, "target": target}))
        elif not quiet:
            typer.echo(f"{rows} pictures exported to {visible(target)}")


def import_rows(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE.parquet|FILE.npy|FOLDER",
            help="What lookalike export wrote.",
            show_default=False,
        ),
    ],
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Put all rows of an export into an index, which is made where there is none.

    Rows of the same paths are replaced. Nothing is embedded, and no picture is opened.
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        terminal.on_interrupt = "Stopped. Rows that were written are kept; run it again."
        startup_done()
        with progress.busy("Importing", terminal):
            report = Index.import_rows(
                source, db, token=token, collection=collection, tenant=tenant
            )
        if report_format is Report.json:
            typer.echo(
                json.dumps(
                    {"rows": report.rows, "total": report.total, "database": report.database}
                )
            )
        elif not quiet:
            typer.echo(
                f"{report.rows} pictures imported; {report.total} pictures in {report.database}"
            )
