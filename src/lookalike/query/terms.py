"""What a question is made of: terms, each with a weight, and parts of pictures."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field

from PIL import Image

from lookalike.errors import InvalidQuestion
from lookalike.records import Pixels

_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*(%?)\s*"
IN_MEMORY = "the picture in memory"  # what errors call one
_WHOLE = 100.0  # percent


@dataclass(frozen=True)
class Crop:
    """A part of a picture, as people see it: left and upper edge, width and height.

    All four are pixels of the whole upright picture, or all are percent of its sides.
    """

    x: float
    y: float
    width: float
    height: float
    percent: bool = False

    def __post_init__(self) -> None:
        """Raise `InvalidQuestion` where no picture has such a part."""
        edges = (self.x, self.y, self.width, self.height)
        if not all(map(math.isfinite, edges)) or min(edges[2:]) <= 0:
            raise InvalidQuestion(
                f"The crop {self} is empty: its width and height must be above 0."
            )
        ends = (self.x + self.width, self.y + self.height)
        if min(edges) < 0 or (self.percent and max(ends) > _WHOLE):
            raise InvalidQuestion(f"The crop {self} lies outside of every picture.")

    @classmethod
    def parse(cls, text: str) -> Crop:
        """``X,Y,W,H`` in pixels, or ``X%,Y%,W%,H%``.

        Raises:
            InvalidQuestion: it is neither.
        """
        parts = [re.fullmatch(_NUMBER, part) for part in text.split(",")]
        known = [part for part in parts if part]
        units = {part[2] for part in known}
        if len(known) != len(parts) or len(parts) != 4 or len(units) != 1:  # noqa: PLR2004
            raise InvalidQuestion(
                f"{text!r} is no crop: give X,Y,WIDTH,HEIGHT, all in pixels (10,20,300,200) or all "
                "in percent (10%,10%,50%,50%)."
            )
        x, y, width, height = (float(part[1]) for part in known)
        return cls(x, y, width, height, percent=units == {"%"})

    def of(self, image: Image.Image, *, size: tuple[int, int], name: str) -> Image.Image:
        """The part of an upright picture.

        Args:
            image: the picture, or a smaller likeness of it, such as the preview in a raw file.
            size: (width, height) of the picture itself in pixels.
            name: what errors call it.

        Raises:
            InvalidQuestion: it is not wholly inside.
        """
        width, height = size
        across, down = (width / _WHOLE, height / _WHOLE) if self.percent else (1.0, 1.0)
        box = (self.x * across, self.y * down, self.width * across, self.height * down)
        left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
        if not self.percent and (right > width or bottom > height):
            raise InvalidQuestion(
                f"The crop {self} is not inside {name}, which has {width} × {height} pixels."
            )
        across, down = image.width / width, image.height / height
        # Of a small picture, percents may be less than a pixel.
        left, top = round(left * across), round(top * down)
        left, top = min(left, image.width - 1), min(top, image.height - 1)
        right, bottom = round(right * across), round(bottom * down)
        return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))

    def __str__(self) -> str:
        """As `parse` reads it."""
        unit = "%" if self.percent else ""
        numbers = (self.x, self.y, self.width, self.height)
        return ",".join(f"{number:.12g}{unit}" for number in numbers)


@dataclass(frozen=True)
class Words:
    """Words, which are never taken for the name of a file."""

    text: str


@dataclass(frozen=True)
class File:
    """A picture by its path: a file, a member of an archive, an object in a storage."""

    path: str


@dataclass(frozen=True)
class WebAddress:
    """A picture at an http or https address."""

    url: str


@dataclass(frozen=True)
class RowId:
    """A row of the index, whose vector is there already."""

    id: str


@dataclass(frozen=True)
class Clipboard:
    """The picture that the clipboard holds."""


@dataclass(frozen=True)
class Encoded:
    """The bytes of a picture file; `name` is what errors call it."""

    data: bytes = field(repr=False)
    name: str = IN_MEMORY


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture, or the part of it that is meant, as the model takes it."""

    pixels: Pixels = field(repr=False)
    name: str = IN_MEMORY


Picture = File | WebAddress | Clipboard | Encoded | Prepared | Image.Image
Meant = Picture | RowId | Words
Value = str | os.PathLike[str] | bytes | Meant


@dataclass(frozen=True)
class Term:
    """A picture or words, and how much it counts in a question; below 0, it is to be unlike it.

    `value` is a path, an Image of Pillow, the bytes of a picture file, `Words`, or a text as on the
    command line. `crop` is the part of the picture that is meant.
    """

    value: Value
    weight: float = 1.0
    crop: Crop | str | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidQuestion` for a weight that is no number."""
        if not math.isfinite(self.weight):
            raise InvalidQuestion(f"The weight of a term is {self.weight}, but must be a number.")
