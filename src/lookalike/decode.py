"""A file's bytes become an upright RGB picture and its facts."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from lookalike.errors import PictureDamaged

EXTENSIONS = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Endings of names, in lower case, that a picture may have."""

# Tried in this order, so the common ones first; the rare ones are plug-ins that Pillow loads when
# it comes to them. Only decoders that run in this process: PostScript's would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "ICO", "PPM",
           "TGA")  # fmt: skip
_FORMAT_NAMES = {"MPO": "jpeg", "DIB": "bmp"}

# https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf, table 5: where the 0th row and column lie.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says about its picture.

    `width` and `height` are those of the whole picture, in pixels, after orientation; `taken_at`
    is seconds since the epoch, 0 where unknown.
    """

    width: int
    height: int
    format: str
    taken_at: int


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright RGB `image`, which may have been decoded at a reduced scale, and its facts."""

    image: Image.Image
    facts: Facts


def decode(data: bytes, *, path: str, least: tuple[int, int], max_pixels: int) -> Picture:
    """Decode a picture, upright and on white.

    Args:
        data: the file's bytes.
        path: only named in errors.
        least: (width, height) in pixels that the caller needs. A JPEG of at least twice that is
            decoded at half, a quarter or an eighth of its scale, never below `least`.
        max_pixels: the largest picture that is decoded at all.

    Raises:
        PictureDamaged: it is empty, no picture, broken or too large.
    """
    if not data:
        raise PictureDamaged(path, "the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _read(image, path=path, least=least, max_pixels=max_pixels)
    except PictureDamaged:
        raise
    except UnidentifiedImageError:
        raise PictureDamaged(path, "it is not a picture in a known format") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        reason = f"it has more than {limit} pixels (PIL.Image.MAX_IMAGE_PIXELS sets the limit)"
        raise PictureDamaged(path, reason) from None
    except MemoryError:
        raise PictureDamaged(path, "there is not enough memory to decode it") from None
    # The decoders raise nearly anything on damaged bytes, and none of it may end a run.
    except Exception as error:
        raise PictureDamaged(path, f"the picture is damaged ({error})") from error


def _read(image: Image.Image, *, path: str, least: tuple[int, int], max_pixels: int) -> Picture:
    width, height = image.size
    if width * height > max_pixels:
        reason = f"it has {width} × {height} pixels, more than LOOKALIKE_MAX_PIXELS={max_pixels}"
        raise PictureDamaged(path, reason)
    # The longer side for both, because the picture may yet be turned.
    image.draft("RGB", (max(least), max(least)))
    image.load()
    # Only now: Pillow turns TIFFs upright itself while loading.
    orientation, taken_at = _camera_facts(image)
    if orientation in _SIDEWAYS:
        width, height = height, width
    name = image.format or ""
    format_name = _FORMAT_NAMES.get(name, name.lower())
    return Picture(_turned(image, orientation), Facts(width, height, format_name, taken_at))


def upright_rgb(image: Image.Image) -> Image.Image:
    """A picture in any mode as RGB: turned as its EXIF data says, and on white."""
    image.load()
    return _turned(image, _camera_facts(image)[0])


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    rgb = _to_rgb(image)
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB pixels of a picture in any mode, composited on white where it is transparent."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return _grey_to_rgb(np.asarray(image, dtype=np.float64))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_to_rgb(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    """Grey values of unknown range: 0–1, 8 or 16 bits where they fit one, else stretched."""
    values = np.nan_to_num(values)
    low, high = float(values.min()), float(values.max())
    for top in (1.0, 255.0, 65535.0):
        if low >= 0.0 and high <= top:
            low, high = 0.0, top
            break
    span = (high - low) or 1.0
    grey = ((values - low) * (255.0 / span)).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _camera_facts(image: Image.Image) -> tuple[int, int]:
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
    moment = str(camera.get(ExifTags.Base.DateTimeOriginal, "")).strip("\0 ")
    offset = str(camera.get(ExifTags.Base.OffsetTimeOriginal, "")).strip("\0 ") or "+00:00"
    return int(datetime.strptime(moment + offset, "%Y:%m:%d %H:%M:%S%z").timestamp())
