"""``lookalike search``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import show
from lookalike.cli.options import Collection, Database, Quiet, Verbose, Version
from lookalike.cli.terminal import Terminal
from lookalike.index import MAX_LIMIT, Index


def search(
    query: Annotated[
        Path, typer.Argument(metavar="QUERY", help="A picture file.", show_default=False)
    ],
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=MAX_LIMIT, help="How many hits.")
    ] = 10,
    hit_format: Annotated[
        show.HitFormat, typer.Option("--format", help="How to print the hits.")
    ] = show.HitFormat.table,
    db: Database = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Find the pictures that look most like this one, best first."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, collection=collection, create=False, preload=True) as opened,
    ):
        started = time.perf_counter()
        hits = opened.search(query, limit=limit)
        seconds = time.perf_counter() - started
        if hit_format is show.HitFormat.json:
            asked = {"path": str(query), "limit": limit}
            typer.echo(show.as_json(asked, opened.info().model, hits, seconds))
        elif hit_format is show.HitFormat.paths:
            for hit in hits:
                typer.echo(hit.path)
        elif hits:
            show.print_table(hits)
        else:
            terminal.say("The index is empty; add pictures with: lookalike index FOLDER")
