"""Reading single columns of Milvus Lite's tables, which its own calls cannot.

Whatever they read, they build whole rows in Python first, with their vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from milvus_lite.server_manager import server_manager_instance as lite_servers
from pyarrow import compute

from lookalike.store.database import Row

_NEEDED = ("_segments_snapshot", "_read_snapshot", "_memtable")


def own_object(database: str, name: str) -> Any:
    """Milvus Lite's own object of a loaded collection; None where this version has another kind."""
    entry = getattr(lite_servers, "_servers", {}).get(database)
    rows = entry[1].get_collection(name) if entry else None
    return rows if all(hasattr(rows, each) for each in _NEEDED) else None


def get(rows: Any, ids: Sequence[str], fields: Sequence[str]) -> list[Row]:
    """Columns of those `ids` that have a row, in no order."""
    memory = rows._memtable  # first, for a flush moves its rows into segments and starts another
    segments, deleted = rows._read_snapshot()
    found: list[Row] = []
    places: dict[int, list[int]] = {}
    for key in ids:
        row = memory.get(key)
        if row is not None:
            found.append({name: row[name] for name in fields})
        elif not memory.is_locally_deleted(key):
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


def where(
    rows: Any, wanted: Mapping[str, Sequence[int]], fields: Sequence[str], limit: int
) -> list[Row]:
    """At most `limit` rows with one of the `wanted` values in each of these integer fields.

    Others that have been replaced or deleted may be among them.
    """
    found: list[Row] = []
    segments = [segment.table for segment in rows._segments_snapshot()]
    for whole in (*segments, rows._memtable.to_arrow_table()):
        table = whole.select([*fields, *wanted.keys() - set(fields)])
        for name, values in wanted.items():
            table = table.filter(compute.is_in(table[name], value_set=pa.array(values, pa.int64())))
        found += table.to_pylist()
    return found[:limit]
