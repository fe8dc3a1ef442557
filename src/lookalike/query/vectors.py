"""Questions become vectors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lookalike import tracing
from lookalike.embed.embedder import Embedder, reads_words
from lookalike.errors import InvalidQuestion
from lookalike.query.language import shown
from lookalike.query.picture import pixels_of
from lookalike.query.question import Query
from lookalike.query.terms import RowId, Term, Words
from lookalike.records import Pixels, Vector
from lookalike.settings import Settings
from lookalike.sources.names import exists
from lookalike.sources.reader import Reader

# The length of a sum of vectors whose weights add up to 1; below it, only rounding is left.
CANCELLED = 1e-6

Stored = Callable[[Sequence[str]], Mapping[str, Vector]]
Vectors = npt.NDArray[np.float32]


def question_vectors(
    queries: Sequence[Query],
    *,
    embedder: Callable[[], Embedder],
    stored: Stored,
    settings: Settings,
) -> Vectors:
    """The (n, dim) float32 unit vectors of n questions, n at least 1.

    All their pictures go through the model in one batch, all their words in another.

    Args:
        queries: the questions.
        embedder: gives the model; not called where rows of the index alone are asked with.
        stored: the vectors of those of some ids that have a row.
        settings: the limits of pictures.

    Raises:
        InvalidQuestion: a row is not there, the model reads no words, or terms cancel out.
        PictureError: a picture cannot be used.
    """
    terms = [term for query in queries for term in query.terms]
    rows = [place for place, term in enumerate(terms) if isinstance(term.value, RowId)]
    words = [place for place, term in enumerate(terms) if isinstance(term.value, Words)]
    others = {*rows, *words}
    pictures = [place for place in range(len(terms)) if place not in others]
    known: dict[int, Vector] = {}
    if rows:
        known |= zip(rows, _of_rows([terms[place] for place in rows], stored), strict=True)
    if words:
        known |= zip(words, _of_words([terms[place] for place in words], embedder()), strict=True)
    if pictures:
        some = [terms[place] for place in pictures]
        known |= zip(pictures, _of_pictures(some, embedder(), settings), strict=True)
    places = iter(range(len(terms)))
    return np.stack(
        [_sum([(term, known[next(places)]) for term in query.terms]) for query in queries]
    )


def _of_rows(terms: Sequence[Term], stored: Stored) -> list[Vector]:
    ids = [term.value.id for term in terms if isinstance(term.value, RowId)]
    known = stored(list(dict.fromkeys(ids)))
    if missing := [each for each in ids if each not in known]:
        raise InvalidQuestion(f"There is no picture with the id {missing[0]} in this index.")
    return [known[each] for each in ids]


def _of_words(terms: Sequence[Term], embedder: Embedder) -> Vectors:
    texts = [term.value.text for term in terms if isinstance(term.value, Words)]
    if not reads_words(embedder):
        nowhere = next((text for text in texts if not exists(text)), None)
        if folder := next(filter(os.path.isdir, texts), None):
            raise InvalidQuestion(f"{folder!r} is a folder; name a picture in it.")
        no_file = f"There is no file {nowhere!r}, and as words it" if nowhere else "The question"
        raise InvalidQuestion(
            f"{no_file} needs a model that reads words, which {embedder.name} does not. "
            "Index with one that does; see: lookalike models"
        )
    with tracing.span("lookalike.embed", {"lookalike.texts": len(texts)}):
        return embedder.embed_text(texts)


def _of_pictures(terms: Sequence[Term], embedder: Embedder, settings: Settings) -> Vectors:
    """One vector for the same pixels, so that they cancel out exactly."""
    different: dict[bytes, Pixels] = {}
    keys = []
    with Reader.of(settings) as reader:
        for term in terms:
            pixels = pixels_of(term, embedder=embedder, reader=reader, settings=settings)
            keys.append(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest())
            different.setdefault(keys[-1], pixels)
    with tracing.span("lookalike.embed", {"lookalike.pictures": len(different)}):
        vectors = embedder.embed(np.stack(list(different.values())))
    found = dict(zip(different, vectors, strict=True))
    return np.stack([found[key] for key in keys])


def _sum(terms: Sequence[tuple[Term, Vector]]) -> Vector:
    """The weighted sum of unit vectors, with unit length."""
    (first, vector), *others = terms
    if not others and first.weight > 0:
        return vector
    weights = np.array([term.weight for term, _ in terms], np.float64)
    weights /= np.abs(weights).max() or 1.0  # their sum could be too large for a number
    vectors = np.array([vector for _, vector in terms], np.float64)  # (terms, dim)
    total = weights @ vectors / (np.abs(weights).sum() or 1.0)
    length = float(np.linalg.norm(total))
    if length < CANCELLED:
        names = ", ".join(f"{term.weight:+g}:{shown(term)}" for term, _ in terms)
        raise InvalidQuestion(
            f"The terms of the question cancel out, so nothing is looked for ({names}). Change a "
            "weight or a sign."
        )
    unit: Vector = (total / length).astype(np.float32)
    return unit
