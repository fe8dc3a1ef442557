"""Starting and stopping Milvus Lite, the database that runs within this process.

- The database is a folder that one process has open at a time; the first client of a process
  starts it and it must be let go explicitly, or the lock stays until the process ends.
- pymilvus hides why a database could not be opened; only a log record holds the cause.
- A flush writes rows into a file, says so in the manifest, and deletes their write-ahead log. A
  kill before the last step leaves the rows in both, and Milvus Lite then finds each of them twice.
- Beside each file of rows it keeps a search index. A kill while it writes one leaves a part, with
  which the collection cannot be loaded; without one it can, for it builds what is missing.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import logging
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
from milvus_lite.server_manager import server_manager_instance as lite_servers
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from lookalike.errors import (
    IndexIncompatible,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
    StorageFull,
    StoreError,
)

_opened: Counter[str] = Counter()
_opening = threading.Lock()


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
    with _opening, _CauseOfFailure() as cause:
        try:
            client = MilvusClient(str(path))
        except MilvusException as error:
            raise _cannot_open(str(path), cause.error or error) from cause.error
        if not _opened[str(path)]:
            _finish_flushes(path)
        _opened[str(path)] += 1
    return client


def _finish_flushes(database: Path) -> None:
    """Delete the logs whose rows are in files; no other process can be writing them now.

    Milvus Lite reads a collection's logs when it is first asked for it, so later than this.
    """
    for manifest in database.glob("collections/*/manifest.json"):
        # Where it is damaged, Milvus Lite goes back to an older one, and may need the logs.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            oldest = int(json.loads(manifest.read_bytes())["active_wal_number"])
            for log in manifest.parent.glob("wal/wal_*_*.arrow"):
                if int(log.stem.rpartition("_")[2]) < oldest:
                    log.unlink()


def load(client: Any, database: str, name: str) -> None:
    """Load a collection, with its search indexes built again if they cannot be read."""
    try:
        client.load_collection(name)
    except MilvusException:
        for part in Path(database).glob(f"collections/{glob.escape(name)}/partitions/*/indexes/*"):
            part.unlink()
        client.load_collection(name)


def lite_collection(database: str, name: str) -> Any:
    """Milvus Lite's own object of an open collection; None where this version hides it elsewhere.

    The client sends ids as the text of an expression, and Milvus Lite parses that in Python: asking
    the object takes two thirds of the time, which is what a run over unchanged files consists of.
    """
    entry = getattr(lite_servers, "_servers", {}).get(database)
    return entry[1].get_collection(name) if entry else None


def release_lite(database: str) -> None:
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
