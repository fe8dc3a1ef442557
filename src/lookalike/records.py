"""The plain records that the layers hand to each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""One embedding: shape ``(dim,)``, float32, unit length."""

Pixels = npt.NDArray[np.uint8]
"""Pictures as a model takes them: shape ``(height, width, 3)`` or ``(n, height, width, 3)``."""

Fields = Mapping[str, Any]
"""The user's own fields of one picture: names, and values as JSON has them."""

Metadata = Mapping[str, Fields] | Mapping[Path, Fields] | Callable[[str], Fields | None]
"""Paths -> fields, or a function from a path as stored to its fields, None where it has none."""


def row_id(path: str) -> str:
    """BLAKE2b-128 of the path as stored, in hex: the primary key of the picture's row."""
    return hashlib.blake2b(path.encode(), digest_size=16).hexdigest()


def is_row_id(text: str) -> bool:
    """Whether it is of the form of a row's id."""
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells, without opening a file, whether it has changed."""

    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that was found and may be a picture. `path` is absolute, with forward slashes."""

    path: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Twin:
    """A row whose file had as many bytes as another; the same ones, if `content` is the same."""

    id: str
    path: str
    content: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One row of the index: a picture, its facts and its embedding.

    `width` and `height` are pixels after orientation, `content` is the BLAKE2b-128 of the file's
    bytes in hex, `taken_at` is seconds since the epoch, 0 where unknown; `animated` is true where
    the picture is the first of an animation; `metadata` holds the user's own fields; `phash` is the
    `perceptual_hash` of what the model saw, empty in a row that was written without one.
    """

    path: str
    content: str
    stamp: Stamp
    width: int
    height: int
    taken_at: int
    format: str
    vector: Vector
    animated: bool = False
    metadata: Fields = field(default_factory=dict)
    phash: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A picture found by a search.

    `score` is in the index's metric: COSINE and IP are similarities in [-1, 1], larger is closer;
    L2 is the squared Euclidean distance in [0, 4], smaller is closer. `taken_at` is seconds since
    the epoch or None; `animated` is true where the picture is the first of an animation;
    `content` is the BLAKE2b-128 of the file's bytes in hex; `metadata` holds the user's own fields.
    `similar_count` is how many nearly identical hits a diverse search has left out for this one.
    """

    path: str
    score: float
    id: str
    width: int
    height: int
    size_bytes: int
    taken_at: int | None
    format: str
    animated: bool = False
    content: str = ""
    metadata: Fields = field(default_factory=dict)
    similar_count: int = 0


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A picture of a group of duplicates.

    `kind` is how it is like the kept one: ``exact`` (the same bytes), ``near`` (the same picture,
    resized, compressed again or lightly edited) or ``similar``; that of the kept one is ``keep``.
    `score` is the cosine of their vectors. `phash` and the other facts are those of `ImageRecord`.
    """

    path: str
    kind: str
    score: float
    content: str
    stamp: Stamp
    width: int
    height: int
    taken_at: int
    format: str
    phash: str = ""


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """A picture to keep and those that it stands for; each of them was compared with it."""

    keep: Duplicate
    others: tuple[Duplicate, ...]


@dataclass(frozen=True, slots=True)
class Disposal:
    """What was, or would be, done with a duplicate.

    `action` is ``move``, ``hardlink``, ``trash`` or ``undo``; `target` is where the file lies
    after it, if that is known; `refused` says why it is left alone, and is empty if it is not.
    """

    action: str
    path: str
    keep: str
    target: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class DisposalReport:
    """What became of duplicates; `undo_file` is None where nothing was done."""

    disposals: tuple[Disposal, ...]
    undo_file: str | None = None

    @property
    def done(self) -> tuple[Disposal, ...]:
        """Those with which something was, or would be, done."""
        return tuple(each for each in self.disposals if not each.refused)

    @property
    def refused(self) -> tuple[Disposal, ...]:
        """Those that are left alone."""
        return tuple(each for each in self.disposals if each.refused)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be indexed, and why. It is tried again at the next run."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the batches of an indexing run were, and the seconds that threads have spent on them.

    What a thread waits for another is not counted, so with several threads a stage may have more
    seconds than have passed. `embedded` counts the pictures that went through the model.
    """

    batches: int = 0
    embedded: int = 0
    decode_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an indexing run has come: counts of files, and the work, since its start."""

    added: int
    updated: int
    unchanged: int
    skipped: int
    work: Work = Work()

    @property
    def done(self) -> int:
        """Files that need no further work."""
        return self.added + self.updated + self.unchanged + self.skipped


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How much of a file has arrived; `total_bytes` is None where the server does not say."""

    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Burst:
    """Absolute paths of files and folders that have changed: those that are `here`, and `gone`."""

    here: frozenset[str]
    gone: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """What an indexing run would do.

    `kind` is ``add``, ``update``, ``move``, ``remove`` or ``skip``. `source` is where a moved
    picture was, or why one is skipped.
    """

    kind: str
    path: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What an index is: where it lies, and the model and metric that it was made with.

    `rows_in` is the collection that has the rows, which is another than `collection` after
    `Index.reindex`, or where that is an alias. `size_bytes` is None on a server, which does not
    tell it.
    """

    database: str
    collection: str
    rows_in: str
    pictures: int
    model: str
    fingerprint: str
    dim: int
    metric: str
    version: str
    size_bytes: int | None
