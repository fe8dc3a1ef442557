"""``lookalike index``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.options import (
    AllFiles,
    Collection,
    Database,
    Device,
    Exclude,
    FromFile,
    Metric,
    Model,
    OneFileSystem,
    Precision,
    Quiet,
    Report,
    ReportFormat,
    Token,
    Verbose,
    Version,
    Weights,
    settings_with,
)
from lookalike.cli.plan import print_plan
from lookalike.cli.skip_report import check_report, write_report
from lookalike.cli.terminal import FAILED, Terminal, startup_done
from lookalike.index import Index
from lookalike.ingest.metadata_file import read_metadata
from lookalike.ingest.name_list import names_in
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.records import IndexReport, Progress


def index(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Folders, files, zip and tar files, addresses such as s3://bucket/prefix.",
            show_default=False,
        ),
    ] = None,
    from_file: FromFile = None,
    exclude: Exclude = None,
    all_files: AllFiles = False,
    one_file_system: OneFileSystem = False,
    report_format: ReportFormat = Report.text,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if anything was skipped.")
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write what was skipped, with reasons and thumbnails; .html or .json.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
    ] = False,
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Read all files: the bytes tell which have changed."),
    ] = False,
    metric: Annotated[
        Metric | None,
        typer.Option(
            case_sensitive=False,
            help="How a new index measures likeness; else cosine.",
            show_default=False,
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Your own fields: .csv with a column path, or .jsonl of objects with path.",
            show_default=False,
        ),
    ] = None,
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
    """Make the index match these folders, files, archives and storages.

    New and changed pictures are added, rows of deleted ones are removed. Running it again costs
    little; after an interruption it goes on where it was.
    """
    if not paths and not from_file:
        raise typer.BadParameter("name one, or a list with --from-file", param_hint="PATH...")
    sources, patterns = paths or [], tuple(exclude or ())
    options = ScanOptions(patterns, all_files=all_files, one_file_system=one_file_system)
    with Terminal(verbose, quiet=quiet) as terminal:
        terminal.on_interrupt = "Stopped before anything was changed."
        # What is misspelt must not leave an empty database behind.
        if report_file:
            check_report(report_file)
        folders = Scan(sources, options=options).folders
        unused = read_metadata(metadata, folders=folders) if metadata else {}
        if dry_run:
            more = names_in(from_file) if from_file else None
            print_plan(
                Scan(sources, options=options, more=more),
                lambda opened: opened.plan(
                    *sources,
                    more=more,
                    exclude=patterns,
                    all_files=all_files,
                    one_file_system=one_file_system,
                    metadata=unused or None,
                    checksum=checksum,
                ),
                db=db,
                collection=collection,
                report_format=report_format,
                terminal=terminal,
            )
            return
        with (
            Index.open(
                db,
                token=token,
                model=model,
                weights=weights,
                calibration=sources,
                collection=collection,
                metric=metric and metric.value,
                settings=settings_with(device=device, precision=precision),
            ) as opened,
            progress.shown(None if from_file else sources, terminal, options=options) as show,
        ):
            startup_done()

            def on_progress(now: Progress) -> None:
                terminal.on_interrupt = (
                    f"Stopped. {now.added + now.updated} pictures of this run are in the index "
                    "and stay there; run the same command again to go on."
                )
                show(now)

            report = opened.add(
                *sources,
                more=names_in(from_file) if from_file else None,
                exclude=patterns,
                all_files=all_files,
                one_file_system=one_file_system,
                metadata=(lambda path: unused.pop(path, None)) if metadata else None,
                checksum=checksum,
                on_progress=on_progress,
            )
            database = opened.info().database
        if metadata and unused:
            rows, those = (
                ("1 row", "is of a file that was")
                if len(unused) == 1
                else (f"{len(unused)} rows", "are of files that were")
            )
            first = next(iter(unused))
            terminal.say(f"{rows} of {metadata.name} {those} not indexed, e.g. {first}")
        _print(report, report_format, terminal, database=database)
        if report_file:
            write_report(report_file, report, sources=sources or [str(from_file)])
        if strict and report.skipped:
            raise typer.Exit(FAILED)


def _print(
    report: IndexReport, report_format: Report, terminal: Terminal, *, database: str
) -> None:
    if report_format is Report.json:
        summary = dataclasses.asdict(report)
        summary["seconds"] = round(report.seconds, 3)
        summary["images_per_second"] = round(report.images_per_second, 1)
        typer.echo(json.dumps(summary))
        return
    terminal.say_skipped(report.skipped)
    found = report.added + report.updated + report.unchanged + len(report.skipped)
    if not found:
        terminal.say("There are no pictures in what was given.")
    if not terminal.quiet:
        typer.echo(
            f"{report.added} added, {report.updated} updated, {report.moved} moved, "
            f"{report.removed} removed, {report.unchanged} unchanged, "
            f"{len(report.skipped)} skipped; {report.total} pictures in {database}"
        )
        if report.added + report.updated:
            typer.echo(f"{report.seconds:.1f} s, {report.images_per_second:.0f} pictures/s")
