"""Hits as a table, as JSON, as CSV, or as bare paths."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Literal

import typer

from lookalike.cli.terminal import visible
from lookalike.records import Fields, Hit

VALUE_CHARACTERS = 40


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of a table at a terminal; `style` is one of rich's."""

    name: str
    justify: Literal["left", "right"] = "left"
    style: str = ""


class HitFormat(str, Enum):
    """How hits are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    paths = "paths"
    html = "html"


def as_json(query: dict[str, Any], model: str, hits: Sequence[Hit], seconds: float) -> str:
    """The answer to a search as one JSON object."""
    answer = {
        "query": query,
        "model": model,
        "hits": [dataclasses.asdict(hit) for hit in hits],
        "seconds": round(seconds, 4),
    }
    return json.dumps(answer)


def as_jsonl(hits: Sequence[Hit]) -> str:
    """A JSON object in each line, with the rank of its hit in front."""
    lines = ({"rank": rank, **dataclasses.asdict(hit)} for rank, hit in enumerate(hits, 1))
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def as_csv(hits: Sequence[Hit]) -> str:
    """RFC 4180, with the names of the columns, and the user's own fields as further columns.

    What is no text or number stands as JSON, None as nothing. A field that is called as a column
    is, gets ``metadata.`` in front.
    """
    facts = [field.name for field in dataclasses.fields(Hit) if field.name != "metadata"]
    columns = ["rank", *facts]
    own = {
        name: f"metadata.{name}" if name in columns else name
        for name in sorted({name for hit in hits for name in hit.metadata})
    }
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([*columns, *own.values()])
    for rank, hit in enumerate(hits, 1):
        values = [getattr(hit, name) for name in facts] + [hit.metadata.get(name) for name in own]
        writer.writerow([rank, *map(_cell, values)])
    return buffer.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_paths(hits: Sequence[Hit], *, end: str = "\n") -> str:
    """The bare paths, with `end` after each."""
    return "".join(f"{hit.path}{end}" for hit in hits)


def as_table(hits: Sequence[Hit]) -> str:
    """The table that programs get."""
    return "".join("\t".join(row) + "\n" for row in _rows(hits))


def print_table(hits: Sequence[Hit], *, below: str = "") -> None:
    """Rank, score, path, size, and metadata if there is any; no frames where nobody watches.

    Args:
        hits: best first.
        below: a folder that is left out in front of the paths.
    """
    rows = _rows(hits, below=below)
    if not sys.stdout.isatty():
        print_lines(rows)
        return
    columns = [
        Column("#", justify="right", style="dim"),
        Column("score", justify="right", style="cyan"),
        Column("path"),
        Column("pixels", justify="right"),
        Column("size", justify="right"),
        *([Column("alike", justify="right")] if any(hit.similar_count for hit in hits) else []),
        *([Column("metadata")] if any(hit.metadata for hit in hits) else []),
    ]
    print_columns(columns, rows)


def _rows(hits: Sequence[Hit], *, below: str = "") -> list[tuple[str, ...]]:
    with_metadata = any(hit.metadata for hit in hits)
    with_copies = any(hit.similar_count for hit in hits)
    return [
        (
            str(rank),
            f"{hit.score:.3f}",
            visible(hit.path.removeprefix(below)),
            f"{hit.width}×{hit.height}",
            readable_bytes(hit.size_bytes),
            *([f"+{hit.similar_count}" if hit.similar_count else ""] if with_copies else []),
            *([visible(readable_fields(hit.metadata))] if with_metadata else []),
        )
        for rank, hit in enumerate(hits, 1)
    ]


def print_lines(rows: Iterable[Sequence[str]]) -> None:
    """Rows for programs: a line each, with tabs between the cells."""
    for row in rows:
        typer.echo("\t".join(row))


def print_columns(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Rows for a person at a terminal, below the names of the columns."""
    # Imported here: only a person needs it, and a program waits for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.name,
            justify=column.justify,
            style=column.style,
            overflow="fold",
            no_wrap=column.justify == "right",  # a number is of no use in parts
        )
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)


def readable_fields(metadata: Fields) -> str:
    """The user's own fields in one line, each value cut off where it is long."""
    return ", ".join(f"{name}={_readable(value)}" for name, value in metadata.items())


def _readable(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 1]}…"


def readable_bytes(size: int) -> str:
    """Three digits and a decimal unit."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
