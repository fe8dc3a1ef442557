"""A file is replaced as a whole, or stays as it was."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """A new file to write into, which takes the place of `file` if nothing was raised.

    Raises:
        OSError: it cannot be written.
    """
    # Not by tempfile, whose files nobody else may read.
    part = file.with_name(f".{file.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("x+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
