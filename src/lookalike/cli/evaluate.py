"""``lookalike evaluate``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import figures, labels, progress
from lookalike.cli.evaluation_report import evaluation_report
from lookalike.cli.figures import Measured
from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.embed.catalog import load_embedder
from lookalike.embed.embedder import Embedder
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.errors import InvalidSetting, LabelsUnusable
from lookalike.index import Index
from lookalike.ingest.scan import Scan
from lookalike.insight.quality import check_labels
from lookalike.records import ImageFile, Skipped
from lookalike.settings import Settings
from lookalike.sources.names import absolute


class FigureFormat(str, Enum):
    """How figures are printed."""

    table = "table"
    json = "json"


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Where the pictures are, at any depth.", show_default=False
        ),
    ],
    labels_file: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE.csv",
            help="Labels in two columns, path and label; only pictures in it take part. By "
            "default a label is the name of the folder that directly holds the picture.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"A model; by default {DEFAULT_MODEL}."),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Several models, to compare.", show_default=False),
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option("--format", help="How to print the figures.")
    ] = FigureFormat.table,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Also write a page that shows the worst queries.",
            show_default=False,
            dir_okay=False,
            writable=True,
        ),
    ] = None,
    limit_worst: Annotated[
        int, typer.Option(min=1, max=1000, help="How many worst queries the page shows.")
    ] = 10,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Measure how good a model is on pictures whose labels are known.

    Each picture is asked against all others; those with its label are right.

    R@1: how often the nearest is right.
    P@10: how many of the 10 nearest are.
    mAP, nDCG@10: how far in front the right ones stand, of all and of 10.
    ±: half of the 95 % interval.
    recall@10: the part of the 10 nearest that the index finds.
    """
    names = _names(model, models)
    if report and not report.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {report.parent}", param_hint="--report")
    with Terminal(verbose, quiet=quiet) as terminal:
        terminal.on_interrupt = "Stopped before there was a result."
        known = _labels(folder, labels_file, terminal)
        settings = Settings.from_environment()
        calibration = list(known) if settings.precision == "int8" else None
        embedders = [
            load_embedder(name, calibration=calibration, settings=settings) for name in names
        ]
        startup_done()
        measured = [_measure(embedder, known, settings, terminal) for embedder in embedders]
        first = measured[0].evaluation
        if first.quality.left_out:
            alone = f"{first.quality.left_out} of {first.pictures} pictures"
            terminal.say(f"Not asked, for no other picture has their label: {alone}.")
        if figure_format is FigureFormat.json:
            typer.echo(figures.as_json(absolute(folder), measured))
        else:
            figures.print_table(measured)
        if report:
            page = evaluation_report(absolute(folder), measured, worst=limit_worst)
            report.write_text(page, encoding="utf-8")
            terminal.say(f"The worst queries, as pictures: {report}")


def _names(model: str | None, models: str | None) -> list[str]:
    """The models that are asked for, each once."""
    if models is None:
        return [model or DEFAULT_MODEL]
    if model is not None:
        raise typer.BadParameter("name all in --models, or one in --model", param_hint="--model")
    names = dict.fromkeys(name.strip() for name in models.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("there is no name in it", param_hint="--models")
    return list(names)


def _labels(folder: Path, table: Path | None, terminal: Terminal) -> dict[str, str]:
    """Path -> label of the pictures that take part."""
    scan = Scan([folder])
    if not scan.folders:
        raise InvalidSetting("FOLDER", str(folder), "a folder of pictures")
    found = list(scan)
    usable = {item.path for item in found if isinstance(item, ImageFile)}
    terminal.say_skipped([item for item in found if isinstance(item, Skipped)])
    if not usable:
        raise LabelsUnusable(f"There are no pictures in {folder}, so nothing can be measured.")
    paths = [item.path for item in found]
    if table:
        known = labels.from_table(table, folder=folder, paths=paths)
    else:
        known = labels.from_folders(paths)
    known = {path: label for path, label in known.items() if path in usable}
    check_labels(list(known.values()))
    if len(known) < len(usable):
        left_out = f"{len(usable) - len(known)} of {len(usable)} pictures"
        terminal.say(f"Left out, for {table} does not name them: {left_out}.")
    return known


def _measure(
    embedder: Embedder, known: Mapping[str, str], settings: Settings, terminal: Terminal
) -> Measured:
    """Index the pictures in a database of its own, and evaluate that."""
    with (
        tempfile.TemporaryDirectory(prefix="lookalike-") as place,
        Index.open(Path(place) / "evaluate.db", model=embedder, settings=settings) as opened,
    ):
        embedder.load()  # before the clock starts
        with progress.shown(list(known), terminal) as callback:
            report = opened.add(*known, on_progress=callback)
        terminal.say_skipped(report.skipped)
        with progress.busy(f"Measuring {embedder.name}", terminal):
            return Measured(opened.evaluate(known), report.images_per_second)
