"""Milvus Lite's own tables of rows, looked into without a detour.

The client sends what it wants as the text of an expression, and for each question Milvus Lite walks
in Python through all rows. Its tables are Arrow's, so whole columns can be had at once.

- Segments are what lies in files and never change; newer rows are in the table in memory.
- A row that was replaced is still there, with a smaller number; so is one that was deleted, whose
  deletion has a larger number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from milvus_lite.server_manager import server_manager_instance as lite_servers
from pyarrow import compute

from lookalike.store.database import Row
from lookalike.store.schema import VECTOR_FIELD

_NEEDED = (
    "_name", "_segments_snapshot", "_memtable", "_read_snapshot", "_compile_filter",
    "resolve_search_metric",
)  # fmt: skip


def own_object(database: str, name: str) -> Any:
    """Milvus Lite's own object of a loaded collection; None where this version has another kind."""
    entry = getattr(lite_servers, "_servers", {}).get(database)
    rows = entry[1].get_collection(name) if entry else None
    return rows if all(hasattr(rows, needed) for needed in _NEEDED) else None


def columns_of(rows: Any, ids: Sequence[str], fields: Sequence[str]) -> list[Row]:
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


def columns_where(
    rows: Any, wanted: Mapping[str, Sequence[int]], fields: list[str], limit: int
) -> list[Row]:
    """At most `limit` rows, replaced ones among them, with these integers in these fields."""
    found: list[Row] = []
    segments = [segment.table for segment in rows._segments_snapshot()]
    for whole in (*segments, rows._memtable.to_arrow_table()):
        table = whole.select([*fields, *wanted.keys() - set(fields)])
        for name, values in wanted.items():
            table = table.filter(compute.is_in(table[name], value_set=pa.array(values, pa.int64())))
        found += table.to_pylist()
    return found[:limit]


def whole_rows(rows: Any, condition: str, *, size: int) -> Iterator[list[Row]]:
    """Pages of at most `size` whole rows as they are now; writes meanwhile are not seen.

    Every row is looked at once, whatever the number of pages; a row's vector is an array.
    """
    tables = _tables(rows)
    if condition:
        # Imported here: few questions need it.
        from milvus_lite.search.filter import evaluate_mask  # noqa: PLC0415

        compiled = rows._compile_filter(condition)
        tables = [
            (table, alive[np.asarray(evaluate_mask(compiled, table), bool)[alive]])
            for table, alive in tables
        ]
    for table, alive in tables:
        for start in range(0, len(alive), size):
            yield _as_rows(table.take(alive[start : start + size]))


def _tables(rows: Any) -> list[tuple[Any, npt.NDArray[np.int64]]]:
    """Each of its tables, and the numbers of those rows in it that count."""
    # What is in memory is asked first: if it goes into a file meanwhile, it is there twice, and
    # the other way round it would be nowhere.
    pks, numbers, _, _, recent = rows._memtable.to_search_snapshot(None, include_table=True)
    newest: dict[str, int] = dict(zip(pks, numbers.tolist(), strict=True))
    deleted = {pk: entry[0] for pk, entry in rows._memtable.delete_index_snapshot().items()}
    segments, deletions = rows._read_snapshot()
    parts = [(segment.table, segment.pks, segment.seqs.tolist()) for segment in segments]
    for _, keys, versions in parts:
        for key, version in zip(keys, versions, strict=True):
            if version > newest.get(key, -1):
                newest[key] = version
    counted: set[str] = set()

    def count(keys: list[str], versions: list[int]) -> npt.NDArray[np.int64]:
        alive = []
        for at, (key, version) in enumerate(zip(keys, versions, strict=True)):
            if (
                version == newest[key]
                and version >= deleted.get(key, -1)
                and not deletions.is_deleted(key, version)
                and key not in counted
            ):
                counted.add(key)
                alive.append(at)
        return np.array(alive, np.int64)

    found = [(table, count(keys, versions)) for table, keys, versions in parts]
    return found if recent is None else [*found, (recent, count(pks, numbers.tolist()))]


def _as_rows(table: Any) -> list[Row]:
    vectors = table[VECTOR_FIELD].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    matrix = np.asarray(flat, np.float32).reshape(table.num_rows, -1)
    found: list[Row] = table.drop_columns([VECTOR_FIELD]).to_pylist()
    for row, vector in zip(found, matrix, strict=True):
        # Fields without a column of their own are kept as one text.
        row.update(json.loads(row.pop("$meta", None) or "{}"))
        row.pop("_seq", None)
        row[VECTOR_FIELD] = vector
    return found
