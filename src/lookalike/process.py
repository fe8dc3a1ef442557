"""What holds in processes of our own, but not where lookalike is a library in another program's."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import warnings

from PIL import Image, _imaging


def configure() -> None:
    """Let our own limit of pixels hold and our own messages say what is wrong; save memory."""
    _keep_memory_small()
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    _keep_decoders_quiet()


def _keep_memory_small() -> None:
    """Give freed memory back: one arena a thread, and Arrow's own pool, keep 130 MB of it."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        m_arena_max, m_mmap_threshold = -8, -3  # from malloc.h
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)  # musl has none
        mallopt(m_arena_max, 2)
        mallopt(m_mmap_threshold, 1 << 20)


def _keep_decoders_quiet() -> None:
    """Of damaged pictures, Pillow and libtiff print errors that they also raise."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError):  # where it is built in, or left out
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
