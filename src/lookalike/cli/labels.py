"""What each picture shows: the name of its folder, or what a table says."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Collection, Iterator
from pathlib import Path

from lookalike.errors import LabelsUnusable
from lookalike.sources.names import absolute

PATH, LABEL = "path", "label"


def from_folders(paths: Collection[str]) -> dict[str, str]:
    """Path -> the name of the folder that directly holds it."""
    return {path: posixpath.basename(posixpath.dirname(path)) for path in paths}


def from_table(table: Path, *, folder: Path, paths: Collection[str]) -> dict[str, str]:
    """Path -> label, as a CSV file with the columns ``path`` and ``label`` says.

    Args:
        table: the file. Its paths are absolute, or start in `folder` or where the file itself is.
        folder: where the pictures are.
        paths: those of all pictures below it.

    Raises:
        LabelsUnusable: it cannot be read, or one of its rows is wrong; says which and why.
    """
    known = frozenset(paths)
    labels: dict[str, str] = {}
    for where, name, label in _rows(table):
        places = (absolute(base / name) for base in (folder, table.parent))
        path = next((place for place in places if place in known), None)
        if path is None:
            raise LabelsUnusable(
                f"{where}: there is no picture {name!r} in {folder}. Paths start in that folder "
                f"or in the folder of {table.name}, or are absolute."
            )
        if labels.setdefault(path, label) != label:
            raise LabelsUnusable(
                f"{where}: {name!r} is {label!r} here, but {labels[path]!r} further up. "
                "A picture has one label."
            )
    if not labels:
        raise LabelsUnusable(f"{table}: there is no row below the header, so nothing has a label.")
    return labels


def of_some(table: Path, paths: Collection[str]) -> dict[str, str]:
    """Those of the labels in a table that are of these paths; others may be of other pictures.

    Raises:
        LabelsUnusable: it cannot be read, or one of its rows is wrong.
    """
    known = frozenset(paths)
    found = ((absolute(table.parent / name), label) for _, name, label in _rows(table))
    return {path: label for path, label in found if path in known}


def _rows(table: Path) -> Iterator[tuple[str, str, str]]:
    """Where a row is, for messages, its path and its label."""
    line = 1
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not {PATH, LABEL} <= set(reader.fieldnames or ()):
                raise LabelsUnusable(f"{table}, line 1: the header must be: {PATH},{LABEL}")
            for row in reader:
                line = reader.line_num
                where = f"{table}, line {line}"
                name, label = row[PATH], (row[LABEL] or "").strip()
                if not name or not label or None in row:
                    raise LabelsUnusable(
                        f"{where}: a row must be: {','.join(reader.fieldnames or ())} "
                        "(with a comma inside, a field stands in double quotes)."
                    )
                yield where, name, label
    except OSError as error:
        raise LabelsUnusable(f"{table} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise LabelsUnusable(f"{table} is not text in UTF-8; save it as such.") from error
    except csv.Error as error:
        raise LabelsUnusable(f"{table}, after line {line}: {error}.") from error
