"""Rows out of Milvus Lite's own tables, without a detour.

The client sends what it wants as the text of an expression, and for each question Milvus Lite walks
in Python through all rows. Its tables are Arrow's, so whole columns can be had at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from lookalike.store.database import Row
from lookalike.store.lite_tables import LiteTables, matrix_of
from lookalike.store.schema import VECTOR_FIELD


def columns_of(tables: LiteTables, ids: Sequence[str], fields: Sequence[str]) -> list[Row]:
    """Columns of those `ids` that have a row, in no order."""
    memory = tables.memory()
    segments, deleted = tables.rows._read_snapshot()
    found: list[Row] = []
    places: dict[int, list[int]] = {}
    for key in ids:
        for each in memory:
            if (row := each.get(key)) is not None:
                found.append({name: row[name] for name in fields})
            if row is not None or each.is_locally_deleted(key):
                break
        else:
            newest, place = -1, (0, 0)
            for number, segment in enumerate(segments):
                at = segment.pk_to_row.get(key)
                if at is not None and segment.seqs[at] > newest:
                    newest, place = int(segment.seqs[at]), (number, at)
            if newest >= 0 and not deleted.is_deleted(key, newest):
                places.setdefault(place[0], []).append(place[1])
    for number, positions in places.items():
        found += segments[number].table.select(fields).take(pa.array(positions)).to_pylist()
    return found


def columns_where(
    tables: LiteTables, wanted: Mapping[str, Sequence[int]], fields: list[str], limit: int
) -> list[Row]:
    """At most `limit` rows, replaced ones among them, with these integers in these fields."""
    found: list[Row] = []
    memory = [each.to_arrow_table() for each in tables.memory()]
    for whole in (*memory, *(segment.table for segment in tables.rows._segments_snapshot())):
        table = whole.select([*fields, *wanted.keys() - set(fields)])
        for name, values in wanted.items():
            table = table.filter(compute.is_in(table[name], value_set=pa.array(values, pa.int64())))
        found += table.to_pylist()
    return found[:limit]


def count(tables: LiteTables, condition: str = "") -> int:
    """How many rows meet a condition."""
    return sum(int(part.alive.sum()) for part in tables.meeting(condition))


def query(
    tables: LiteTables, condition: str, fields: Sequence[str], limit: int | None
) -> list[Row]:
    """At most `limit` of the rows that meet a condition."""
    found: list[Row] = []
    for part in tables.meeting(condition):
        left = None if limit is None else limit - len(found)
        found += rows_at(part.table, np.flatnonzero(part.alive)[:left], fields)
    return found


def whole_rows(tables: LiteTables, condition: str, *, size: int) -> Iterator[list[Row]]:
    """Pages of at most `size` whole rows as they are now; writes meanwhile are not seen.

    Every row is looked at once, whatever the number of pages.
    """
    for part in tables.meeting(condition):
        alive = np.flatnonzero(part.alive)
        for start in range(0, len(alive), size):
            yield rows_at(part.table, alive[start : start + size], ["*"])


def rows_at(table: Any, at: npt.NDArray[np.int64], fields: Sequence[str]) -> list[Row]:
    """Rows of a table by their numbers; ``*`` is every field, ``$meta`` those without a column.

    The id is always among them, and a vector is an array.
    """
    known = table.schema.names
    names = set(known) - {"_seq"} if "*" in fields else {"id", *fields} & set(known)
    some = table.select(sorted(names)).take(at)
    vectors = None
    if VECTOR_FIELD in names:
        vectors = matrix_of(some[VECTOR_FIELD])
        some = some.drop_columns([VECTOR_FIELD])
    found: list[Row] = some.to_pylist()
    for number, row in enumerate(found):
        # Fields without a column of their own are kept as one text.
        row.update(json.loads(row.pop("$meta", None) or "{}"))
        if vectors is not None:
            row[VECTOR_FIELD] = vectors[number]
    return found
