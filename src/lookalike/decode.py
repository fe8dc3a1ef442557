"""A file's bytes become an upright RGB picture and its facts."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, UnidentifiedImageError

from lookalike.errors import PictureDamaged, PictureTooLarge, PictureUnreadable, reason_of
from lookalike.formats import heif, kinds, raw
from lookalike.formats.colour import to_srgb
from lookalike.formats.exif import SIDEWAYS, UPRIGHT, camera_facts

EXTENSIONS = kinds.EXTENSIONS

# Tried in this order, so the common ones first; the rare ones are plug-ins that Pillow loads when
# it comes to them. Only decoders that run in this process: PostScript's would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "ICO", "PPM")
_FORMAT_NAMES = {"MPO": "jpeg", "DIB": "bmp"}
_ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")

# Decoded, one of these takes 200 MB or more, so only one at a time is in memory at its full size.
GIANT_PIXELS = 50_000_000
_one_giant = threading.Lock()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says about its picture.

    `width` and `height` are those of the whole picture, in pixels, after orientation; `taken_at`
    is seconds since the epoch, 0 where unknown; `animated` where more frames follow.
    """

    width: int
    height: int
    format: str
    taken_at: int
    animated: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright RGB `image`, which may have been decoded at a reduced scale, and its facts."""

    image: Image.Image
    facts: Facts


def decode(data: bytes, *, path: str, least: tuple[int, int], max_pixels: int) -> Picture:
    """Decode a picture: upright, in sRGB, on white; of an animation or a collection the first.

    Args:
        data: the file's bytes.
        path: named in errors; its extension is a hint where the content leaves doubt.
        least: (width, height) in pixels that the caller needs. A JPEG of at least twice that is
            decoded at half, a quarter or an eighth of its scale, and others of at least four times
            that are reduced afterwards; never below `least`.
        max_pixels: the largest picture that is decoded at all.

    Raises:
        PictureDamaged: it is empty, no picture, broken or too large.
        PictureUnreadable: what reads this format is not installed, or memory is short.
    """
    if not data:
        raise PictureDamaged(path, "the file is empty (0 bytes)")
    with _reasons(data, path):
        if kinds.is_raw(data, path=path) and (found := raw.preview(data, path=path)):
            return _read_preview(found, path=path, least=max(least), max_pixels=max_pixels)
        with _opened(data, path=path, max_pixels=max_pixels) as image:
            if raw.is_preview(image) and (found := raw.preview(data, path=path)):
                return _read_preview(found, path=path, least=max(least), max_pixels=max_pixels)
            return _read(image, path=path, least=max(least), max_pixels=max_pixels)


@contextlib.contextmanager
def _reasons(data: bytes, path: str) -> Iterator[None]:
    try:
        yield
    except (PictureDamaged, PictureUnreadable):
        raise
    except UnidentifiedImageError:
        raise PictureDamaged(path, kinds.why_no_picture(data, path=path)) from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        reason = f"it has more than {limit} pixels (PIL.Image.MAX_IMAGE_PIXELS sets the limit)"
        raise PictureDamaged(path, reason) from None
    except MemoryError:
        # Of no fault of the file, and there may be enough the next time.
        raise PictureUnreadable(path, "there is not enough memory to decode it") from None
    # The decoders raise nearly anything on damaged bytes, and none of it may end a run.
    except Exception as error:
        reason = f"the picture is damaged ({reason_of(error)})"
        if isinstance(error, OSError) and "truncated" in reason:
            reason = "the picture is damaged: the end of the file is missing (truncated)"
        raise PictureDamaged(path, reason) from error


def _opened(data: bytes, *, path: str, max_pixels: int) -> Image.Image:
    """The picture with its size known and, where Pillow does not load it at once, no pixels yet."""
    if kinds.is_heif(data):
        return heif.opened(data)
    if data.startswith(kinds.ICO):
        _check_size(kinds.largest_icon(data), path=path, max_pixels=max_pixels)
    formats = (*FORMATS, "TGA") if kinds.may_be_tga(data, path=path) else FORMATS
    return Image.open(io.BytesIO(data), formats=formats)


def _check_size(size: tuple[int, int], *, path: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureTooLarge(path, size, max_pixels)


def _read(image: Image.Image, *, path: str, least: int, max_pixels: int) -> Picture:
    size = image.size
    _check_size(size, path=path, max_pixels=max_pixels)
    # The longer side of what is needed for both, because the picture may yet be turned.
    image.draft("RGB", (least, least))
    drafted = image.size != size
    giant = image.width * image.height > GIANT_PIXELS
    with _one_giant if giant else contextlib.nullcontext():
        image.load()
        # Only now: Pillow turns TIFFs upright itself while loading.
        orientation, taken_at = camera_facts(image)
        width, height = size if drafted else image.size
        rgb = to_srgb(image, least=least)
    if orientation in SIDEWAYS:
        width, height = height, width
    name = image.format or ""
    facts = Facts(
        width=width,
        height=height,
        format=_FORMAT_NAMES.get(name, name.lower()),
        taken_at=taken_at,
        animated=_is_animated(image),
    )
    return Picture(_turned(rgb, orientation), facts)


def _read_preview(found: raw.Preview, *, path: str, least: int, max_pixels: int) -> Picture:
    picture = _read(found.image, path=path, least=least, max_pixels=max_pixels)
    width, height = found.size
    taken_at = picture.facts.taken_at or found.taken_at
    facts = Facts(width=width, height=height, format="raw", taken_at=taken_at)
    return replace(picture, facts=facts)


def _is_animated(image: Image.Image) -> bool:
    # Asked last: for a GIF, Pillow goes on to the next frame and back.
    with contextlib.suppress(Exception):
        return image.format in _ANIMATED_FORMATS and getattr(image, "is_animated", False)
    return False


def upright_rgb(image: Image.Image) -> Image.Image:
    """A picture in any mode as RGB: turned as its EXIF data says, in sRGB and on white."""
    image.load()
    return _turned(to_srgb(image), camera_facts(image)[0])


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
