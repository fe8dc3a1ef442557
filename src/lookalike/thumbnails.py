"""Small copies of pictures, made by the decoder that everything else goes through."""

from __future__ import annotations

from PIL import Image

from lookalike.decode import decode


def small(data: bytes, *, path: str, side: int, max_pixels: int) -> Image.Image:
    """An upright RGB copy of a picture, at most `side` pixels wide and high, never enlarged.

    Raises:
        PictureError: it cannot be used.
    """
    image = decode(data, path=path, least=(side, side), max_pixels=max_pixels).image.copy()
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return image
