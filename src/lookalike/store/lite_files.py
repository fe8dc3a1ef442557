"""The files of a Milvus Lite database, which are repaired before it is opened and synced after.

- A flush writes rows into a file, says so in the manifest, and deletes their write-ahead log. A
  kill before the last step leaves the rows in both, and Milvus Lite then finds each of them twice.
- Beside each file of rows it keeps a search index. A kill while it writes one leaves a part, with
  which the collection cannot be loaded; without one it can, for it builds what is missing.
- The manifest is synced to the disk, and the files of rows that it names are not: after a power cut
  they could be empty, and the log of the same rows be gone.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
from pathlib import Path

from lookalike.owner import NOTE


def finish_flushes(database: Path) -> None:
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


def drop_search_indexes(database: Path, collection: str) -> None:
    """Delete them all; loading the collection builds them again."""
    for part in database.glob(f"collections/{glob.escape(collection)}/partitions/*/indexes/*"):
        part.unlink()


class RowFiles:
    """The files of rows of one collection, and which of them are on the disk for certain."""

    def __init__(self, database: Path, collection: str) -> None:
        self._folder = database / "collections" / collection / "partitions"
        self._synced: dict[Path, int] = {}

    def sync(self) -> None:
        """Have the system write to the disk what has changed since the last time."""
        found = {}
        for path in self._folder.glob("*/d*/*.parquet"):
            # Compaction makes and deletes files at any moment.
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
                if self._synced.get(path) != found[path]:
                    _sync(path)
        if os.name == "posix":  # elsewhere folders cannot be opened
            for folder in {path.parent for path in found.keys() - self._synced.keys()}:
                _sync(folder)
        self._synced = found


def size_bytes(database: Path) -> int:
    """Bytes that all files take, whether a server has it open or not."""
    size = 0
    for path in database.rglob("*"):
        if path.name == NOTE:
            continue
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def _sync(path: Path) -> None:
    writable = path.is_file() and os.name != "posix"  # Windows syncs only what may be written
    handle = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
