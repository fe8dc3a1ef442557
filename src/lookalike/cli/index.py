"""``lookalike index``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.index_metrics import MetricsFile, RunMetrics
from lookalike.cli.index_run import IndexRun
from lookalike.cli.keeping import (
    Consistency,
    IndexParams,
    IndexType,
    Mmap,
    Profile,
    Replicas,
    Tenant,
    Vectors,
    design_of,
)
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
from lookalike.cli.sharing import Ray, ShardOption, shard_of, workers_at
from lookalike.cli.skip_report import check_report, endings, write_report
from lookalike.cli.terminal import FAILED, Terminal
from lookalike.ingest.metadata_file import read_metadata
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.records import Fields
from lookalike.reports import IndexReport


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
    keep_watching: Annotated[
        bool, typer.Option("--watch", help="Stay, and keep the index in step with the folders.")
    ] = False,
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
    ray: Ray = None,
    shard: ShardOption = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Your own fields: .csv with a column path, or .jsonl of objects with path.",
            show_default=False,
        ),
    ] = None,
    metrics_file: MetricsFile = None,
    profile: Profile = None,
    index_type: IndexType = None,
    index_params: IndexParams = None,
    vectors: Vectors = None,
    replicas: Replicas = None,
    mmap: Mmap = False,
    consistency: Consistency = None,
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
    """Make the index match these folders, files, archives and storages.

    New and changed pictures are added, rows of deleted ones are removed. Running it again costs
    little; after an interruption it goes on where it was.
    """
    if not paths and not from_file:
        raise typer.BadParameter("name one, or a list with --from-file", param_hint="PATH...")
    if keep_watching and (from_file or dry_run or report_file or strict):
        others = "neither --from-file, --dry-run, --report nor --strict"
        raise typer.BadParameter(f"it goes with {others}", param_hint="--watch")
    if (ray or shard) and (keep_watching or dry_run):
        raise typer.BadParameter(
            "it goes with neither --watch nor --dry-run", param_hint="--ray" if ray else "--shard"
        )
    part = shard_of(shard)
    sources, patterns = paths or [], tuple(exclude or ())
    options = ScanOptions(patterns, all_files=all_files, one_file_system=one_file_system)
    with Terminal(verbose, quiet=quiet) as terminal:
        terminal.on_interrupt = "Stopped before anything was changed."
        # What is misspelt must not leave an empty database behind.
        if report_file:
            check_report(report_file)
        folders = Scan(sources, options=options).folders
        settings = settings_with(device=device, precision=precision)
        workers = workers_at(ray, db=db, token=token, weights=weights, device=settings.device)
        run = IndexRun(
            sources=sources,
            from_file=from_file,
            options=options,
            checksum=checksum,
            fields=read_metadata(metadata, folders=folders) if metadata else None,
            db=db,
            token=token,
            collection=collection,
            tenant=tenant,
            design=design_of(
                profile,
                index_type=index_type,
                index_params=index_params,
                vectors=vectors,
                replicas=replicas,
                mmap=mmap,
                consistency=consistency,
            ),
            model=model,
            weights=weights,
            metric=metric and metric.value,
            shard=part,
            workers=workers,
            metrics=RunMetrics(metrics_file) if metrics_file else None,
            # The machine of the command may have no GPU, and embeds nothing.
            settings=dataclasses.replace(settings, device="cpu") if workers else settings,
        )
        if dry_run:
            print_plan(run, report_format, terminal)
        elif keep_watching:
            # Imported here: it is rarely wanted.
            from lookalike.cli.watch import watch  # noqa: PLC0415

            def show(report: IndexReport, database: str) -> None:
                print_report(report, report_format, terminal, database=database)

            watch(run, sources, show, terminal)
        else:
            with run.measured(), run.open() as opened:
                report = run.add(opened, terminal)
                database = opened.info().database
            if metadata and run.fields:
                _say_unused(run.fields, metadata.name, terminal)
            print_report(report, report_format, terminal, database=database)
            if report_file:
                write_report(
                    report_file,
                    report,
                    sources=[*sources, *([from_file.name] if from_file else [])],
                )
            if strict and report.skipped:
                raise typer.Exit(FAILED)


def _say_unused(fields: Mapping[str, Fields], name: str, terminal: Terminal) -> None:
    rows, those = (
        ("1 row", "is of a file that was")
        if len(fields) == 1
        else (f"{len(fields)} rows", "are of files that were")
    )
    terminal.say(f"{rows} of {name} {those} not indexed, e.g. {next(iter(fields))}")


def print_report(
    report: IndexReport, report_format: Report, terminal: Terminal, *, database: str
) -> None:
    """Print what a run did, for a person or as JSON."""
    names = ("added", "updated", "moved", "removed", "unchanged", "total")
    terminal.note(
        f"indexed into {database}",
        event="indexed",
        database=database,
        **{name: getattr(report, name) for name in names},
        skipped=len(report.skipped),
        seconds=round(report.seconds, 3),
    )
    if report_format is Report.json:
        summary = dataclasses.asdict(report)
        del summary["others"]
        summary["seconds"] = round(report.seconds, 3)
        summary["images_per_second"] = round(report.images_per_second, 1)
        typer.echo(json.dumps(summary))
        return
    terminal.say_skipped(report.skipped)
    if report.others:
        count = sum(report.others.values())
        files = "1 file was" if count == 1 else f"{count} files were"
        terminal.say(f"{files} not looked at: {endings(report.others)}; --all-files tries them")
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
