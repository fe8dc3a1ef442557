"""``lookalike tune``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.keeping import ProfileName, Tenant
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
from lookalike.cli.show import print_lines
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.index import Index

EXAMPLE = "lookalike tune --recall 0.95"


def tune(
    recall: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The share of the 10 nearest that searches shall find from now on; 0.95 at first.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        ProfileName | None,
        typer.Option(
            help="Make the index again as this profile first; meanwhile nobody can search.",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        int, typer.Option(min=1, max=1000, help="How many pictures of the index are asked with.")
    ] = 100,
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Measure how many of the nearest pictures an approximate index finds, and how fast.

    The curve is kept with the collection, so that searches know what a level of recall needs.
    """
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(
            db, token=token, model=None, collection=collection, tenant=tenant, create=False
        ) as opened,
    ):
        startup_done()
        with progress.busy("Measuring", terminal):
            curve = opened.tune(
                questions=questions, recall=recall, profile=profile and profile.value
            )
        if report_format is Report.json:
            told = {} if curve is None else dataclasses.asdict(curve)
            told["exact"] = curve is None and not opened.untuned
            typer.echo(json.dumps(told))
        elif curve is None and opened.untuned:
            typer.echo("This index chooses by itself how much it looks at; there is no curve.")
        elif curve is None:
            typer.echo("Every vector is compared (FLAT): searches are exact, their recall is 1.")
        else:
            print_lines(
                [
                    (curve.parameter, "recall@10", "ms"),
                    *(
                        (str(point.value), f"{point.recall:.3f}", f"{point.ms:.1f}")
                        for point in curve.points
                    ),
                ]
            )
            level = opened.level
            enough = curve.enough(level)
            short = "" if enough.recall >= level else f", the most it has, not {level:g}"
            terminal.say(
                f"{curve.index_type}, {curve.rows} rows: searches take {curve.parameter} "
                f"{enough.value}, for recall {enough.recall:.3f}{short}"
            )
