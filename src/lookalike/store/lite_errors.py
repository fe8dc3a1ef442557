"""What goes wrong in Milvus Lite, as errors of our own.

- pymilvus hides why a database could not be opened; only a log record holds the cause.
- The system's errors are passed on as text.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from types import TracebackType

from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

from lookalike.errors import (
    IndexIncompatible,
    IndexLocked,
    IndexNotWritable,
    StorageFull,
    StoreError,
)


class CauseOfFailure(logging.Handler):
    """Keeps the exception that Milvus Lite logs, and keeps it off the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._logger = logging.getLogger("milvus_lite.server_manager")
        self._logger.setLevel(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info:
            self.error = record.exc_info[1]

    def __enter__(self) -> CauseOfFailure:
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


def cannot_open(database: str, error: BaseException) -> StoreError:
    """Why a database could not be opened."""
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


def mapped(database: str, error: Exception) -> StoreError:
    """What went wrong in an open one."""
    message = str(getattr(error, "message", error))
    found = re.search(r"\[errno (\d+)\]", message, re.IGNORECASE)
    number = int(found[1]) if found else None
    if number in {errno.ENOSPC, errno.EDQUOT} or "No space left" in message:
        return StorageFull(database)
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return IndexNotWritable(database, os.strerror(number))
    if number is not None:
        return StoreError(
            f"{database} could not be read or written ({os.strerror(number)}). Everything "
            "committed so far is kept; see to its disk and run the same command again."
        )
    return StoreError(f"{database} failed: {message}")
