"""``lookalike search``."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer

from lookalike.cli import showing
from lookalike.cli.options import (
    Collection,
    Database,
    Device,
    Model,
    Precision,
    Quiet,
    Token,
    Verbose,
    Version,
    Weights,
    settings_with,
)
from lookalike.cli.terminal import Terminal
from lookalike.index import MAX_LIMIT, Index


def search(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help="A picture: a file, a member of an archive or an address.",
            show_default=False,
        ),
    ],
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=MAX_LIMIT, help="How many hits.")
    ] = 10,
    hit_format: showing.Format = None,
    null: showing.Null = False,
    output: showing.OutputFile = None,
    open_page: showing.Open = False,
    pictures: showing.TerminalPictures = showing.Pictures.auto,
    copy_to: showing.CopyTo = None,
    link_to: showing.LinkTo = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    precision: Precision = None,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Find the pictures that look most like this one, best first."""
    shown_as = showing.Output.asked(
        hit_format,
        null=null,
        file=output,
        open=open_page,
        pictures=pictures,
        copy_to=copy_to,
        link_to=link_to,
    )
    with Terminal(verbose, quiet=quiet) as terminal:
        settings = settings_with(device=device, precision=precision)
        if settings.device == "auto":
            # One picture is embedded before PyTorch would have been imported.
            settings = dataclasses.replace(settings, device="cpu")
        with Index.open(
            db,
            token=token,
            model=model,
            weights=weights,
            collection=collection,
            create=False,
            preload=True,
            settings=settings,
        ) as opened:
            started = time.perf_counter()
            hits = opened.search(query, limit=limit)
            answer = showing.Answer(
                query={"path": query, "limit": limit},
                title=query,
                pictures=[query],
                hits=hits,
                seconds=time.perf_counter() - started,
            )
            shown_as.show(answer, opened, terminal)
            if not hits:
                terminal.say("The index is empty; add pictures with: lookalike index FOLDER")
