"""A picture as a question."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from lookalike.decode import decode, upright_rgb
from lookalike.embed.embedder import Embedder
from lookalike.records import Vector
from lookalike.settings import Settings
from lookalike.sources.reader import Reader

Question = str | os.PathLike[str] | Image.Image


def question_vector(question: Question, *, embedder: Embedder, settings: Settings) -> Vector:
    """The (dim,) float32 unit vector of a picture file, or of a picture in memory.

    A member of an archive and an address are files, too.

    Raises:
        PictureError: the file cannot be used.
    """
    if isinstance(question, Image.Image):
        image = upright_rgb(question)
    else:
        path = os.path.expanduser(question)  # noqa: PTH111
        with Reader.of(settings) as reader:
            data, _ = reader.read(path)
        picture = decode(data, path=path, least=embedder.least, max_pixels=settings.max_pixels)
        image = picture.image
    vector: Vector = embedder.embed(embedder.prepare(image)[np.newaxis])[0]
    return vector
