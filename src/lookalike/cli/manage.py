"""``lookalike info`` and ``lookalike remove``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

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
from lookalike.cli.show import readable_bytes
from lookalike.cli.terminal import Terminal
from lookalike.index import Index


def info(
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Say what is in the index and which model it was made with."""
    with (
        Terminal(verbose, quiet=quiet),
        Index.open(db, token=token, model=None, collection=collection, create=False) as opened,
    ):
        known = dataclasses.asdict(opened.info())
        if report_format is Report.json:
            typer.echo(json.dumps(known))
            return
        size = known.pop("size_bytes")
        known["size"] = "unknown" if size is None else readable_bytes(size)
        for name, value in known.items():
            typer.echo(f"{name:<12} {value}")


def remove(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders and files.", show_default=False)
    ],
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Take pictures, or everything below folders, out of the index. The files stay."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, model=None, collection=collection, create=False) as opened,
    ):
        removed = opened.remove(*paths)
        if not removed:
            terminal.say("None of these is in the index; nothing was removed.")
        if not quiet:
            typer.echo(f"{removed} removed; {len(opened)} pictures in {opened.info().database}")
