"""How good an index is, on pictures whose labels are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike.insight.quality import DEPTH, SEED, Quality, measure
from lookalike.records import Hit, Vector
from lookalike.store.schema import CollectionModel

# Searches that recall is counted over; their 5,000 hits leave it uncertain by less than 0.01.
RECALL_QUERIES = 500
# The database adds up the terms of a cosine in another order.
_TOLERANCE = 1e-5


class Store(Protocol):
    """What evaluating needs of a store."""

    model: CollectionModel

    def vectors(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]: ...  # noqa: D102
    def search(self, vector: Vector, *, limit: int) -> list[Hit]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """A neighbour of a query; `right` where it has the query's label."""

    path: str
    label: str
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A picture that was asked against all others, and its first 10 hits, best first."""

    path: str
    label: str
    average_precision: float
    hits: tuple[JudgedHit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How good the neighbours in an index are.

    `paths` and `labels` are those of the pictures that were measured, in the order of the paths,
    which is that of the rows in `quality`. `recall_at_10` is the part of the 10 nearest, by exact
    comparison with every row of the index, that the index finds.
    """

    model: str
    dim: int
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    quality: Quality
    recall_at_10: float

    @property
    def pictures(self) -> int:
        """How many pictures were measured."""
        return len(self.paths)

    @property
    def classes(self) -> int:
        """How many different labels they have."""
        return len(set(self.labels))

    def worst(self, limit: int) -> list[JudgedQuery]:
        """The queries of the lowest average precision, worst first."""
        quality = self.quality
        rows = np.argsort(quality.average_precision, kind="stable")[: min(limit, quality.queries)]
        return [
            JudgedQuery(
                self.paths[row],
                self.labels[row],
                float(quality.average_precision[row]),
                tuple(
                    JudgedHit(
                        self.paths[near],
                        self.labels[near],
                        float(score),
                        right=self.labels[near] == self.labels[row],
                    )
                    for near, score in zip(quality.nearest[row], quality.scores[row], strict=True)
                ),
            )
            for row in rows
        ]


def evaluate(store: Store, labels: Mapping[str, str]) -> Evaluation:
    """Ask every picture in the index that has a label against all others that have one.

    Args:
        store: where the pictures are.
        labels: path as stored -> label.

    Raises:
        LabelsUnusable: all labels are the same, or all are different.
    """
    pages = list(store.vectors())
    stored = [path for page, _ in pages for path in page]
    order = sorted(range(len(stored)), key=stored.__getitem__)
    paths = [stored[row] for row in order]
    rows = [vectors for _, vectors in pages]
    vectors = np.concatenate(rows)[order] if rows else np.empty((0, 0), np.float32)
    labelled = [row for row, path in enumerate(paths) if path in labels]
    measured = tuple(paths[row] for row in labelled)
    known = tuple(labels[path] for path in measured)
    return Evaluation(
        model=store.model.model,
        dim=store.model.dim,
        paths=measured,
        labels=known,
        quality=measure(vectors[labelled], known),
        recall_at_10=recall(store, paths, vectors),
    )


def recall(store: Store, paths: Sequence[str], vectors: npt.NDArray[np.float32]) -> float:
    """The part of the 10 nearest other rows that the store's own search finds.

    A hit counts when it is as near as the 10th by exact comparison, so copies may stand in for
    each other. Of a large index, a sample of rows is asked.

    Args:
        store: what is searched.
        paths: those of all of its rows.
        vectors: (n, dim) float32 unit rows, in the same order; n is at least 2.
    """
    row_of = {path: row for row, path in enumerate(paths)}
    depth = min(DEPTH, len(paths) - 1)
    size = min(RECALL_QUERIES, len(paths))
    asked = np.random.default_rng(SEED).choice(len(paths), size, replace=False)
    found = 0
    for row in asked:
        scores = vectors @ vectors[row]
        least = np.partition(np.delete(scores, row), -depth)[-depth] - _TOLERANCE
        hits = [hit.path for hit in store.search(vectors[row], limit=depth + 1)]
        others = [row_of[path] for path in hits if path != paths[row]][:depth]
        found += int((scores[others] >= least).sum())
    return found / (depth * size)
