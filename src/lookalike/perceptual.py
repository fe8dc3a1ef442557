"""A hash that pictures share when they look the same: 64 bits of their coarsest structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.records import Pixels

HASH_BITS = 64
# Of 256 levels. Of 325 photos none had less than 11; a page with a line or two of text has.
LEAST_CONTRAST = 8.0
_SIDE, _WAVES = 32, 8


def _cosines() -> npt.NDArray[np.float32]:
    """(8, 32): the lowest frequencies of the discrete cosine transform, DCT-II."""
    places = (np.arange(_SIDE) + 0.5) / _SIDE
    return np.cos(np.pi * np.outer(np.arange(_WAVES), places)).astype(np.float32)


_COSINES = _cosines()


def perceptual_hash(pixels: Pixels) -> str:
    """The signs of a picture's 8 × 8 lowest frequencies, above or below their median, in hex.

    It is the pHash of C. Zauner, "Implementation and benchmarking of perceptual image hash
    functions" (2010). Resizing, compressing again and brightening change few bits, cutting off a
    margin some; two unrelated pictures differ in about 32. A picture that is nearly of one colour
    has no structure to tell it by, and the hash is empty.

    Args:
        pixels: (height, width, 3) uint8, as a model takes them; so pictures are compared that were
            cut out in the same way.
    """
    small = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float32)
    if grey.std() < LEAST_CONTRAST:
        return ""
    waves = _COSINES @ grey @ _COSINES.T  # (8, 8)
    # Rounded, because what a plain area has of a frequency is nothing but rounding errors.
    waves = np.rint(waves).ravel()
    middle = np.partition(waves, HASH_BITS // 2)[HASH_BITS // 2]
    return np.packbits(waves > middle).tobytes().hex()


def bits_of(hashes: list[str]) -> npt.NDArray[np.uint64]:
    """(n,) uint64 for n hashes; two differ in as many bits as their exclusive or has."""
    return np.array([int(text, 16) for text in hashes], np.uint64)


def differing_bits(
    first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """In how many bits each of some hashes differs from its counterpart."""
    different = np.ascontiguousarray(first ^ second).view(np.uint8).reshape(-1, HASH_BITS // 8)
    count: npt.NDArray[np.int64] = np.unpackbits(different, axis=1).sum(axis=1, dtype=np.int64)
    return count
