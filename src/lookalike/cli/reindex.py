"""``lookalike reindex``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection as Collected
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import labels, progress
from lookalike.cli.options import (
    Collection,
    Database,
    Device,
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
from lookalike.cli.terminal import FAILED, Terminal, startup_done
from lookalike.errors import LabelsUnusable
from lookalike.index import Index
from lookalike.insight.quality import check_labels
from lookalike.records import Progress
from lookalike.reports import ReindexReport

EXAMPLE = "lookalike reindex --model resnet18"


def reindex(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The new model, see: lookalike models.", show_default=False
        ),
    ] = None,
    weights: Weights = None,
    device: Device = None,
    precision: Precision = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE.csv",
            help="What pictures show, in two columns, path and label, to measure both models with; "
            "by default it is the name of the folder.",
            show_default=False,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Go on without pictures that cannot be read any more, or are not in the index.",
        ),
    ] = False,
    no_swap: Annotated[
        bool, typer.Option("--no-swap", help="Compare only; the same command without it goes on.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to what the index was before.")
    ] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Do away with all of it that is not in use.")
    ] = False,
    report_format: ReportFormat = Report.text,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Embed all pictures again with another model, while the index is searched as it is.

    The new vectors go beside the old ones; both are compared, and then the new ones take their
    place in one step. The old ones are kept, for --rollback, until --drop-old.
    """  # fmt: skip
    if (rollback and (model or drop_old)) or not (model or rollback or drop_old):
        raise typer.BadParameter("give --model, with or without --drop-old, or one of the others")
    if no_swap and (rollback or drop_old):
        raise typer.BadParameter("it goes with --model alone", param_hint="--no-swap")
    with Terminal(verbose, quiet=quiet) as terminal:
        if rollback:
            now = Index.rollback(db, token=token, collection=collection)
            _say(terminal, report_format, {"rows_in": now}, f"{collection} is {now} again")
            return
        if model is None:
            gone = Index.drop_old(db, token=token, collection=collection)
            named = " and ".join(gone)
            _say(terminal, report_format, {"dropped": gone}, f"the rows of {named} are dropped")
            return
        known = _Labels(labels_file)
        startup_done()
        with progress.shown(None, terminal) as show:

            def on_progress(now: Progress) -> None:
                terminal.on_interrupt = (
                    "Stopped. The index is as it was; run the same command again to go on."
                )
                show(now)

            report = Index.reindex(
                db,
                model=model,
                weights=weights,
                token=token,
                collection=collection,
                labels=known,
                allow_missing=allow_missing,
                swap=not no_swap,
                settings=settings_with(device=device, precision=precision),
                on_progress=on_progress,
            )
        _print(report, report_format, terminal)
        if report.swapped and drop_old:
            Index.drop_old(db, token=token, collection=collection)
        if report.skipped and not report.swapped and not no_swap:
            terminal.say(
                f"The index is as it was: {len(report.skipped)} of its pictures could not be "
                "embedded. Bring them back and run the same command again, or go on without them "
                "with --allow-missing."
            )
            raise typer.Exit(FAILED)
        if report.lost:
            terminal.say(
                f"The index is as it was: {report.after[2]}, where it was before, has "
                f"rows that are not in it any more ({report.lost}). Go back to all of them with "
                "--rollback, or run the same command again with --allow-missing to remove them."
            )
            raise typer.Exit(FAILED)


class _Labels:
    """What pictures show: as a table says, or else the names of their folders."""

    def __init__(self, table: Path | None) -> None:
        self._table = table
        if table:
            labels.of_some(table, ())  # says what is wrong with it before anything is done

    def __call__(self, paths: Collected[str]) -> dict[str, str]:
        if self._table:
            return labels.of_some(self._table, paths)
        known = labels.from_folders(paths)
        try:
            check_labels(list(known.values()))
        except LabelsUnusable:
            return {}
        return known


def _say(terminal: Terminal, report_format: Report, known: Mapping[str, object], line: str) -> None:
    if report_format is Report.json:
        typer.echo(json.dumps(known))
    elif not terminal.quiet:
        typer.echo(line)


def _print(report: ReindexReport, report_format: Report, terminal: Terminal) -> None:
    if report_format is Report.json:
        known = dataclasses.asdict(report)
        known["seconds"] = round(report.seconds, 3)
        for name in ("before", "after"):
            parts = zip(("model", "fingerprint", "rows_in"), known[name], strict=True)
            known[name] = dict(parts)
        typer.echo(json.dumps(known))
        return
    terminal.say_skipped(report.skipped)
    if terminal.quiet:
        return
    compared = report.comparison
    typer.echo(
        f"{report.embedded} embedded, {report.unchanged} there already, {len(report.skipped)} "
        f"skipped, {report.seconds:.1f} s"
    )
    typer.echo(
        f"overlap of the nearest 10: {compared.overlap_at_10:.3f} ({compared.questions} questions)"
    )
    if compared.r_at_1 and compared.p_at_10:
        for number, each in enumerate((report.before, report.after)):
            typer.echo(
                f"{each[0]}: R@1 {compared.r_at_1[number]:.3f}, P@10 "
                f"{compared.p_at_10[number]:.3f} ({compared.labelled} labelled pictures)"
            )
    model, fingerprint, rows_in = report.after if report.swapped else report.before
    still = "now" if report.swapped else "still"
    typer.echo(
        f"{report.collection} in {report.database} is {still} {rows_in}, of the model {model} "
        f"({fingerprint[:8]})"
    )
    if report.untuned:
        typer.echo(f"The recall of {report.after[2]} is not measured yet: lookalike tune")
