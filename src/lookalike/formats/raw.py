"""Camera raw files: the preview that the camera embedded, which is its own picture of the scene."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from PIL import ExifTags, Image

from lookalike.errors import PictureDamaged, PictureUnreadable, reason_of
from lookalike.formats.exif import SIDEWAYS, seconds

_DNG_VERSION, _SUBFILE_TYPE, _SUB_IFDS = 0xC612, 0xFE, 0x14A

# LibRaw's flip, as in dcraw -> the EXIF orientation.
_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}


@dataclass(frozen=True, slots=True)
class Preview:
    """An `image` that is opened, with its orientation as EXIF, and facts about the whole picture.

    `size` is (width, height) in pixels after orientation; `taken_at` is seconds since the epoch, 0
    where unknown.
    """

    image: Image.Image
    size: tuple[int, int]
    taken_at: int


def is_preview(image: Image.Image) -> bool:
    """Whether a TIFF says that it is a raw file, or that its first picture is only a preview."""
    tags = getattr(image, "tag_v2", None)  # only of TIFFs
    if tags is None:
        return False
    kind = tags.get(_SUBFILE_TYPE, 0)
    reduced = isinstance(kind, int) and kind & 1
    return _DNG_VERSION in tags or bool(reduced and _SUB_IFDS in tags)


def preview(data: bytes, *, path: str) -> Preview | None:
    """The largest picture in a raw file; None where it is no raw file.

    Raises:
        PictureUnreadable: what reads them is not installed.
        PictureDamaged: there is no picture in it, or it is damaged.
        MemoryError: there is too little to read it.
        OSError: it is truncated.
    """
    try:
        # An extra, and seldom needed.
        import rawpy  # noqa: PLC0415
    except ImportError:
        reason = "it is a camera's raw file; to read those, run: pip install 'lookalike[raw]'"
        raise PictureUnreadable(path, reason) from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            thumbnail = raw.extract_thumb()
            sizes = raw.sizes
    except rawpy.LibRawFileUnsupportedError:
        return None
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        reason = "it is a camera's raw file without a preview, and only previews are read"
        raise PictureDamaged(path, reason) from None
    except rawpy.LibRawIOError:  # of bytes in memory, so it is their end that was passed
        raise OSError("truncated") from None
    except rawpy.LibRawUnsufficientMemoryError:
        raise MemoryError from None
    except rawpy.LibRawError as error:
        raise PictureDamaged(path, f"the picture is damaged ({_said(error)})") from None
    if isinstance(thumbnail.data, bytes):
        # LibRaw reads up to 16 KiB past the end, and gives what its memory held before.
        if thumbnail.data[-len(thumbnail.data) // 4 :] not in data:
            raise OSError("truncated")
        image: Image.Image = Image.open(io.BytesIO(thumbnail.data), formats=("JPEG",))
    else:
        image = Image.fromarray(thumbnail.data)
    orientation = _ORIENTATIONS.get(sizes.flip, 1)
    taken_at = 0
    with contextlib.suppress(Exception):  # damaged EXIF data, which is then none
        exif = image.getexif()
        exif.setdefault(ExifTags.Base.Orientation, orientation)
        # Where the preview has no EXIF data, LibRaw writes some, and this is the capture time.
        taken_at = seconds(exif.get(ExifTags.Base.DateTime))
    size = (sizes.width, sizes.height)
    return Preview(image, size[::-1] if orientation in SIDEWAYS else size, taken_at)


def _said(error: Exception) -> str:
    """What LibRaw says, which rawpy mostly has as bytes."""
    match error.args:
        case [bytes(message)]:
            return message.decode(errors="replace")
    return reason_of(error)
