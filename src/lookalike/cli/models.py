"""``lookalike models``."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from enum import Enum
from importlib.util import find_spec
from typing import Annotated

import typer

from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.terminal import FAILED, Terminal
from lookalike.embed import extras
from lookalike.embed.presets import PRESETS, Preset

HEADER = ("name", "dim", "pixels", "params", "GMACs", "licence of the weights")


class ModelFormat(str, Enum):
    """How models are printed."""

    table = "table"
    json = "json"


def models(
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="List the pretrained models of timm, and of open_clip if it is installed, with "
            "this in their name, or that match it where it has * or ?.",
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
    """Show models worth knowing and what they cost, or find others by name.

    GMACs are 10^9 multiply-adds for one picture; the licence is that of the weights. Models that
    read words can be asked with them; they need the extra text (docs/models.md).
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        if search is not None:
            _print_names(search, model_format, terminal)
        elif model_format is ModelFormat.json:
            presets = [
                dataclasses.asdict(preset) | {"reads_words": preset.reads_words}
                for preset in PRESETS.values()
            ]
            typer.echo(json.dumps({"models": presets}))
        elif sys.stdout.isatty():
            _print_table()
            terminal.say("Any other of timm's or open_clip's: lookalike models --search TEXT")
        else:
            for preset in PRESETS.values():
                name, *facts = _facts(preset)
                words = "words" if preset.reads_words else ""
                typer.echo("\t".join((name, preset.full_name, *facts, preset.good_for, words)))


def _print_names(pattern: str, model_format: ModelFormat, terminal: Terminal) -> None:
    # Loaded here: it takes seconds, and only this needs it.
    timm_names = extras.load("timm_names", "searching timm's names", extra="timm")
    names: list[str] = timm_names.pretrained_names(pattern)
    if find_spec("open_clip"):
        clip_names = extras.load("clip_names", "searching open_clip's names", extra="text")
        names += clip_names.pretrained_names(pattern)
    if model_format is ModelFormat.json:
        typer.echo(json.dumps({"names": names}))
    else:
        for name in names:
            typer.echo(name)
    if not names:
        terminal.say(f"No pretrained model is called anything like {pattern!r}.")
        raise typer.Exit(FAILED)


def _print_table() -> None:
    """Two lines for each model, three on a narrow terminal."""
    # Imported here: only a person needs it, and a program waits for it.
    from rich.columns import Columns  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(markup=False, emoji=False, highlight=False)
    rows = [_facts(preset) for preset in PRESETS.values()]
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    console.print(_aligned(HEADER, widths), style="bold")
    for preset, row in zip(PRESETS.values(), rows, strict=True):
        line = Text(_aligned(row, widths))
        line.stylize("cyan", end=len(preset.name))
        console.print(line)
        parts = (preset.full_name, "reads words" * preset.reads_words, preset.good_for)
        details = Columns(filter(None, parts), padding=(0, 2))
        console.print(Padding(details, (0, 0, 0, 2), expand=False), style="dim")


def _facts(preset: Preset) -> tuple[str, ...]:
    height, width = preset.size
    return (
        preset.name,
        str(preset.dim),
        f"{width}×{height}",
        f"{preset.parameters / 1e6:.1f} M",
        f"{preset.gmacs:g}",
        preset.licence,
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first and the last cell to the left, the figures between them to the right."""
    name, *figures, licence = cells
    padded = [cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True)]
    return "  ".join((name.ljust(widths[0]), *padded, licence))
