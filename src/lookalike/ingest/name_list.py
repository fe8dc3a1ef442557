"""A list of names, one a line or one before each NUL, becomes a stream of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from lookalike.errors import SourceNotFound

CHUNK_BYTES = 1 << 16  # holds more than one name, so that a NUL shows


def names_in(file: BinaryIO) -> Iterator[str]:
    """The names in a list, as the system's own are decoded; relative to the current folder.

    They end with NUL where there is any in the first 64 KiB, and otherwise with a newline, which a
    carriage return may precede.

    Raises:
        SourceNotFound: it is no list.
    """
    chunk, rest = file.read(CHUNK_BYTES), b""
    end = b"\0" if b"\0" in chunk else b"\n"
    while chunk:
        *whole, rest = (rest + chunk).split(end)
        if end == b"\n":
            whole = [name.removesuffix(b"\r") for name in whole]
        yield from (_name(name) for name in whole if name)
        if len(rest) > CHUNK_BYTES:
            raise SourceNotFound(file.name, "is no list of names, one a line or separated by NUL")
        chunk = file.read(CHUNK_BYTES)
    if end == b"\n":
        rest = rest.removesuffix(b"\r")
    if rest:
        yield _name(rest)


def _name(name: bytes) -> str:
    # No shell has had this, so ~ is a character like any other.
    return os.fsdecode(b"./" + name if name.startswith(b"~") else name)
