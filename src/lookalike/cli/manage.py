"""What is in the index, and taking things out of it: info, remove, prune, relocate."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

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
from lookalike.cli.show import readable_bytes
from lookalike.cli.terminal import Terminal, visible
from lookalike.index import Index
from lookalike.sources.names import absolute, exists, is_address


def info(
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Say what is in the index and which model it was made with."""
    with (
        Terminal(verbose, quiet=quiet),
        Index.open(
            db, token=token, model=None, collection=collection, tenant=tenant, create=False
        ) as opened,
    ):
        known = dataclasses.asdict(opened.info())
        if report_format is Report.json:
            typer.echo(json.dumps(known))
            return
        size = known.pop("size_bytes")
        if known["rows_in"] == known["collection"]:
            del known["rows_in"]
        known["size"] = "unknown" if size is None else readable_bytes(size)
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
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Take pictures, or everything below folders, out of the index. The files stay."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(
            db, token=token, model=None, collection=collection, tenant=tenant, create=False
        ) as opened,
    ):
        removed = opened.remove(*paths)
        if not removed:
            terminal.say("None of these is in the index; nothing was removed.")
        if not quiet:
            typer.echo(f"{removed} removed; {len(opened)} pictures in {opened.info().database}")


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Take all pictures out of the index whose files are gone, wherever they were.

    Plug in your drives first: what lies on one that is missing counts as gone.
    """
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, collection=collection, tenant=tenant, create=False) as opened,
    ):
        paths = opened.prune(dry_run=dry_run)
        if dry_run:
            for path in paths:
                typer.echo(f"remove\t{visible(path)}")
            terminal.say(f"{len(paths)} to remove; nothing was changed.")
        elif not quiet:
            typer.echo(f"{len(paths)} removed; {len(opened)} pictures in {opened.info().database}")


def relocate(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Where they were.", show_default=False)],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="Where they are now.", show_default=False)
    ],
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Tell the index that a folder or drive is at another place now; nothing is embedded."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, collection=collection, tenant=tenant, create=False) as opened,
    ):
        moved = opened.relocate(old, new)
        if not moved:
            terminal.say(f"Nothing in the index lies in {old}; nothing was changed.")
        elif not (is_address(new) or exists(absolute(new))):
            terminal.say(
                f"There is no {new} yet; until there is, the next run may remove its rows."
            )
        if not quiet:
            typer.echo(f"{moved} relocated; {len(opened)} pictures in {opened.info().database}")
