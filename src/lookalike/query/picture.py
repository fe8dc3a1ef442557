"""The pictures of a question: found, decoded and cropped."""

from __future__ import annotations

import os
from dataclasses import replace

from PIL import Image

from lookalike.decode import decode, upright_rgb
from lookalike.embed.embedder import Embedder
from lookalike.query.language import is_web, shown
from lookalike.query.terms import Clipboard, Crop, Encoded, File, Prepared, Term, WebAddress
from lookalike.records import Pixels
from lookalike.settings import Settings
from lookalike.sources.names import without_secrets
from lookalike.sources.reader import Reader


def pixels_of(term: Term, *, embedder: Embedder, reader: Reader, settings: Settings) -> Pixels:
    """The picture of a term as the model takes it: (height, width, 3) uint8.

    Raises:
        PictureError: it cannot be used.
        InvalidQuestion: its address may not be asked, the clipboard has no picture, or the crop is
            outside.
    """
    value, name = term.value, shown(term)
    if isinstance(value, Prepared):
        return value.pixels
    if isinstance(value, Clipboard):
        # Imported here: few questions come from there.
        from lookalike.query.clipboard import from_clipboard  # noqa: PLC0415

        value = from_clipboard()
    crop = term.crop if isinstance(term.crop, Crop) else None
    if isinstance(value, Image.Image):
        image = upright_rgb(value)
        size = image.size
    else:
        assert isinstance(value, Encoded | File | WebAddress)  # noqa: S101 - `meant` has seen to it
        # A crop is cut out of the whole: at a reduced scale, too little of it would be left.
        least = (settings.max_pixels,) * 2 if crop else embedder.least
        data, path = _read(value, reader, settings)
        picture = decode(data, path=path, least=least, max_pixels=settings.max_pixels)
        image, size = picture.image, (picture.facts.width, picture.facts.height)
    if crop:
        image = crop.of(image, size=size, name=name)
    return embedder.prepare(image)


def prepared_term(term: Term, *, embedder: Embedder, reader: Reader, settings: Settings) -> Term:
    """The same term with its picture as the model takes it; the errors are those of `pixels_of`."""
    pixels = pixels_of(term, embedder=embedder, reader=reader, settings=settings)
    return replace(term, value=Prepared(pixels, shown(term)), crop=None)


def _read(
    value: Encoded | File | WebAddress, reader: Reader, settings: Settings
) -> tuple[bytes, str]:
    """The bytes of a picture file, and what errors call it."""
    if isinstance(value, Encoded):
        return value.data, value.name
    written = value.url if isinstance(value, WebAddress) else value.path
    # Of a path too, for the reader would ask any address.
    if is_web(written):
        # Imported here: few questions have one, and every search would wait.
        from lookalike.sources.web import fetch  # noqa: PLC0415

        data = fetch(
            written,
            max_bytes=settings.max_bytes,
            timeout_s=settings.max_seconds,
            allow_private=bool(settings.allow_private_urls),
        )
        return data, without_secrets(written)
    path = os.path.expanduser(written)  # noqa: PTH111
    return reader.read(path)[0], path
