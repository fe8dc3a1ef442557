"""Rows out of Milvus Lite's own tables, without a detour.

The client sends what it wants as the text of an expression, and for each question Milvus Lite walks
in Python through all rows. Its tables are Arrow's, so whole columns can be had at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
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


def whole_rows(tables: LiteTables, condition: str, *, size: int) -> Iterator[list[Row]]:
    """Pages of at most `size` whole rows as they are now; writes meanwhile are not seen.

    Every row is looked at once, whatever the number of pages; a row's vector is an array.
    """
    for part in tables.meeting(condition):
        alive = np.flatnonzero(part.alive)
        for start in range(0, len(alive), size):
            yield _as_rows(part.table.take(alive[start : start + size]))


def _as_rows(table: Any) -> list[Row]:
    matrix = matrix_of(table[VECTOR_FIELD])
    found: list[Row] = table.drop_columns([VECTOR_FIELD]).to_pylist()
    for row, vector in zip(found, matrix, strict=True):
        # Fields without a column of their own are kept as one text.
        row.update(json.loads(row.pop("$meta", None) or "{}"))
        row.pop("_seq", None)
        row[VECTOR_FIELD] = vector
    return found
