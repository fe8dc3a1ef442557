"""Groups of duplicates as a table, JSON, CSV, paths, or a page of pictures."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from lookalike.cli.links import linked
from lookalike.cli.page import page
from lookalike.cli.show import Column, print_columns, print_lines, readable_bytes
from lookalike.cli.terminal import visible
from lookalike.cli.thumbnails import Thumbnails
from lookalike.records import Disposal, DisposalReport, Duplicate, DuplicateGroup

COLUMNS = ("group", "kind", "score", "path", "width", "height", "size_bytes", "content")
THUMBNAIL = 200
MOST = 500
"""So many groups a page shows; more would make it hundreds of megabytes."""

_STYLE = """\
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); }
li { background: var(--card); border-radius: .5rem; overflow: hidden; }
li.keep { outline: 3px solid var(--full); }
li div.text { padding: .5rem .75rem .75rem; font-size: .85rem; overflow-wrap: anywhere; }
.facts { font-size: .8rem; color: var(--soft); }
"""
_GROUP = "<h2>{number}</h2>\n<ol>\n{pictures}\n</ol>"
_PICTURE = """<li class="{kind}">{picture}<div class="text"><b>{kind}</b> {score:.3f}
<div>{name}</div><div class="facts">{width}×{height}, {size}</div></div></li>"""


def print_groups(groups: Sequence[DuplicateGroup], group_format: str) -> None:
    """Print them to stdout as ``table``, ``json``, ``csv``, ``html`` or ``paths``.

    A table has no frames where nobody watches; paths are of those that are not kept.
    """
    if group_format == "json":
        typer.echo(as_json(groups))
    elif group_format == "html":
        typer.echo(_page(groups))
    elif group_format == "paths":
        for group in groups:
            for other in group.others:
                typer.echo(other.path)
    elif group_format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, picture in _pictures(groups):
            size, score = picture.stamp.size_bytes, round(picture.score, 4)
            facts = (picture.width, picture.height, size, picture.content)
            writer.writerow((number, picture.kind, score, picture.path, *facts))
    else:
        _print_table(groups)


def summary(groups: Sequence[DuplicateGroup]) -> str:
    """How much there is too many, in one line."""
    others = [other for group in groups for other in group.others]
    size = readable_bytes(sum(other.stamp.size_bytes for other in others))
    return f"{len(groups)} groups with {len(others)} duplicates, {size}"


def as_json(groups: Sequence[DuplicateGroup], report: DisposalReport | None = None) -> str:
    """Groups, and what became of them, as one JSON object."""
    answer: dict[str, Any] = {
        "groups": [
            {"keep": _plain(group.keep), "others": [_plain(other) for other in group.others]}
            for group in groups
        ]
    }
    if report:
        answer["disposals"] = [dataclasses.asdict(each) for each in report.disposals]
        answer["undo_file"] = report.undo_file
    return json.dumps(answer)


def line_of(done: Disposal) -> str:
    """What was, or would be, done with one file."""
    path = visible(done.path)
    if done.action == "move":
        return f"move\t{path} → {visible(done.target)}"
    if done.action == "hardlink":
        return f"hardlink\t{path} → {visible(done.keep)}"
    return f"{'delete' if done.action == 'trash' else done.action}\t{path}"


def _plain(picture: Duplicate) -> dict[str, Any]:
    return {
        "path": picture.path,
        "kind": picture.kind,
        "score": round(picture.score, 4),
        "content": picture.content,
        "size_bytes": picture.stamp.size_bytes,
        "width": picture.width,
        "height": picture.height,
        "taken_at": picture.taken_at or None,
        "format": picture.format,
    }


def _pictures(groups: Sequence[DuplicateGroup]) -> Iterator[tuple[int, Duplicate]]:
    for number, group in enumerate(groups, 1):
        for picture in (group.keep, *group.others):
            yield number, picture


def _print_table(groups: Sequence[DuplicateGroup]) -> None:
    rows = [
        (
            str(number),
            picture.kind,
            f"{picture.score:.3f}",
            visible(picture.path),
            f"{picture.width}×{picture.height}",
            readable_bytes(picture.stamp.size_bytes),
        )
        for number, picture in _pictures(groups)
    ]
    if not sys.stdout.isatty():
        print_lines(rows)
    elif rows:
        columns = [
            Column("#", justify="right", style="dim"),
            Column("kind"),
            Column("score", justify="right", style="cyan"),
            Column("path"),
            Column("pixels", justify="right"),
            Column("size", justify="right"),
        ]
        print_columns(columns, rows)


def _page(groups: Sequence[DuplicateGroup]) -> str:
    count, shown = html.escape(summary(groups)), groups[:MOST]
    if len(groups) > MOST:
        count += f"; the first {MOST} groups are shown, {len(groups) - MOST} are not"
    parts = [f"<h1>Duplicates</h1><p>{count}; the first of each is kept</p>"]
    with Thumbnails(THUMBNAIL) as thumbnails:
        imgs = thumbnails.imgs([picture.path for _, picture in _pictures(shown)])
        for number, group in enumerate(shown, 1):
            items = [_item(each, next(imgs)) for each in (group.keep, *group.others)]
            parts.append(_GROUP.format(number=number, pictures="\n".join(items)))
    return page("Duplicates", style=_STYLE, body="\n".join(parts))


def _item(picture: Duplicate, img: str) -> str:
    return _PICTURE.format(
        kind=picture.kind,
        picture=img,
        score=picture.score,
        name=linked(picture.path, html.escape(picture.path)),
        width=picture.width,
        height=picture.height,
        size=readable_bytes(picture.stamp.size_bytes),
    )
