"""What a camera noted beside the pixels."""

from __future__ import annotations

import contextlib
from datetime import datetime

from PIL import ExifTags, Image

# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, table 5: where the 0th row and column lie.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)


def camera_facts(image: Image.Image) -> tuple[int, int]:
    """The EXIF orientation (1 is upright) and the capture time (0 is unknown)."""
    orientation, taken_at = 1, 0
    # Damaged EXIF data must not cost the picture.
    with contextlib.suppress(Exception):
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        if ExifTags.Base.ExifOffset in exif:
            taken_at = _taken_at(exif)
    return orientation, taken_at


def _taken_at(exif: Image.Exif) -> int:
    """Seconds since the epoch, read as UTC where the camera noted no offset."""
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    return seconds(
        camera.get(ExifTags.Base.DateTimeOriginal), camera.get(ExifTags.Base.OffsetTimeOriginal)
    )


def seconds(noted: object, noted_offset: object = None) -> int:
    """A moment as EXIF has it, in seconds since the epoch.

    Raises:
        ValueError: it is none.
    """
    moment = str(noted or "").strip("\0 ")
    offset = str(noted_offset or "").strip("\0 ") or "+00:00"
    return int(datetime.strptime(moment + offset, "%Y:%m:%d %H:%M:%S%z").timestamp())
