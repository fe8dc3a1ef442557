"""The question on the command line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image

from lookalike.decode import decode
from lookalike.errors import InvalidQuestion, PictureUnreadable
from lookalike.query.language import is_web
from lookalike.query.question import Query
from lookalike.query.terms import Encoded, File
from lookalike.settings import Settings

if TYPE_CHECKING:
    from lookalike.cli.thumbnails import Shown

SHOWN = (400, 400)  # pixels; more is not seen of a question
EXAMPLE = "lookalike search beach.jpg + 0.5:sunset.jpg - crowd.jpg"

Terms = Annotated[
    list[str],
    typer.Argument(
        metavar="QUERY",
        help="Pictures, or words in quotes: a file, a member of an archive, an address, id:… of a "
        "hit, clipboard:, or - for stdin. Several are added; + and - between them, a weight before "
        "one (0.5:a.jpg) and the part of one after it (a.jpg@10%,10%,50%,50%) say how.",
        show_default=False,
    ),
]
CropOption = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="X,Y,W,H",
        help="The part of the picture that is meant: left, top, width and height, all in pixels or "
        "all in percent (10%,10%,50%,50%).",
        show_default=False,
    ),
]


def question(words: list[str], crop: str | None) -> Query:
    """What is asked; a picture is read from stdin where it stands for one."""
    return Query.parse(words, stdin=_Stdin().read).cropped(crop)


def pictures(query: Query) -> list[Shown]:
    """What can be shown of the pictures that a question is made of.

    Pictures of the web are not fetched a second time.
    """
    settings = Settings.from_environment()
    shown: list[Shown] = []
    for term in query.terms:
        match term.value:
            case File(path) if not is_web(path):
                shown.append(os.path.expanduser(path))  # noqa: PTH111 - it may be in an archive
            case Image.Image():
                shown.append(term.value)
            case Encoded(data, name):
                picture = decode(data, path=name, least=SHOWN, max_pixels=settings.max_pixels)
                shown.append(picture.image)
    return shown


class _Stdin:
    """Can be read once."""

    def __init__(self) -> None:
        self._is_read = False

    def read(self) -> bytes:
        """All of it."""
        if self._is_read:
            raise InvalidQuestion("stdin (-) can be only one of the terms.")
        if sys.stdin.isatty():
            raise InvalidQuestion("'-' reads a picture from stdin; pipe or redirect one there.")
        self._is_read = True
        limit = Settings.from_environment().max_bytes
        data = sys.stdin.buffer.read(limit + 1)
        if len(data) > limit:
            raise PictureUnreadable("stdin", f"it has more than LOOKALIKE_MAX_BYTES={limit} bytes")
        return data
