"""``lookalike search``."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer

from lookalike.cli import answering, asking, show
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
from lookalike.query.answer import Wanted
from lookalike.query.question import Query


def search(
    words: asking.Terms,
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=MAX_LIMIT, help="How many hits.")
    ] = 10,
    hit_format: Annotated[
        show.HitFormat, typer.Option("--format", help="How to print the hits.")
    ] = show.HitFormat.table,
    crop: asking.CropOption = None,
    offset: answering.Offset = 0,
    where: answering.Where = None,
    min_score: answering.MinScore = None,
    auto: answering.Auto = False,
    diverse: answering.Diverse = False,
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
    """Find the pictures that look most like this one, or like several together, best first."""
    with Terminal(verbose, quiet=quiet) as terminal:
        query = asking.question(words, crop)
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
            wanted = Wanted(
                limit=limit,
                offset=offset,
                where=where,
                min_score=min_score,
                auto=auto,
                diverse=diverse,
            )
            _search(opened, query, wanted, hit_format, terminal)


def _search(
    opened: Index, query: Query, wanted: Wanted, hit_format: show.HitFormat, terminal: Terminal
) -> None:
    started = time.perf_counter()
    hits = opened.search(query, **dataclasses.asdict(wanted))
    seconds = time.perf_counter() - started
    if hit_format is show.HitFormat.json:
        asked = {**query.described(), **answering.said(wanted)}
        typer.echo(show.as_json(asked, opened.info().model, hits, seconds))
    elif hit_format is show.HitFormat.paths:
        for hit in hits:
            typer.echo(hit.path)
    elif hits:
        show.print_table(hits)
    if not hits:
        answering.say_nothing_found(terminal, pictures=len(opened), wanted=wanted)
