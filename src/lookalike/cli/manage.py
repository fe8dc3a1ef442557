"""``lookalike info`` and ``lookalike remove``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from lookalike.cli.options import (
    Collection,
    Database,
    Quiet,
    Report,
    ReportFormat,
    Verbose,
    Version,
)
from lookalike.cli.show import readable_bytes
from lookalike.cli.terminal import Terminal
from lookalike.index import Index


def info(
    report_format: ReportFormat = Report.text,
    db: Database = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Say what is in the index and which model it was made with."""
    with (
        Terminal(verbose, quiet=quiet),
        Index.open(db, model=None, collection=collection, create=False) as opened,
    ):
        known = dataclasses.asdict(opened.info())
        if report_format is Report.json:
            typer.echo(json.dumps(known))
            return
        known["size"] = readable_bytes(known.pop("size_bytes"))
        for name, value in known.items():
            typer.echo(f"{name:<12} {value}")


def remove(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Folders, files, archives, addresses.", show_default=False
        ),
    ],
    db: Database = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Take pictures, or everything below folders, out of the index. The files stay."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, model=None, collection=collection, create=False) as opened,
    ):
        removed = opened.remove(*paths)
        if not removed:
            terminal.say("None of these is in the index; nothing was removed.")
        if not quiet:
            typer.echo(f"{removed} removed; {len(opened)} pictures in {opened.info().database}")
