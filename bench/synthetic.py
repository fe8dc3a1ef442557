"""Synthetic rows: unit vectors around some thousand centres, as pictures have them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lookalike.records import ImageRecord, Stamp
from lookalike.store.schema import CollectionModel

DIM, CENTRES, SPREAD = 384, 2000, 0.7
BATCH = 512
MODEL = CollectionModel(model="bench", fingerprint="f", dim=DIM)

Rows = npt.NDArray[np.float32]


def vectors_of(count: int, seed: int) -> Rows:
    """Unit rows; other seeds give other rows around the same centres."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIM), np.float32)
    random = np.random.default_rng(seed)
    rows = centres[random.integers(CENTRES, size=count)]
    rows += SPREAD * random.standard_normal((count, DIM), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def record_of(number: int, vector: Rows) -> ImageRecord:
    return ImageRecord(
        path=f"/photos/{number % 100:02d}/{number:08d}.jpg",
        content=f"{number:032x}",
        stamp=Stamp(size_bytes=100_000 + number, mtime_ns=number),
        width=400 + number * 7919 % 4000,
        height=300 + number * 104_729 % 3000,
        taken_at=1_500_000_000 + number * 60,
        format=("jpeg", "png", "webp", "heif")[number % 4],
        vector=vector,
        phash=hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest(),
    )


def batches(vectors: Rows) -> Iterator[list[ImageRecord]]:
    for start in range(0, len(vectors), BATCH):
        part = vectors[start : start + BATCH]
        yield [record_of(start + at, vector) for at, vector in enumerate(part)]


def exact_last(vectors: Rows, questions: Rows, limit: int) -> Rows:
    """(n,) the score of the last of the `limit` nearest rows of each question."""
    best = np.full((len(questions), limit), -2, np.float32)
    for start in range(0, len(vectors), 65_536):
        scores = questions @ vectors[start : start + 65_536].T
        top = np.partition(scores, -limit, axis=1)[:, -limit:]
        best = np.sort(np.concatenate([best, top], axis=1), axis=1)[:, -limit:]
    return best[:, 0]
