"""Thumbnails, each made once and kept on the disk, as much as there is room for."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import platformdirs
from PIL import Image

from lookalike.records import Twin
from lookalike.serve.decoders import Decoders
from lookalike.settings import Settings
from lookalike.sources.reader import Reader
from lookalike.thumbnails import small

SIZES = (64, 128, 256, 512, 1024)
MOST_BYTES = 500_000_000
QUALITY = 80


def size_for(asked: int) -> int:
    """The size that is made for one that was asked for: the next larger one."""
    return next((size for size in SIZES if size >= asked), SIZES[-1])


def as_webp(image: Image.Image) -> bytes:
    """A picture as browsers show it; nothing but pixels is in it."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=2)
    return buffer.getvalue()


def default_folder() -> Path:
    """Where this platform keeps what a program can make again."""
    return Path(platformdirs.user_cache_dir("lookalike", appauthor=False)) / "thumbnails"


class Thumbnails:
    """Files named by content and size, the one that was longest not asked for goes first.

    A changed picture has another content, so what is there is never wrong.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        decoders: Decoders,
        folder: Path | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._settings, self._decoders = settings, decoders
        self._folder, self._most_bytes = folder or default_folder(), most_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] | None = None
        self._coming: dict[str, Future[bytes]] = {}

    def get(self, place: Twin, size: int) -> bytes:
        """The WebP file of a picture of the index, at most `size` pixels wide and high.

        Raises:
            PictureError: the picture cannot be used any more.
            Refused: it takes too long.
        """
        name = f"{place.content}-{size}.webp"
        with self._lock:
            known = self._known()
            if name in known:
                known.move_to_end(name)
                with suppress(OSError):
                    path = self._folder / name
                    data = path.read_bytes()
                    os.utime(path)  # which tells the next process what is in use
                    return data
            coming = self._coming.get(name)
            is_mine = coming is None
            if coming is None:
                coming = self._coming[name] = Future()
        if not is_mine:
            return coming.result()
        try:
            data = self._decoders.run(lambda: self._made(place, size, name))
        except BaseException as error:
            coming.set_exception(error)
            raise
        else:
            coming.set_result(data)
            return data
        finally:
            with self._lock:
                del self._coming[name]

    def _made(self, place: Twin, size: int, name: str) -> bytes:
        with Reader.of(self._settings) as reader:
            data, _ = reader.read(place.path)
        pixels = self._settings.max_pixels
        made = as_webp(small(data, path=place.path, side=size, max_pixels=pixels))
        # The file may be another than the index knows, and then it is not kept under that name.
        if hashlib.blake2b(data, digest_size=16).hexdigest() == place.content:
            self._keep(name, made)
        return made

    def _keep(self, name: str, made: bytes) -> None:
        """Without room or rights for it, it is made again the next time."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, written = tempfile.mkstemp(dir=self._folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(made)
            Path(written).replace(self._folder / name)
            with self._lock:
                self._known()[name] = len(made)
                self._shrink()

    def _known(self) -> OrderedDict[str, int]:
        """The files by their age; the lock is held."""
        if self._sizes is None:
            found = []
            for path in self._folder.glob("*.webp"):
                with suppress(OSError):
                    stat = path.stat()
                    found.append((stat.st_mtime, path.name, stat.st_size))
            self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
            self._shrink()
        return self._sizes

    def _shrink(self) -> None:
        known = self._sizes or OrderedDict()
        taken = sum(known.values())
        while known and taken > self._most_bytes:
            name, size = known.popitem(last=False)
            taken -= size
            with suppress(OSError):
                (self._folder / name).unlink()
