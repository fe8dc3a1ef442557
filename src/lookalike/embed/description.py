"""What is known of a model without running it, and the pictures that it takes."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.embed.resize import resize
from lookalike.errors import ModelUnusable
from lookalike.records import Pixels

CROP_MODES = ("center", "squash", "border")


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """A model's name, its identity, and the preprocessing that its weights were trained with.

    `size` is (height, width) in pixels. `crop`, `crop_mode`, `interpolation` (the name of a Pillow
    filter), `mean` and `std` (of channels in [0, 1]) mean the same as in timm's data config.
    `fingerprint` changes whenever the same picture could get another vector. `arithmetic` is
    ``float`` or ``int8``: fp32 and bf16 rank the same, so rows of both may be mixed.
    `calibrated_from` is the fingerprint of the float model that an int8 model was made from.
    `cleaning` is what a model that reads words does to a text first: a name of
    `lookalike.embed.tokens.CLEANINGS`; it is empty for all others.
    """

    name: str
    fingerprint: str
    dim: int
    size: tuple[int, int]
    crop: float
    crop_mode: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arithmetic: str = "float"
    calibrated_from: str = ""
    cleaning: str = ""

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Read the JSON file that lies beside an exported model."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            for name in ("size", "mean", "std"):
                known[name] = tuple(known[name])
            described = cls(**known)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelUnusable(f"{path} is no description of a model ({error}).") from error
        if described.interpolation.upper() not in Image.Resampling.__members__:
            raise ModelUnusable(f"{path} names no known interpolation: {described.interpolation}.")
        return described

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        path.write_text(f"{text}\n", encoding="utf-8")

    @property
    def reads_words(self) -> bool:
        """Whether it has a text tower."""
        return bool(self.cleaning)

    @property
    def least(self) -> tuple[int, int]:
        """(width, height) of a whole picture below which the model would enlarge it."""
        height, width = (math.floor(side / self.crop) for side in self.size)
        return width, height

    def prepare(self, image: Image.Image) -> Pixels:
        """The part of an upright RGB picture that the model sees: (height, width, 3) uint8.

        The same pixels as timm's evaluation transform, which resizes the whole picture and then
        cuts out whole pixels; here only what is cut out is ever resized.
        """
        box, pads = [], []
        whole = self._resized(image.size)
        for length, resized, size in zip(image.size, whole, self.size[::-1], strict=True):
            kept = min(size, resized)
            first = round((resized - kept) / 2)
            end = min((first + kept) * length / resized, length)
            box.append((first * length / resized, end))
            pads.append(((size - kept) // 2, kept))
        (left, right), (top, bottom) = box
        (pad_left, width), (pad_top, height) = pads
        resampling = Image.Resampling[self.interpolation.upper()]
        seen = resize(image, (width, height), box=(left, top, right, bottom), resampling=resampling)
        if (height, width) == self.size:
            return seen
        framed = np.empty((*self.size, 3), np.uint8)
        framed[:] = [round(255 * channel) for channel in self.mean]
        framed[pad_top : pad_top + height, pad_left : pad_left + width] = seen
        return framed

    def _resized(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the whole picture after timm's first step."""
        if self.crop_mode == "squash":
            return self.least
        if self.crop_mode == "center" and self.least[0] == self.least[1]:
            # torchvision's Resize of the shorter side rounds the longer one down.
            shorter = min(image_size)
            width, height = (int(self.least[0] * length / shorter) for length in image_size)
            return width, height
        ratios = [length / target for length, target in zip(image_size, self.least, strict=True)]
        ratio = max(ratios) if self.crop_mode == "border" else min(ratios)
        width, height = (round(length / ratio) for length in image_size)
        return max(width, 1), max(height, 1)
