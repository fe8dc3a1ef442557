"""``lookalike search``."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer

from lookalike.cli import answering, asking, showing
from lookalike.cli.keeping import Recall, Tenant
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
from lookalike.cli.show import HitFormat
from lookalike.cli.terminal import Terminal
from lookalike.index import MAX_LIMIT, Index
from lookalike.query.answer import Wanted
from lookalike.sources.names import printable


def search(
    words: asking.Terms,
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=MAX_LIMIT, help="How many hits.")
    ] = 10,
    crop: asking.CropOption = None,
    offset: answering.Offset = 0,
    where: answering.Where = None,
    min_score: answering.MinScore = None,
    auto: answering.Auto = False,
    diverse: answering.Diverse = False,
    recall: Recall = None,
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
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Find the pictures that look most like this one, or like several together, best first."""
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
            tenant=tenant,
            recall=recall,
            create=False,
            preload=bool(query.pictures),
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
            if recall is not None and opened.untuned:
                terminal.say("It is not known yet which recall this index has; measuring it once.")
                opened.tune()
            started = time.perf_counter()
            hits = opened.search(query, **dataclasses.asdict(wanted))
            answer = showing.Answer(
                query={**query.described(), **answering.said(wanted)},
                title=printable(" ".join(words)),
                pictures=asking.pictures(query) if shown_as.form is HitFormat.html else [],
                hits=hits,
                seconds=time.perf_counter() - started,
            )
            terminal.note(
                "searched", event="searched", hits=len(hits), seconds=round(answer.seconds, 6)
            )
            shown_as.show(answer, opened, terminal)
            if not hits:
                answering.say_nothing_found(terminal, pictures=len(opened), wanted=wanted)
