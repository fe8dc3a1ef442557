"""``lookalike duplicates``."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.keeping import Tenant
from lookalike.cli.options import Collection, Database, Quiet, Token, Verbose, Version
from lookalike.cli.progress import busy
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.index import Index
from lookalike.records import DisposalReport, DuplicateGroup

EXAMPLE = "lookalike duplicates ~/Pictures --keep oldest --move-to ~/Duplicates"

DONE = {
    "move": ("moved", "to move"),
    "hardlink": ("linked", "to link"),
    "trash": ("deleted", "to delete"),
}


class Level(str, Enum):
    """How alike is enough."""

    exact = "exact"
    near = "near"
    similar = "similar"


class GroupFormat(str, Enum):
    """How groups are printed."""

    table = "table"
    json = "json"
    csv = "csv"
    paths = "paths"
    html = "html"


class Keep(str, Enum):
    """Which one of a group is kept."""

    most_pixels = "most-pixels"
    largest = "largest"
    newest = "newest"
    oldest = "oldest"
    shortest_path = "shortest-path"


def duplicates(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="Only what lies in these folders, files and archives; else the whole index.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        Level,
        typer.Option(
            help="exact: the same bytes; near: also the same picture, resized, compressed again "
            "or lightly edited; similar: also what merely looks alike."
        ),
    ] = Level.near,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="How alike similar pictures are, up to 1; else 0.9.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR",
            help="Find what DIR has already: its pictures are kept, and only others are listed; "
            "may be given again.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[Keep, typer.Option(help="Which one of a group is kept.")] = Keep.most_pixels,
    group_format: Annotated[
        GroupFormat,
        typer.Option("--format", help="How to print the groups; paths are those not kept."),
    ] = GroupFormat.table,
    move_to: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Move the duplicates there.", show_default=False),
    ] = None,
    hardlink: Annotated[
        bool, typer.Option("--hardlink", help="Replace exact duplicates by hard links.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Put the duplicates into the trash.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run/--apply", help="Only say what would be done, or do it."),
    ] = True,
    undo_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write what was done, to undo it; else in the folder for user data.",
            show_default=False,
        ),
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Put back what such a file tells, with --apply.",
            show_default=False,
        ),
    ] = None,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Find pictures that are there more than once, and move, link or delete what is too many.

    Nothing is changed without --apply, and never the last copy.
    """
    # Imported here: every other command would wait for these.
    from lookalike.cli import duplicates_show as show  # noqa: PLC0415
    from lookalike.ingest.undo import new_undo_file  # noqa: PLC0415

    action = _action(move_to, hardlink, delete)
    if min_score is not None and (level is not Level.similar or not 0 < min_score <= 1):
        wanted = "it goes with --level similar, and is above 0 and at most 1"
        raise typer.BadParameter(wanted, param_hint="--min-score")
    asked = (paths, action, against, undo_file, min_score is not None)
    usual = (level, keep, group_format) == (Level.near, Keep.most_pixels, GroupFormat.table)
    if undo and (any(asked) or not usual):
        raise typer.BadParameter("it takes nothing else but --apply", param_hint="--undo")
    if not dry_run and not action and not undo:
        wanted = "say what to do: --move-to DIR, --hardlink or --delete"
        raise typer.BadParameter(wanted, param_hint="--apply")
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, collection=collection, tenant=tenant, create=False) as opened,
    ):
        startup_done()
        if undo:
            _say_undone(opened.undo(undo, dry_run=dry_run), dry_run, terminal)
            return
        with busy("Looking for duplicates", terminal):
            groups = opened.duplicates(
                *(paths or ()),
                level=level.value,
                min_score=min_score,
                against=against or (),
                keep=keep.value,
            )
        if not action:
            show.print_groups(groups, group_format.value)
            terminal.say(f"{show.summary(groups)}; nothing was changed.")
            return
        written = undo_file or new_undo_file()
        again = f"lookalike duplicates --undo {shlex.quote(str(written))} --apply"
        if not dry_run:
            terminal.on_interrupt = f"Stopped. To undo what was done, if anything: {again}"
        report = opened.dispose(
            groups, action, to=move_to, within=paths or (), dry_run=dry_run, undo_file=written
        )
        _say_done(groups, report, action, dry_run, group_format, terminal)
        if report.undo_file:
            terminal.say(f"To undo it: {again}")


def _action(move_to: str | None, hardlink: bool, delete: bool) -> str | None:
    asked = {"move": move_to is not None, "hardlink": hardlink, "trash": delete}
    actions = [action for action, wanted in asked.items() if wanted]
    if len(actions) > 1:
        hint = "--move-to, --hardlink, --delete"
        raise typer.BadParameter("only one of these at a time", param_hint=hint)
    return actions[0] if actions else None


def _say_done(
    groups: list[DuplicateGroup],
    report: DisposalReport,
    action: str,
    dry_run: bool,
    group_format: GroupFormat,
    terminal: Terminal,
) -> None:
    from lookalike.cli import duplicates_show as show  # noqa: PLC0415

    if group_format is GroupFormat.json:
        typer.echo(show.as_json(groups, report))
    else:
        for done in report.done:
            typer.echo(show.line_of(done))
    for left in report.refused:
        terminal.say(f"left alone {left.path}: {left.refused}")
    counts = f"{len(report.done)} {DONE[action][dry_run]}, {len(report.refused)} left alone."
    terminal.say(f"{counts} Nothing was changed; --apply does it." if dry_run else counts)


def _say_undone(report: DisposalReport, dry_run: bool, terminal: Terminal) -> None:
    from lookalike.cli import duplicates_show as show  # noqa: PLC0415

    for done in report.done:
        typer.echo(show.line_of(done))
    for left in report.refused:
        terminal.say(f"left alone {left.path}: {left.refused}")
    what = "to put back" if dry_run else "put back"
    counts = f"{len(report.done)} {what}, {len(report.refused)} left alone."
    terminal.say(f"{counts} Nothing was changed; --apply does it." if dry_run else counts)
