"""Every call to Milvus, and what differs between Milvus Lite and a server.

What is particular to Milvus Lite:

- The database is a folder that one process has open at a time; the first client of a process
  starts it and it must be let go explicitly, or the lock stays until the process ends.
- pymilvus hides why a database could not be opened; only a log record holds the cause.
- Rows wait in a table in memory until `flush`, and are searched slowly until then. A kill cannot
  lose them, for they are in the write-ahead log; a power cut can, for nothing is synced to disk.
- An indexed collection reopens released and must be loaded.
- ``query_iterator`` costs a whole scan for each page, so rows are paged by ranges of their ids.
- Whatever matches a filter is built in memory with its vector, even for ``count(*)``, so nothing
  is asked for that could match more than a page.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
from milvus_lite.server_manager import server_manager_instance as lite_servers
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from lookalike.errors import (
    IndexIncompatible,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
    StorageFull,
    StoreError,
)
from lookalike.records import Hit, ImageRecord, Stamp, Vector
from lookalike.store import filters, schema
from lookalike.store.schema import CollectionModel

# Often enough that Lite's memory stays small; a flush of this many takes about 50 ms.
FLUSH_ROWS = 512
PAGE_ROWS = 4096
MAX_WINDOW = 16_384  # Milvus's limit on offset + limit

# Both print errors, with tracebacks, that they also raise; here every one of these is mapped.
for _name in ("pymilvus", "milvus_lite"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_opened: Counter[str] = Counter()
_opening = threading.Lock()


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
        with contextlib.ExitStack() as undo:
            self._client = _open_lite(Path(database), create=create is not None, name=collection)
            undo.callback(self.close)
            with self._mapped_errors():
                if not self._client.has_collection(collection):
                    if create is None:
                        raise IndexNotFound(database, collection)
                    self._create(create)
                self._client.load_collection(collection)
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
            self._lite = _lite_collection(database, collection)
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
        fields = ["id", "size_bytes", "mtime_ns"]
        with self._mapped_errors():
            if self._lite is not None:
                rows = self._lite.get(list(ids), output_fields=fields)
            else:
                rows = self._client.get(self.collection, list(ids), output_fields=fields)
        return {row["id"]: Stamp(row["size_bytes"], row["mtime_ns"]) for row in rows}

    def upsert(self, records: Sequence[ImageRecord]) -> None:
        """Write whole rows. When this returns, a kill of the process no longer loses them."""
        if not records:
            return
        with self._mapped_errors():
            self._client.upsert(self.collection, [schema.to_row(record) for record in records])
        self._unflushed += len(records)
        if self._unflushed >= FLUSH_ROWS:
            self.flush()

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the rows of `ids`; ids without a row are ignored."""
        if not ids:
            return
        with self._mapped_errors():
            self._client.delete(self.collection, ids=list(ids))
        self._unflushed += len(ids)

    def flush(self) -> None:
        """Move what waits in memory into files."""
        if self._unflushed:
            with self._mapped_errors():
                self._client.flush(self.collection)
            self._unflushed = 0

    def count(self) -> int:
        """The number of rows."""
        with self._mapped_errors():
            rows = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def paths_under(self, folder: str) -> Iterator[list[tuple[str, str]]]:
        """Pages of (id, path) of all rows below a folder; rows seen may be deleted meanwhile."""
        parts = -(-self.count() // PAGE_ROWS)
        for part in range(parts):
            with self._mapped_errors():
                rows = self._client.query(
                    self.collection,
                    filter=f"{filters.under(folder)} and {filters.id_range(part, parts)}",
                    output_fields=["id", "path"],
                    limit=MAX_WINDOW,
                )
            yield [(row["id"], row["path"]) for row in rows]

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
        _release_lite(self.database)

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, MilvusLiteError) as error:
            raise _mapped(self.database, str(getattr(error, "message", error))) from error


def _open_lite(path: Path, *, create: bool, name: str) -> Any:
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
    with _opening, _CauseOfFailure() as cause:
        try:
            client = MilvusClient(str(path))
        except MilvusException as error:
            raise _cannot_open(str(path), cause.error or error) from cause.error
        _opened[str(path)] += 1
    return client


def _lite_collection(database: str, name: str) -> Any:
    """Milvus Lite's own object of an open collection; None where this version hides it elsewhere.

    The client sends ids as the text of an expression, and Milvus Lite parses that in Python: asking
    the object takes two thirds of the time, which is what a run over unchanged files consists of.
    """
    entry = getattr(lite_servers, "_servers", {}).get(database)
    return entry[1].get_collection(name) if entry else None


def _release_lite(database: str) -> None:
    """Stop the embedded database when its last user in this process has closed it."""
    with _opening:
        _opened[database] -= 1
        if _opened[database] <= 0:
            del _opened[database]
            lite_servers.release_server(database)


class _CauseOfFailure(logging.Handler):
    """Keeps the exception that Milvus Lite logs, and keeps it off the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._logger = logging.getLogger("milvus_lite.server_manager")
        self._logger.setLevel(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.error = record.exc_info[1]

    def __enter__(self) -> _CauseOfFailure:
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated


def _cannot_open(database: str, error: BaseException) -> StoreError:
    if isinstance(error, DataDirLockedError):
        return IndexLocked(database)
    if isinstance(error, MilvusLiteError):
        return IndexIncompatible(
            f"{database} cannot be read ({error}). Move it away and index the folders again."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StorageFull(database)
    if isinstance(error, OSError):
        return IndexNotWritable(database, error.strerror or str(error))
    return StoreError(f"{database} cannot be opened ({error}).")


def _mapped(database: str, message: str) -> StoreError:
    """Milvus Lite passes the system's errors on as text."""
    if f"[Errno {errno.ENOSPC}]" in message or "No space left" in message:
        return StorageFull(database)
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        if f"[Errno {number}]" in message:
            return IndexNotWritable(database, message)
    return StoreError(f"{database} failed: {message}")
