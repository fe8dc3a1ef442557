"""HEIF files, which phones write as HEIC."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image

_ITEM = re.compile(rb"(?s)(.{4})infe(.)...")
_BOX = struct.Struct(">I4s")


def opened(data: bytes) -> Image.Image:
    """The first picture, not yet decoded; what is in the file turns it upright by itself.

    Raises:
        Exception: of nearly any kind, where it is damaged.
    """
    _check_names(data)
    # Seldom needed. Not registered with Pillow, where it would be for the whole process.
    from pi_heif import HeifImageFile  # noqa: PLC0415

    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image


def _check_names(data: bytes) -> None:
    """Refuse kinds and names of items that are no text: pi-heif 1.4 crashes on them.

    An item is told of by a box with its number in two or four bytes, two more, and these texts
    (ISO/IEC 14496-12, 8.11.6).
    """
    for told in _descriptions(data):
        for item in _ITEM.finditer(told):
            end = item.start() + int.from_bytes(item[1], "big")
            start = item.end() + (6 if item[2] >= b"\3" else 4)
            told[start:end].decode()


def _descriptions(data: bytes) -> Iterator[bytes]:
    """The `meta` boxes, which tell what is in the file: anything at all may stand in the others.

    A box begins with its size and kind; the size 1 stands for one of eight bytes that follows, and
    0 for the rest of the file (ISO/IEC 14496-12, 4.2.2).
    """
    at = 0
    while at + _BOX.size <= len(data):
        size, kind = _BOX.unpack_from(data, at)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + size if size >= _BOX.size else len(data)
        if kind == b"meta":
            yield data[at:end]
        at = end
