"""What turns pictures into vectors: the protocol, and the implementation for described models."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.decode import decode, read_file
from lookalike.embed.resize import resize
from lookalike.errors import ModelUnusable
from lookalike.records import Pixels
from lookalike.settings import Settings


class Embedder(Protocol):
    """A model as the index sees it. Its methods are called from several threads at once.

    ``name`` is what people type; ``fingerprint`` changes whenever the same picture could get
    another vector; ``least`` is the (width, height) below which a picture would be enlarged.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def least(self) -> tuple[int, int]: ...  # noqa: D102

    def load(self) -> None:
        """Get ready for `embed`; it is otherwise done by the first call."""

    def prepare(self, image: Image.Image) -> Pixels:
        """An upright RGB picture -> (height, width, 3) uint8."""

    def embed(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""


class Engine(Protocol):
    """Runs a model: (n, height, width, 3) uint8 -> (n, dim) float32, unit rows; thread-safe."""

    def __call__(self, pictures: Pixels) -> npt.NDArray[np.float32]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What is known of a model without running it.

    `size` is the side in pixels of the square that the model takes; `crop` is the part of the
    shorter side that the central crop keeps; `interpolation` is the name of a Pillow filter. They
    mean the same as in timm's data config.
    """

    name: str
    dim: int
    size: int
    crop: float
    interpolation: str

    @classmethod
    def read(cls, path: Path) -> ModelDescription:
        """Read the JSON file that lies beside an exported model."""
        try:
            described = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelUnusable(f"{path} is no description of a model ({error}).") from error
        if described.interpolation.upper() not in Image.Resampling.__members__:
            raise ModelUnusable(f"{path} names no known interpolation: {described.interpolation}.")
        return described


class ModelEmbedder:
    """An exported model in a folder: ``model.json``, ``model.xml``, ``model.bin``.

    Nothing heavy is loaded before the first `embed`, or `load`.
    """

    def __init__(self, folder: Path, start_engine: Callable[[Path], Engine]) -> None:
        self._folder = folder
        self._start_engine = start_engine
        self._starting = threading.Lock()
        self._engine: Engine | None = None
        self._description = ModelDescription.read(folder / "model.json")

    @property
    def name(self) -> str:
        """The model's name."""
        return self._description.name

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._description.dim

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of weights, graph and preprocessing, and the class of the arithmetic.

        fp32 and bf16 are one class: they rank the same, so rows of both may be mixed.
        """
        digest = hashlib.blake2b(b"float", digest_size=16)
        try:
            for name in ("model.json", "model.xml", "model.bin"):
                digest.update((self._folder / name).read_bytes())
        except OSError as error:
            raise ModelUnusable(f"The model's file {error.filename} is missing.") from error
        return digest.hexdigest()

    @property
    def least(self) -> tuple[int, int]:
        """(width, height) in pixels below which a picture is enlarged."""
        # Of the whole picture, when its crop has the model's size; timm rounds it down, too.
        side = math.floor(self._description.size / self._description.crop)
        return side, side

    def prepare(self, image: Image.Image) -> Pixels:
        """Cut out the centre and resize it: (size, size, 3) uint8.

        The same pixels as timm's evaluation transform, which resizes the whole picture so that its
        shorter side fits and then cuts out whole pixels; here only the crop is ever resized.
        """
        size, (side, _), shorter = self._description.size, self.least, min(image.size)
        ranges = []
        for length in image.size:
            resized = int(side * length / shorter)
            first = round((resized - size) / 2)
            end = min((first + size) * length / resized, length)
            ranges.append((first * length / resized, end))
        (left, right), (top, bottom) = ranges
        resampling = Image.Resampling[self._description.interpolation.upper()]
        return resize(image, (size, size), box=(left, top, right, bottom), resampling=resampling)

    def load(self) -> None:
        """Compile the model, once."""
        with self._starting:
            if self._engine is None:
                self._engine = self._start_engine(self._folder)

    def embed(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""
        if self._engine is None:
            self.load()
        assert self._engine is not None  # noqa: S101
        return self._engine(pictures)

    def embed_files(
        self, paths: Sequence[str | Path], *, settings: Settings | None = None
    ) -> npt.NDArray[np.float32]:
        """Picture files -> (n, dim) float32, unit rows, in the order of `paths`.

        Raises:
            PictureError: one of them cannot be used.
        """
        settings = settings or Settings.from_environment()
        out = np.empty((len(paths), self.dim), np.float32)
        for start in range(0, len(paths), settings.batch_size):
            names = [str(path) for path in paths[start : start + settings.batch_size]]
            batch = [
                self.prepare(
                    decode(
                        read_file(name, max_bytes=settings.max_bytes)[0],
                        path=name,
                        least=self.least,
                        max_pixels=settings.max_pixels,
                    ).image
                )
                for name in names
            ]
            out[start : start + len(batch)] = self.embed(np.stack(batch))
        return out
