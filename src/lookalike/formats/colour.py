"""Pixels of every kind become sRGB on white."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

# A profile that moves no colour by more of the 255 steps is as good as sRGB.
_UNSEEN = 2
_CACHED_TRANSFORMS = 32

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # by the profile's colour space


def to_srgb(image: Image.Image, *, least: int | None = None) -> Image.Image:
    """RGB pixels of a picture in any mode: 8 bits, sRGB, on white where it is transparent.

    Args:
        image: is not changed.
        least: pixels that the caller needs of the shorter side. A picture of at least four times
            that is reduced first, to no less than twice that.
    """
    icc = image.info.get("icc_profile")
    plain = _plain(image)
    if least is not None and (factor := min(plain.size) // (2 * least)) > 1:
        plain = plain.reduce(factor)
    if plain.mode != "RGBA":
        return _in_srgb(plain, icc)
    white = Image.new("RGB", plain.size, "white")
    white.paste(_in_srgb(plain.convert("RGB"), icc), mask=plain.getchannel("A"))
    return white


def _plain(image: Image.Image) -> Image.Image:
    """With 8 bits a channel, each a brightness: no palettes, no keys for what is transparent."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _grey(np.asarray(image, dtype=np.float64))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _grey(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    """Grey values of unknown range: 0–1, 8 or 16 bits where they fit one, else stretched."""
    values = np.nan_to_num(values)
    low, high = float(values.min()), float(values.max())
    for top in (1.0, 255.0, 65535.0):
        if low >= 0.0 and high <= top:
            low, high = 0.0, top
            break
    span = (high - low) or 1.0
    return Image.fromarray(((values - low) * (255.0 / span)).round().astype(np.uint8))


def _in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    transform = _from_profile(icc) if icc else None
    if image.mode == "LAB":
        transform = _from_lab()
    if transform and transform.input_mode in (image.mode, "RGB"):
        return transform.apply(image.convert(transform.input_mode))
    return image if image.mode == "RGB" else image.convert("RGB")


@functools.lru_cache(maxsize=_CACHED_TRANSFORMS)
def _from_profile(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """What an ICC profile does to colours; None where that cannot be seen, or told from damage."""
    # Most pictures need no conversion, so no search waits for this.
    from PIL import ImageCms  # noqa: PLC0415

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODES[profile.profile.xcolor_space.strip()]
        # What makes colours fast makes dark greys wrong.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB", flags=flags)
    except (OSError, KeyError, ImageCms.PyCMSError):
        return None
    if mode not in ("RGB", "L"):
        return transform
    colours = _all_hues() if mode == "RGB" else Image.linear_gradient("L")
    before, after = np.asarray(colours.convert("RGB"), int), np.asarray(transform.apply(colours))
    return transform if abs(after - before).max() > _UNSEEN else None


@functools.cache
def _from_lab() -> ImageCms.ImageCmsTransform:
    from PIL import ImageCms  # noqa: PLC0415

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(*profiles, "LAB", "RGB")


def _all_hues() -> Image.Image:
    """Each of nine steps of red, green and blue with each other."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(cube.reshape(27, 27, 3))
