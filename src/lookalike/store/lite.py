"""Milvus Lite, the database that runs within this process.

- The database is a folder that one process has open at a time; the first client of a process
  starts it and it must be let go explicitly, or the lock stays until the process ends.
- An indexed collection reopens released and must be loaded.
- Rows wait in a table in memory until `flush`, and are searched slowly until then. A kill cannot
  lose them, for they are in the write-ahead log; a power cut can, for that is not synced.
- A log with a broken entry is read up to that, so after an error no more is written to it.
- ``upsert`` keeps those dynamic fields of the old row that the new one lacks. ``insert`` replaces a
  row of the same id as a whole, in one entry of the write-ahead log, so it is what writes here.
- Writes of several threads are not kept apart.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from milvus_lite.exceptions import MilvusLiteError
from milvus_lite.server_manager import server_manager_instance as lite_servers
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from lookalike.errors import IndexIncompatible, IndexNotFound, IndexNotWritable
from lookalike.store import filters, lite_files, lite_rows, lite_search
from lookalike.store.database import Row
from lookalike.store.design import CollectionDesign
from lookalike.store.lite_errors import CauseOfFailure, cannot_open, mapped
from lookalike.store.lite_tables import LiteTables, own_object

# Often enough that Lite's memory stays small; a flush of this many takes about 50 ms.
FLUSH_ROWS = 512

# pymilvus asks every 10 s whether the other side is alive. Milvus Lite takes that amiss, and breaks
# off what takes more than 80 s; but it lives in this process.
NEVER_MS = 2**31 - 1

# Both print errors, with tracebacks, that they also raise; here every one of these is mapped.
for _name in ("pymilvus", "milvus_lite"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_opened: Counter[str] = Counter()
_opening = threading.Lock()
_known_tables: dict[tuple[str, str], LiteTables] = {}


class LiteDatabase:
    """A `Database` in a folder."""

    def __init__(self, path: str, collection: str, *, create: bool) -> None:
        self.shown = path
        self._path = Path(path)
        self._client = open_lite(self._path, create=create, name=collection)
        self._files = lite_files.RowFiles(self._path, collection)
        self._writing = threading.RLock()
        self._directly: LiteTables | None = None
        self._unflushed = 0
        self._written = self._broken = False

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask the client."""
        with self._mapped_errors():
            return getattr(self._client, method)(*args, **options)

    def load(self, collection: str, design: CollectionDesign) -> None:
        """Load it, with its search indexes built again if they cannot be read."""
        # It may be another than the one that was named.
        self._files = lite_files.RowFiles(self._path, collection)
        try:
            self._client.load_collection(collection)
        except MilvusException:
            lite_files.drop_search_indexes(self._path, collection)
            self.ask("load_collection", collection)
        self._directly = _tables_of(self.shown, collection)

    def get(self, collection: str, ids: Sequence[str], fields: list[str]) -> list[Row]:
        """Look the rows up by their ids, or only single columns of them, which is quicker."""
        if self._directly is None:
            return list(self.ask("get", collection, list(ids), output_fields=fields))
        with self._mapped_errors():
            if "*" in fields or "$meta" in fields:
                # The client sends ids as the text of an expression, which is parsed in Python.
                return list(self._directly.rows.get(list(ids), output_fields=fields))
            return lite_rows.columns_of(self._directly, ids, fields)

    def count(self, collection: str, condition: str = "") -> int:
        """Count in its tables; for a query it would build all rows in Python."""
        if self._directly is None:
            (row,) = self.ask("query", collection, filter=condition, output_fields=["count(*)"])
            return int(row["count(*)"])
        with self._mapped_errors():
            return lite_rows.count(self._directly, condition)

    def query(self, collection: str, **options: Any) -> list[Row]:
        """Nothing is ever late here."""
        if self._directly is None:
            return list(self.ask("query", collection, **options))
        with self._mapped_errors():
            return lite_rows.query(
                self._directly, options["filter"], options["output_fields"], options.get("limit")
            )

    def where(
        self,
        collection: str,
        wanted: Mapping[str, Sequence[int]],
        fields: list[str],
        *,
        limit: int,
    ) -> list[Row]:
        """Look into the columns of its tables; a query goes through all rows in Python."""
        if self._directly is None:
            condition = filters.one_of(wanted)
            return self.query(collection, filter=condition, output_fields=fields, limit=limit)
        with self._mapped_errors():
            return lite_rows.columns_where(self._directly, wanted, fields, limit)

    @property
    def window(self) -> int | None:
        """The client's; Milvus Lite itself has none."""
        return 16_384 if self._directly is None else None

    def whole_rows(
        self, collection: str, condition: str, *, size: int
    ) -> Iterator[list[Row]] | None:
        """Look into its tables; each query would go through all rows in Python."""
        if self._directly is None:
            return None
        return self._whole_rows(self._directly, condition, size)

    def _whole_rows(self, tables: LiteTables, condition: str, size: int) -> Iterator[list[Row]]:
        with self._mapped_errors():
            yield from lite_rows.whole_rows(tables, condition, size=size)

    def search(self, collection: str, **options: Any) -> list[list[Row]]:
        """In its tables; Milvus Lite's own search goes through all rows in Python."""
        if self._directly is None:
            found: list[list[Row]] = self.ask("search", collection, **options)
            return found
        with self._mapped_errors():
            return lite_search.search(
                self._directly,
                np.stack(options["data"]),
                limit=options["limit"],
                condition=options["filter"],
                fields=options["output_fields"],
            )

    def write(self, collection: str, rows: list[Row]) -> None:
        """Write to the log; now and then everything goes into files."""
        with self._changing(collection, len(rows)):
            self.ask("insert", collection, rows)
        if self._unflushed >= FLUSH_ROWS:
            self.flush(collection)

    def delete(self, collection: str, ids: list[str]) -> None:
        """Write to the log which rows are gone."""
        with self._changing(collection, len(ids)):
            self.ask("delete", collection, ids=ids)
        if self._unflushed >= FLUSH_ROWS:
            self.flush(collection)

    def _memory_kept(self) -> contextlib.AbstractContextManager[None]:
        return self._directly.keeping_memory() if self._directly else contextlib.nullcontext()

    @contextlib.contextmanager
    def _changing(self, collection: str, rows: int) -> Iterator[None]:
        with self._writing:
            if self._broken:
                self._unflushed += 1
                self.flush(collection)
            self._written = self._broken = True
            with self._memory_kept():
                yield
            self._broken = False
            self._unflushed += rows

    def flush(self, collection: str) -> None:
        """Move what waits in memory into files, and these onto the disk."""
        with self._writing, self._mapped_errors():
            if self._unflushed:
                with self._memory_kept():
                    self._client.flush(collection)
                self._files.sync()
                self._unflushed = 0

    def others_wrote(self, rows: int) -> None:
        """No other process can."""

    def rows_without_index(self, collection: str) -> int:
        """None: all are compared."""
        return 0

    def size_bytes(self) -> int:
        """Bytes of all files."""
        return lite_files.size_bytes(self._path)

    def close(self) -> None:
        """Let another process open it."""
        self._client.close()
        _release(self.shown)
        if self._written:
            with self._mapped_errors():
                self._files.sync()  # what was still compacted meanwhile

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, MilvusLiteError, OSError) as error:
            raise mapped(self.shown, error) from error


def open_lite(path: Path, *, create: bool, name: str) -> Any:
    """A client of the database at `path`."""
    if path.suffix != ".db":
        raise IndexIncompatible(f"{path} must end in .db: it is a Milvus Lite database.")
    try:
        exists, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise IndexNotWritable(str(path), error.strerror or str(error)) from error
    if is_file:
        raise IndexIncompatible(
            f"{path} is a file, so it was made by Milvus Lite 2.x or is no database. "
            "Move it away or name another with --db, and index the folders again."
        )
    if not exists and not create:
        raise IndexNotFound(str(path), name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexNotWritable(str(path), error.strerror or str(error)) from error
    with _opening, CauseOfFailure() as cause:
        try:
            client = MilvusClient(
                str(path),
                grpc_options={"grpc.keepalive_time_ms": NEVER_MS},
                dedicated=True,  # others are never closed
            )
        except MilvusException as error:
            raise cannot_open(str(path), cause.error or error) from cause.error
        if not _opened[str(path)]:
            lite_files.finish_flushes(path)
        _opened[str(path)] += 1
    return client


def _release(database: str) -> None:
    """Stop the embedded database when its last user in this process has closed it."""
    with _opening:
        _opened[database] -= 1
        if _opened[database] <= 0:
            del _opened[database]
            for key in [key for key in _known_tables if key[0] == database]:
                del _known_tables[key]
            lite_servers.release_server(database)


def _tables_of(database: str, collection: str) -> LiteTables | None:
    """The tables of a collection: one for all who have opened it in this process."""
    rows = own_object(database, collection)
    if rows is None:
        return None
    with _opening:
        known = _known_tables.get((database, collection))
        if known is None or known.rows is not rows:
            known = _known_tables[database, collection] = LiteTables(rows)
        return known
