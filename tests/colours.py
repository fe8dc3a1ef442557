"""A model of one's own, which needs no weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from lookalike.records import Pixels

Vectors = npt.NDArray[np.float32]


class Colours:
    """A model of one's own: the mean colours of the 4 × 4 parts of a picture."""

    least = (4, 4)
    batch_size = 4

    def __init__(self, name: str = "colours", *, power: float = 1.0) -> None:
        self.name, self.fingerprint, self._power = name, f"{name:x<32}", power
        self.dim = 48
        self.embedded = 0

    def load(self) -> None:
        pass

    def prepare(self, image: Image.Image) -> Pixels:
        return np.asarray(image.resize((4, 4), Image.Resampling.BOX))

    def embed(self, pictures: Pixels) -> Vectors:
        self.embedded += len(pictures)
        flat = (pictures.reshape(len(pictures), -1).astype(np.float32) + 1) ** self._power
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), np.float32)
