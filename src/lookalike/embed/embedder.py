"""What turns pictures into vectors: the protocol, and the implementation for described models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.decode import decode
from lookalike.embed.description import ModelDescription
from lookalike.errors import LookalikeError
from lookalike.records import Pixels
from lookalike.settings import Settings
from lookalike.sources.reader import Reader

Part = TypeVar("Part")


class Embedder(Protocol):
    """A model as the index sees it. Its methods are called from several threads at once.

    ``name`` is what people type; ``fingerprint`` changes whenever the same picture could get
    another vector; ``least`` is the (width, height) below which a picture would be enlarged;
    ``batch_size`` is how many pictures at once suit it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def least(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102

    def load(self) -> None:
        """Get ready for `embed`; it is otherwise done by the first call."""

    def prepare(self, image: Image.Image) -> Pixels:
        """An upright RGB picture -> (height, width, 3) uint8."""

    def embed(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""


@runtime_checkable
class TextEmbedder(Embedder, Protocol):
    """An embedder that reads words, too: its vectors of words and of pictures are compared."""

    def embed_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts -> (n, dim) float32, unit rows."""


def reads_words(embedder: Embedder) -> TypeGuard[TextEmbedder]:
    """Whether it can be asked with words."""
    return isinstance(embedder, TextEmbedder)


class Engine(Protocol):
    """Runs a model: (n, height, width, 3) uint8 -> (n, dim) float32, unit rows; thread-safe."""

    def __call__(self, pictures: Pixels, /) -> npt.NDArray[np.float32]: ...  # noqa: D102


class TextTower(Protocol):
    """Runs a text tower: texts, one at least -> (n, dim) float32, unit rows; thread-safe."""

    def __call__(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]: ...  # noqa: D102


class Started(Generic[Part]):
    """A part of a model that is started by its first use, once, whoever asks for it."""

    def __init__(self, start: Callable[[], Part]) -> None:
        self._start = start
        self._starting = threading.Lock()
        self._part: Part | None = None
        self._failure: LookalikeError | None = None

    def __call__(self) -> Part:
        """The part; raises what its start has raised."""
        if self._part is not None:
            return self._part
        with self._starting:
            if self._failure:
                # Told again rather than tried again: the first try may have been ahead of use.
                raise self._failure
            if self._part is None:
                try:
                    self._part = self._start()
                except LookalikeError as error:
                    self._failure = error
                    raise
            return self._part


class ModelEmbedder:
    """A described model and the engine that runs it, which is started by the first `embed`."""

    def __init__(
        self,
        description: ModelDescription,
        start_engine: Callable[[], Engine],
        *,
        batch_size: int = 16,
    ) -> None:
        self.description, self.batch_size = description, batch_size
        self._start_engine = start_engine
        self._engine = Started(start_engine)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.description.name

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.description.dim

    @property
    def fingerprint(self) -> str:
        """What tells this model, its weights and its preprocessing from any other."""
        return self.description.fingerprint

    @property
    def least(self) -> tuple[int, int]:
        """(width, height) in pixels below which a picture is enlarged."""
        return self.description.least

    def prepare(self, image: Image.Image) -> Pixels:
        """An upright RGB picture -> (height, width, 3) uint8."""
        return self.description.prepare(image)

    def load(self) -> None:
        """Start the engine, once."""
        self._engine()

    def embed(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""
        return self._engine()(pictures)

    def embed_files(
        self, paths: Sequence[str | Path], *, settings: Settings | None = None
    ) -> npt.NDArray[np.float32]:
        """Picture files -> (n, dim) float32, unit rows, in the order of `paths`.

        Raises:
            PictureError: one of them cannot be used.
        """
        settings = settings or Settings.from_environment()
        out = np.empty((len(paths), self.dim), np.float32)
        size = settings.batch_size or self.batch_size
        with Reader.of(settings) as reader:
            for start in range(0, len(paths), size):
                names = [str(path) for path in paths[start : start + size]]
                batch = [
                    prepare_file(name, embedder=self, reader=reader, settings=settings)
                    for name in names
                ]
                out[start : start + len(batch)] = self.embed(np.stack(batch))
        return out


class TextImageEmbedder(ModelEmbedder):
    """A described model with a text tower, which is started by the first `embed_text`."""

    def __init__(
        self,
        description: ModelDescription,
        start_engine: Callable[[], Engine],
        start_text: Callable[[], TextTower],
        *,
        batch_size: int = 16,
    ) -> None:
        super().__init__(description, start_engine, batch_size=batch_size)
        self._text = Started(start_text)

    def load_text(self) -> None:
        """Start the text tower, once; the image tower is not needed for it."""
        self._text()

    def embed_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts -> (n, dim) float32, unit rows; what is longer than the model reads is cut off."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return self._text()(texts)


def prepare_file(path: str, *, embedder: Embedder, reader: Reader, settings: Settings) -> Pixels:
    """A picture file -> (height, width, 3) uint8; raises `PictureError`."""
    data, _ = reader.read(path)
    picture = decode(data, path=path, least=embedder.least, max_pixels=settings.max_pixels)
    return embedder.prepare(picture.image)
