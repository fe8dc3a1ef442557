"""Small copies of pictures, for pages and terminals."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from types import TracebackType

from PIL import Image

from lookalike.decode import upright_rgb
from lookalike.errors import LookalikeError, PictureError, PictureUnreadable
from lookalike.ingest.ahead import Impatient
from lookalike.settings import Settings
from lookalike.sources.reader import Reader
from lookalike.thumbnails import small

SECONDS = 10
"""Longer than that no thumbnail is waited for."""

Shown = str | Image.Image
"""A picture that is to be shown: what names it, or itself."""


class Thumbnails:
    """Makes thumbnails that are at most `side` pixels wide and high; a context manager."""

    def __init__(self, side: int) -> None:
        self._side, self._settings = side, Settings.from_environment()
        self._reader = Reader.of(self._settings, public=True)
        self._pool = Impatient(self._settings.workers, "lookalike-thumbnail", SECONDS)

    def small(self, pictures: Sequence[Shown]) -> Iterator[Image.Image | PictureError]:
        """Upright RGB pictures, in the order of `pictures`; or why one cannot be used any more."""
        return self._pool.ahead(
            self._small,
            pictures,
            2 * self._settings.workers,
            otherwise=_too_slow,
            ready=self._wait_for,
        )

    def imgs(self, pictures: Sequence[Shown]) -> Iterator[str]:
        """An `img` for each picture, with the picture inside it, or the reason in its place."""
        for picture, shown in zip(pictures, self.small(pictures), strict=True):
            name = picture.rsplit("/", 1)[-1] if isinstance(picture, str) else ""
            if isinstance(shown, PictureError):
                yield f'<div class="none">{html.escape(shown.reason)}</div>'
            else:
                yield _img(shown, name)

    def _wait_for(self, picture: Shown) -> None:
        if isinstance(picture, str):
            self._reader.wait_for(picture)

    def _small(self, picture: Shown) -> Image.Image | PictureError:
        try:
            if isinstance(picture, str):
                data, _ = self._reader.read(picture)
                limit = self._settings.max_pixels
                return small(data, path=picture, side=self._side, max_pixels=limit)
            image = upright_rgb(picture).copy()
        except PictureError as error:
            return error
        except LookalikeError as error:  # of an address, where what reads it is not installed
            return PictureUnreadable(str(picture), str(error))
        image.thumbnail((self._side, self._side), Image.Resampling.BICUBIC)
        return image

    def close(self) -> None:
        """Wait for nothing."""
        self._pool.leave()
        self._reader.close()

    def __enter__(self) -> Thumbnails:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def thumbnail(path: str, *, side: int = 320) -> str:
    """An `img` with one picture inside it, at most `side` pixels wide and high.

    Where the picture cannot be used any more, its place holds the reason.
    """
    with Thumbnails(side) as thumbnails:
        return next(iter(thumbnails.imgs([path])))


def _too_slow(picture: Shown) -> PictureError:
    return PictureUnreadable(str(picture), f"it took more than {SECONDS} s to read and decode")


def _img(image: Image.Image, name: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    width, height = image.size
    return (
        f'<img alt="{html.escape(name)}" loading="lazy" decoding="async" width="{width}" '
        f'height="{height}" src="data:image/jpeg;base64,{encoded}">'
    )
