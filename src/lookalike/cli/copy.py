"""``lookalike copy``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.keeping import (
    PANEL,
    Consistency,
    IndexParams,
    IndexType,
    Mmap,
    Profile,
    Replicas,
    Vectors,
    design_of,
)
from lookalike.cli.options import Collection, Quiet, Report, ReportFormat, Token, Verbose, Version
from lookalike.cli.terminal import Terminal, startup_done, visible
from lookalike.index import Index
from lookalike.reports import CopyProgress

EXAMPLE = "lookalike copy photos.db http://localhost:19530"
_PLACES = "a path that ends in .db, http://HOST:PORT of a Milvus server, or an export"

ToToken = Annotated[
    str | None,
    typer.Option(
        metavar="USER:PASSWORD",
        envvar="LOOKALIKE_TOKEN",
        help="The same for the target.",
        show_default=False,
    ),
]
ToCollection = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="That of the target; by default the same.", show_default=False
    ),
]
FromTenant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whose rows, where several share the source.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
ToTenant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whose they shall be, where several share the target.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]


def copy(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help=f"From where: {_PLACES}.", show_default=False),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where to: the same. An export, FILE.parquet, FILE.npy or a folder, is replaced.",
            show_default=False,
        ),
    ],
    exact: Annotated[
        bool, typer.Option("--exact", help="Remove rows of the target that the source lacks.")
    ] = False,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Write all rows, also those that seem to be there.")
    ] = False,
    report_format: ReportFormat = Report.text,
    token: Token = None,
    to_token: ToToken = None,
    collection: Collection = "images",
    to_collection: ToCollection = None,
    tenant: FromTenant = None,
    to_tenant: ToTenant = None,
    profile: Profile = None,
    index_type: IndexType = None,
    index_params: IndexParams = None,
    vectors: Vectors = None,
    replicas: Replicas = None,
    mmap: Mmap = False,
    consistency: Consistency = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Copy all rows, with their vectors, to another database or into an export.

    Nothing is embedded, and no picture is opened. Rows that the target has already are not written
    again, so after an interruption the same command goes on. At the end rows are counted and some
    compared.
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        design = design_of(
            profile,
            index_type=index_type,
            index_params=index_params,
            vectors=vectors,
            replicas=replicas,
            mmap=mmap,
            consistency=consistency,
        )
        terminal.on_interrupt = "Stopped before anything was changed."
        startup_done()
        with progress.counted("Copying", "rows", terminal) as show:

            def on_progress(now: CopyProgress) -> None:
                terminal.on_interrupt = "Stopped. Run the same command again to go on."
                show(now.done, now.total)

            report = Index.copy(
                source,
                target,
                token=token,
                to_token=to_token,
                collection=collection,
                to_collection=to_collection,
                tenant=tenant,
                to_tenant=to_tenant,
                design=design,
                exact=exact,
                rewrite=rewrite,
                on_progress=on_progress,
            )
        if report_format is Report.json:
            known = dataclasses.asdict(report)
            known["seconds"] = round(report.seconds, 3)
            known["rows_per_second"] = round(report.rows_per_second, 1)
            typer.echo(json.dumps(known))
        elif not quiet:
            removed = f", {report.removed} removed" if exact else ""
            typer.echo(
                f"{report.written} of {report.rows} rows written{removed}, {report.checked} "
                f"compared; {report.total} in {visible(report.target)}"
            )
