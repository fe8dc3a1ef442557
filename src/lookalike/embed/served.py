"""The model that a server has warm. Pictures are decoded and prepared here, and embedded there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.embed.description import ModelDescription
from lookalike.embed.embedder import Embedder
from lookalike.owner.connection import Owner
from lookalike.owner.messages import decode, encode
from lookalike.records import Pixels

Vectors = npt.NDArray[np.float32]


class ServedEmbedder:
    """An `Embedder` whose model runs in a server."""

    def __init__(self, owner: Owner, description: ModelDescription, batch_size: int) -> None:
        self.owner, self.description, self.batch_size = owner, description, batch_size
        self.name, self.fingerprint = description.name, description.fingerprint
        self.dim, self.least = description.dim, description.least

    def load(self) -> None:
        """The server has done that."""

    def prepare(self, image: Image.Image) -> Pixels:
        """An upright RGB picture -> (height, width, 3) uint8."""
        return self.description.prepare(image)

    def embed(self, pictures: Pixels) -> Vectors:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""
        return decode(self.owner.ask("embed", encode(pictures)), Vectors)  # type: ignore[no-any-return]


class ServedTextEmbedder(ServedEmbedder):
    """A `TextEmbedder` whose model runs in a server."""

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (n, dim) float32, unit rows."""
        return decode(self.owner.ask("embed_text", encode(texts)), Vectors)  # type: ignore[no-any-return]


def served_embedder(owner: Owner) -> Embedder | None:
    """The embedder of the index that a server has open; None where it is one of a program's own."""
    known = decode(owner.ask("model"), tuple[ModelDescription, int] | None)
    if known is None:
        return None
    kind = ServedTextEmbedder if known[0].reads_words else ServedEmbedder
    return kind(owner, *known)
