"""``lookalike models``."""

from __future__ import annotations

import dataclasses
import json
import sys
from enum import Enum
from typing import Annotated

import typer

from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.show import Column, print_columns, print_lines
from lookalike.cli.terminal import FAILED, Terminal
from lookalike.embed.catalog import pretrained_names
from lookalike.embed.presets import PRESETS


class ModelFormat(str, Enum):
    """How models are printed."""

    table = "table"
    json = "json"


def models(
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="List timm's pretrained models with this in their names; * and ? stand for any "
            "characters.",
            show_default=False,
        ),
    ] = None,
    model_format: Annotated[
        ModelFormat, typer.Option("--format", help="How to print the models.")
    ] = ModelFormat.table,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Show models for --model: some worth knowing, or all that timm has weights for.

    Parameters are in millions; GMACs are 10^9 multiply-adds for one picture.
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        if search is None:
            _print_presets(model_format)
            return
        names = pretrained_names(search)
        if model_format is ModelFormat.json:
            typer.echo(json.dumps(names))
        else:
            print_lines([name] for name in names)
        if not names:
            terminal.say(f"timm has no pretrained model with {search!r} in its name.")
            raise typer.Exit(FAILED)


def _print_presets(model_format: ModelFormat) -> None:
    presets = PRESETS.values()
    if model_format is ModelFormat.json:
        typer.echo(json.dumps([dataclasses.asdict(preset) for preset in presets]))
        return
    rows = [
        (
            preset.name,
            str(preset.dim),
            "×".join(map(str, preset.size)),
            f"{preset.parameters:.1f}",
            f"{preset.gmacs:.1f}",
            preset.licence,
            preset.timm_model or "–",
            preset.good_for,
        )
        for preset in presets
    ]
    if not sys.stdout.isatty():
        print_lines(rows)
        return
    columns = [
        Column("model", style="cyan"),
        *(Column(name, justify="right") for name in ("dim", "pixels", "M params", "GMACs")),
        Column("licence"),
        Column("name in timm"),
        Column("good for"),
    ]
    print_columns(columns, rows)
