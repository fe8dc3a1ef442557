"""A CSV or JSONL file of the user's own fields becomes a mapping from paths."""

from __future__ import annotations

import csv
import functools
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from lookalike.errors import InvalidMetadata
from lookalike.ingest.metadata import checked, same, wrong_name
from lookalike.records import Fields
from lookalike.sources.names import absolute, is_address, split_member

PATH_COLUMN = "path"

# As JSON has numbers, so that 007 stays a text.
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class _BadRow(Exception):
    """What is wrong with a row of the file that is being read."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it is written; `line` is the one that it begins in."""

    line: int
    path: str
    fields: Fields


def read_metadata(file: str | os.PathLike[str], *, folders: Sequence[str]) -> dict[str, Fields]:
    """Absolute paths -> fields, for `Index.add`.

    A CSV or TSV file has a header with a column ``path``. A column holds whole numbers, other
    numbers or booleans if every cell is one, else text; an empty cell is no field. In a JSONL file
    every line is an object with ``path``. A relative path is looked for in the `folders`, then
    beside the file, then in the current folder.

    Raises:
        InvalidMetadata: the file cannot be read, or a row is wrong or names no file; the first
            such row, with its line.
    """
    name = absolute(file)
    folder, ending = os.path.dirname(name), Path(name).suffix.lower()  # noqa: PTH120
    if ending not in _READERS:
        raise InvalidMetadata(name, f"its name must end in one of {' '.join(_READERS)}")
    try:
        with open(name, encoding="utf-8-sig", newline="") as text:  # noqa: PTH123
            return _by_path(_READERS[ending](text), [*folders, folder, absolute(".")])
    except OSError as error:
        raise InvalidMetadata(name, f"it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise InvalidMetadata(name, "it is not UTF-8 text; save it as that") from None
    except _BadRow as error:
        raise InvalidMetadata(name, f"line {error.line}: {error.reason}") from None


def _by_path(rows: Iterator[_Row], folders: Sequence[str]) -> dict[str, Fields]:
    found: dict[str, _Row] = {}
    for row in rows:
        path = _located(row, folders)
        try:
            own = _Row(row.line, path, checked(path, row.fields))
        except InvalidMetadata as error:
            raise _BadRow(row.line, error.reason) from None
        if path in found and not same(found[path].fields, own.fields):
            raise _BadRow(row.line, f"{path} has other fields in line {found[path].line}")
        found[path] = own
    return {path: row.fields for path, row in found.items()}


def _located(row: _Row, folders: Sequence[str]) -> str:
    if not row.path:
        raise _BadRow(row.line, f"it has no {PATH_COLUMN}")
    if is_address(row.path):
        return absolute(row.path)
    expanded = os.path.expanduser(row.path)  # noqa: PTH111
    for folder in folders:
        path = absolute(os.path.join(folder, expanded))  # noqa: PTH118
        member = split_member(path)
        if os.path.exists(member[0] if member else path):  # noqa: PTH110
            return path
    tried = "" if os.path.isabs(expanded) else ", below a folder to index, beside this file or here"  # noqa: PTH117
    raise _BadRow(row.line, f"{row.path} does not exist{tried}")


def _read_jsonl(text: TextIO) -> Iterator[_Row]:
    for line, written in enumerate(text, 1):
        if not written.strip():
            continue
        try:
            fields = json.loads(written)
        except (ValueError, RecursionError) as error:
            raise _BadRow(line, f"it is not JSON ({getattr(error, 'msg', error)})") from None
        if not isinstance(fields, dict):
            raise _BadRow(line, "it is not a JSON object")
        path = fields.pop(PATH_COLUMN, "")
        if not isinstance(path, str):
            raise _BadRow(line, f"its {PATH_COLUMN} is not a text")
        yield _Row(line, path, fields)


def _read_csv(text: TextIO, delimiter: str = ",") -> Iterator[_Row]:
    rows = _cells(text, delimiter)
    line, header = next(rows, (1, []))
    _check_header(line, header)
    table = list(rows)
    for line, cells in table:
        if len(cells) != len(header):
            count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            raise _BadRow(line, f"it has {count}, but the header has {len(header)}")
    columns = zip(*(cells for _, cells in table), strict=True)
    types = [_type_of([cell for cell in column if cell]) for column in columns]
    for line, cells in table:
        row = zip(header, types, cells, strict=True)
        fields = {
            name: as_type(cell) for name, as_type, cell in row if cell and name != PATH_COLUMN
        }
        yield _Row(line, cells[header.index(PATH_COLUMN)], fields)


def _cells(text: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line that it begins in."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BadRow(line, f"it is not as CSV must be ({error})") from None


def _check_header(line: int, header: list[str]) -> None:
    if PATH_COLUMN not in header:
        raise _BadRow(line, f"the header has no column {PATH_COLUMN!r}")
    for position, name in enumerate(header):
        if name in header[:position]:
            raise _BadRow(line, f"two columns are called {name!r}")
        if name != PATH_COLUMN and (reason := wrong_name(name)):
            raise _BadRow(line, reason)


def _type_of(cells: Sequence[str]) -> Callable[[str], Any]:
    if all(cell.lower() in {"true", "false"} for cell in cells):
        return lambda cell: cell.lower() == "true"
    if all(_is_integer(cell) for cell in cells):
        return int
    if all(_is_number(cell) for cell in cells):
        return float
    return str


def _is_integer(cell: str) -> bool:
    short = len(cell) <= len(str(-(1 << 63)))
    return bool(short and _INTEGER.fullmatch(cell)) and -(1 << 63) <= int(cell) < 1 << 63


def _is_number(cell: str) -> bool:
    """Whether a float holds it; of a whole number beyond 64 bits it would lose digits."""
    if _INTEGER.fullmatch(cell):
        return _is_integer(cell)
    return bool(_NUMBER.fullmatch(cell)) and math.isfinite(float(cell))


_READERS: dict[str, Callable[[TextIO], Iterator[_Row]]] = {
    ".csv": _read_csv,
    ".tsv": functools.partial(_read_csv, delimiter="\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}
