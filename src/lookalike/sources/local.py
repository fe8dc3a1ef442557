"""Files on the disk."""

from __future__ import annotations

import os
import stat

from lookalike.errors import PictureUnreadable
from lookalike.records import Stamp

GONE = "the file does not exist"


def read_file(path: str, *, max_bytes: int) -> tuple[bytes, Stamp]:
    """The bytes of a regular file, with its stamp from just before they were read.

    Raises:
        PictureUnreadable: it has vanished, may not be read, is larger than `max_bytes`, or is a
            pipe, socket or device.
    """
    try:
        # O_NONBLOCK: what was a file when it was listed may be a pipe by now.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise PictureUnreadable(path, "it is not a regular file")
            if status.st_size > max_bytes:
                raise PictureUnreadable(path, too_large(status.st_size, max_bytes))
            with open(fd, "rb", buffering=0, closefd=False) as file:
                data = file.readall()
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise PictureUnreadable(path, GONE) from None
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
        raise PictureUnreadable(path, reason) from error
    return data, Stamp(status.st_size, status.st_mtime_ns)


def too_large(size_bytes: int, max_bytes: int) -> str:
    """Why something is not read."""
    return f"it has {size_bytes} bytes, more than LOOKALIKE_MAX_BYTES={max_bytes}"
