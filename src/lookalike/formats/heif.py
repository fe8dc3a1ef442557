"""HEIF files, which phones write as HEIC."""

from __future__ import annotations

import io
import re

from PIL import Image

_ITEM = re.compile(rb"(?s)(.{4})infe(.)...")


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
    for item in _ITEM.finditer(data):
        end = item.start() + int.from_bytes(item[1], "big")
        start = item.end() + (6 if item[2] >= b"\3" else 4)
        data[start:end].decode()
