"""``lookalike cluster``."""

from __future__ import annotations

import json
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import progress
from lookalike.cli.keeping import Tenant
from lookalike.cli.options import Collection, Database, Quiet, Token, Verbose, Version
from lookalike.cli.show import Column, print_columns, print_lines
from lookalike.cli.terminal import Terminal, startup_done, visible
from lookalike.index import Index
from lookalike.insight.groups import MOST_GROUPS, Clustering

EXAMPLE = "lookalike cluster --min-size 3 --format html --output groups.html"
SHOWN = 3


class GroupFormat(str, Enum):
    """How groups are printed."""

    table = "table"
    json = "json"
    html = "html"


def cluster(
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            metavar="N",
            min=1,
            max=MOST_GROUPS,
            help="Make N groups of all pictures (k-means). By default groups are where pictures "
            "lie close together (HDBSCAN), and others are in none.",
            show_default=False,
        ),
    ] = None,
    min_size: Annotated[
        int, typer.Option(min=2, help="How many pictures a group has at least, without --k.")
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Where k-means begins.")] = 0,
    group_format: Annotated[
        GroupFormat, typer.Option("--format", help="How to print the groups.")
    ] = GroupFormat.table,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where they are written, instead of stdout.",
            show_default=False,
            dir_okay=False,
            writable=True,
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
    """Sort the pictures of the index into groups that look alike, the largest first.

    Groups have no names; their most central pictures stand for them. This needs the
    extra groups.
    """
    if output and not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        Index.open(db, token=token, collection=collection, tenant=tenant, create=False) as opened,
    ):
        startup_done()
        with progress.busy("Finding groups", terminal):
            found = opened.clusters(k, least=min_size, seed=seed)
        _show(found, group_format, output, terminal)
        pictures = len(found.alone) + sum(len(group.paths) for group in found.clusters)
        terminal.say(
            f"{len(found.clusters)} groups of {pictures} pictures; {len(found.alone)} in none"
        )
        if found.sampled < pictures:
            terminal.say(f"Groups were found among {found.sampled} of them, others added.")


def _show(
    found: Clustering, group_format: GroupFormat, output: Path | None, terminal: Terminal
) -> None:
    if group_format is GroupFormat.table and output is None:
        _print_table(found)
        return
    if output is None and group_format is GroupFormat.html and sys.stdout.isatty():
        output = Path(tempfile.mkdtemp(prefix="lookalike-")) / "groups.html"
    text = _text(found, group_format)
    if output is None:
        typer.echo(text.encode(), nl=False)
    else:
        output.write_bytes(text.encode())
        terminal.say(f"The groups are in {output}")


def _text(found: Clustering, group_format: GroupFormat) -> str:
    if group_format is GroupFormat.html:
        # Imported here: only a page needs what decodes pictures.
        from lookalike.cli.cluster_page import cluster_page  # noqa: PLC0415

        return cluster_page(found)
    if group_format is GroupFormat.table:
        return "".join("\t".join(row) + "\n" for row in _rows(found))
    groups = [
        {
            "size": len(group.paths),
            "cohesion": round(group.cohesion, 4),
            "position": [round(x, 4) for x in group.position],
            "paths": group.paths,
        }
        for group in found.clusters
    ]
    return json.dumps({"groups": groups, "alone": found.alone, "sampled": found.sampled}) + "\n"


def _rows(found: Clustering) -> list[tuple[str, ...]]:
    return [
        (
            str(number),
            str(len(group.paths)),
            f"{group.cohesion:.3f}",
            *(visible(path) for path in group.paths[:SHOWN]),
        )
        for number, group in enumerate(found.clusters, 1)
    ]


def _print_table(found: Clustering) -> None:
    rows = _rows(found)
    if not sys.stdout.isatty():
        print_lines(rows)
        return
    columns = [
        Column("#", justify="right", style="dim"),
        Column("pictures", justify="right", style="cyan"),
        Column("cohesion", justify="right"),
        Column("most central"),
    ]
    print_columns(columns, [(*row[:3], "\n".join(row[3:])) for row in rows])
