"""Every call to Milvus, and what differs between Milvus Lite and a server.

What is particular to Milvus Lite:

- Rows wait in a table in memory until `flush`, and are searched slowly until then. A kill cannot
  lose them, for they are in the write-ahead log; a power cut can, for nothing is synced to disk.
- An indexed collection reopens released and must be loaded.
- ``upsert`` keeps those dynamic fields of the old row that the new one lacks. ``insert`` replaces a
  row of the same id as a whole, in one entry of the write-ahead log, so it is what writes here. (A
  server's ``insert`` makes a second row; there ``upsert`` replaces.)
- Writes of several threads are not kept apart.
- ``query_iterator`` costs a whole scan for each page, so rows are paged by ranges of their ids.
- Whatever matches a filter is built in memory with its vector, even for ``count(*)``, so nothing
  is asked for that could match more than a page.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from milvus_lite.exceptions import MilvusLiteError
from pymilvus import DataType
from pymilvus.exceptions import MilvusException

from lookalike.errors import (
    IndexIncompatible,
    IndexNotFound,
    IndexNotWritable,
    StorageFull,
    StoreError,
)
from lookalike.records import Fields, Hit, ImageRecord, Stamp, Twin, Vector
from lookalike.store import filters, schema
from lookalike.store.lite import lite_collection, load, open_lite, release_lite
from lookalike.store.schema import CollectionModel

# Often enough that Lite's memory stays small; a flush of this many takes about 50 ms.
FLUSH_ROWS = 512
PAGE_ROWS = 4096
MAX_WINDOW = 16_384  # Milvus's limit on offset + limit

# Both print errors, with tracebacks, that they also raise; here every one of these is mapped.
for _name in ("pymilvus", "milvus_lite"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class MilvusStore:
    """The rows of one collection. Methods may be called from several threads."""

    def __init__(self, database: str, collection: str, *, create: CollectionModel | None) -> None:
        """Open a collection, and make it first where `create` describes it.

        Args:
            database: path of a Milvus Lite database, ending in ``.db``.
            collection: its name.
            create: what a new collection is for; None opens an existing one only.

        Raises:
            StoreError: one of its kinds.
        """
        self.database, self.collection = database, collection
        self._unflushed = 0
        self._writing = threading.RLock()
        with contextlib.ExitStack() as undo:
            self._client = open_lite(Path(database), create=create is not None, name=collection)
            undo.callback(self.close)
            with self._mapped_errors():
                if not self._client.has_collection(collection):
                    if create is None:
                        raise IndexNotFound(database, collection)
                    self._create(create)
                load(self._client, database, collection)
                properties = self._client.describe_collection(collection)["properties"]
            model = CollectionModel.from_properties(properties)
            if model is None:
                raise IndexIncompatible(
                    f"The collection {collection!r} in {database} was not made by lookalike. "
                    "Name another with --collection."
                )
            if model.version != schema.SCHEMA_VERSION or model.metric not in schema.METRICS:
                raise IndexIncompatible(
                    f"The collection {collection!r} in {database} has version {model.version} and "
                    f"metric {model.metric}, which this version of lookalike does not know."
                )
            self.model = model
            self._lite = lite_collection(database, collection)
            undo.pop_all()

    def _create(self, model: CollectionModel) -> None:
        rows = self._client.create_schema(auto_id=False, enable_dynamic_field=True)
        rows.add_field("id", DataType.VARCHAR, is_primary=True, max_length=schema.ID_LENGTH)
        rows.add_field("path", DataType.VARCHAR, max_length=schema.PATH_BYTES)
        rows.add_field("content", DataType.VARCHAR, max_length=schema.ID_LENGTH)
        for name in schema.INTEGER_FIELDS:
            rows.add_field(name, DataType.INT64)
        rows.add_field("format", DataType.VARCHAR, max_length=schema.FORMAT_BYTES)
        rows.add_field(schema.VECTOR_FIELD, DataType.FLOAT_VECTOR, dim=model.dim)
        index = self._client.prepare_index_params()
        index.add_index(schema.VECTOR_FIELD, index_type="FLAT", metric_type=model.metric)
        self._client.create_collection(
            self.collection, schema=rows, index_params=index, properties=model.to_properties()
        )

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]:
        """The stamps of those `ids` that have a row."""
        rows = self._rows(ids, ["id", "size_bytes", "mtime_ns"])
        return {row["id"]: Stamp(row["size_bytes"], row["mtime_ns"]) for row in rows}

    def of_size(self, stamps: Sequence[Stamp]) -> dict[int, list[Twin]]:
        """Rows of files with as many bytes, by that number; of very many not all.

        Where there are more than a page of them, only those are looked for that have also been
        changed at the same time, as it is with moved files.
        """
        sizes = sorted({stamp.size_bytes for stamp in stamps})
        fields = ["id", "path", "content", "size_bytes"]
        rows = self._query(f"size_bytes in {sizes}", fields) if sizes else []
        if len(rows) == MAX_WINDOW:
            times = sorted({stamp.mtime_ns for stamp in stamps})
            rows = self._query(f"size_bytes in {sizes} and mtime_ns in {times}", fields)
        twins: dict[int, list[Twin]] = {}
        for row in rows:
            twin = Twin(row["id"], row["path"], row["content"])
            twins.setdefault(row["size_bytes"], []).append(twin)
        return twins

    def metadata(self, ids: Sequence[str]) -> dict[str, Fields]:
        """The user's own fields of those `ids` that have a row."""
        return {row["id"]: schema.to_metadata(row) for row in self._rows(ids, ["id", "$meta"])}

    def records(self, ids: Sequence[str]) -> list[ImageRecord]:
        """The whole rows of those `ids` that have one."""
        return [schema.to_record(row) for row in self._rows(ids, ["*"])]

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        if not ids:
            return []
        with self._mapped_errors():
            rows: list[dict[str, Any]]
            if self._lite is not None:
                rows = self._lite.get(list(ids), output_fields=fields)
            else:
                rows = self._client.get(self.collection, list(ids), output_fields=fields)
        return rows

    def upsert(self, records: Sequence[ImageRecord]) -> None:
        """Write whole rows; nothing of a row with the same path remains.

        When this returns, a kill of the process no longer loses them.
        """
        if not records:
            return
        with self._writing, self._mapped_errors():
            self._client.insert(self.collection, [schema.to_row(record) for record in records])
            self._unflushed += len(records)
            if self._unflushed >= FLUSH_ROWS:
                self.flush()

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the rows of `ids`; ids without a row are ignored."""
        if not ids:
            return
        with self._writing, self._mapped_errors():
            self._client.delete(self.collection, ids=list(ids))
            self._unflushed += len(ids)

    def flush(self) -> None:
        """Move what waits in memory into files."""
        with self._writing, self._mapped_errors():
            if self._unflushed:
                self._client.flush(self.collection)
                self._unflushed = 0

    def count(self) -> int:
        """The number of rows."""
        with self._mapped_errors():
            rows = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]:
        """Pages of (id, path) of all rows below a folder, of all rows where it is None.

        Rows seen may be deleted meanwhile.
        """
        conditions = () if folder is None else (filters.under(folder),)
        for rows in self._pages(["id", "path"], *conditions):
            yield [(row["id"], row["path"]) for row in rows]

    def vectors(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Pages of all rows: n paths and their (n, dim) float32 unit vectors, in no order."""
        for rows in self._pages(["path", schema.VECTOR_FIELD]):
            vectors = np.array([row[schema.VECTOR_FIELD] for row in rows], np.float32)
            yield [row["path"] for row in rows], vectors.reshape(len(rows), self.model.dim)

    def _pages(self, fields: list[str], *conditions: str) -> Iterator[list[dict[str, Any]]]:
        parts = -(-self.count() // PAGE_ROWS)
        for part in range(parts):
            yield self._query(" and ".join([*conditions, filters.id_range(part, parts)]), fields)

    def _query(self, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        with self._mapped_errors():
            rows = self._client.query(
                self.collection, filter=condition, output_fields=fields, limit=MAX_WINDOW
            )
        return list(rows)

    def search(self, vector: Vector, *, limit: int) -> list[Hit]:
        """The rows nearest to a unit `vector`, best first, scored by the collection's metric."""
        with self._mapped_errors():
            found = self._client.search(
                self.collection,
                [vector],
                limit=limit,
                output_fields=["id", *schema.FACT_FIELDS, "$meta"],
            )
        return [schema.to_hit(hit["entity"], float(hit["distance"])) for hit in found[0]]

    def size_bytes(self) -> int:
        """Bytes that the database takes on disk."""
        files = (path for path in Path(self.database).rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)

    def close(self) -> None:
        """Let go of the database, so that another process can open it."""
        self._client.close()
        release_lite(self.database)

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, MilvusLiteError) as error:
            raise _mapped(self.database, str(getattr(error, "message", error))) from error


def _mapped(database: str, message: str) -> StoreError:
    """Milvus Lite passes the system's errors on as text."""
    if f"[Errno {errno.ENOSPC}]" in message or "No space left" in message:
        return StorageFull(database)
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        if f"[Errno {number}]" in message:
            return IndexNotWritable(database, message)
    return StoreError(f"{database} failed: {message}")
