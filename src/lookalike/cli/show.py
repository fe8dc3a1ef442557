"""Hits as a table, as JSON, or as bare paths."""

from __future__ import annotations

import dataclasses
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
    paths = "paths"


def as_json(query: dict[str, Any], model: str, hits: Sequence[Hit], seconds: float) -> str:
    """The answer to a search as one JSON object."""
    answer = {
        "query": query,
        "model": model,
        "hits": [dataclasses.asdict(hit) for hit in hits],
        "seconds": round(seconds, 4),
    }
    return json.dumps(answer)


def print_table(hits: Sequence[Hit], *, below: str = "") -> None:
    """Rank, score, path, size, and metadata if there is any; no frames where nobody watches.

    Args:
        hits: best first.
        below: a folder that is left out in front of the paths.
    """
    with_metadata = any(hit.metadata for hit in hits)
    with_copies = any(hit.similar_count for hit in hits)
    rows = [
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
    columns = [
        Column("#", justify="right", style="dim"),
        Column("score", justify="right", style="cyan"),
        Column("path"),
        Column("pixels", justify="right"),
        Column("size", justify="right"),
        *([Column("alike", justify="right")] if with_copies else []),
        *([Column("metadata")] if with_metadata else []),
    ]
    if sys.stdout.isatty():
        print_columns(columns, rows)
    else:
        print_lines(rows)


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
