"""What changes for who searches: the same questions, asked of two collections."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike.errors import LabelsUnusable
from lookalike.insight.quality import DEPTH, SEED, Quality, measure
from lookalike.records import Vector
from lookalike.reports import Comparison
from lookalike.store.schema import CollectionModel

QUESTIONS = 500
LABELLED = 2000

Labels = Callable[[Collection[str]], Mapping[str, str]]
"""Paths -> the labels of those that have one."""


class Store(Protocol):
    """What is asked."""

    model: CollectionModel

    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102
    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vector]: ...  # noqa: D102
    def neighbours(  # noqa: D102
        self, vectors: npt.NDArray[np.float32], *, limit: int
    ) -> list[list[tuple[str, float]]]: ...


def compare(old: Store, new: Store, *, labels: Labels) -> Comparison:
    """Ask both with pictures that both have, drawn by chance, always the same ones.

    Args:
        old: the collection in use.
        new: that which shall take its place.
        labels: says what pictures show; it may raise `LabelsUnusable`.
    """
    paths = _drawn(new)
    mine, theirs = old.vectors_of(list(paths)), new.vectors_of(list(paths))
    ids = [key for key in paths if key in mine and key in theirs]
    asked = ids[:QUESTIONS]
    before, after = _quality(ids, paths, labels, mine), _quality(ids, paths, labels, theirs)
    return Comparison(
        questions=len(asked),
        overlap_at_10=_overlap(_nearest(old, asked, mine), _nearest(new, asked, theirs)),
        labelled=before.queries if before else 0,
        r_at_1=(before.r_at_1.value, after.r_at_1.value) if before and after else None,
        p_at_10=(before.p_at_10.value, after.p_at_10.value) if before and after else None,
    )


def _drawn(store: Store) -> dict[str, str]:
    """Ids and paths of some rows: a page is a range of ids, which are hashes."""
    page = sorted(next(store.paths_under(None), []))
    return dict(random.Random(SEED).sample(page, min(LABELLED, len(page))))  # noqa: S311


def _nearest(store: Store, asked: Sequence[str], vectors: Mapping[str, Vector]) -> list[set[str]]:
    """The ids of the 10 nearest others of each."""
    if not asked:
        return []
    found = store.neighbours(np.stack([vectors[key] for key in asked]), limit=DEPTH + 1)
    return [
        set([other for other, _ in hits if other != key][:DEPTH])
        for key, hits in zip(asked, found, strict=True)
    ]


def _overlap(ours: Sequence[set[str]], theirs: Sequence[set[str]]) -> float:
    """The mean part of the nearest that both have."""
    parts = [len(one & other) / len(one) for one, other in zip(ours, theirs, strict=True) if one]
    return float(np.mean(parts)) if parts else 1.0


def _quality(
    ids: Sequence[str],
    paths: Mapping[str, str],
    labels: Labels,
    vectors: Mapping[str, Vector],
) -> Quality | None:
    """None where there are no labels, or none that anything can be measured with."""
    try:
        known = labels([paths[key] for key in ids])
        some = [key for key in ids if paths[key] in known]
        if not some:
            return None
        return measure(np.stack([vectors[key] for key in some]), [known[paths[k]] for k in some])
    except LabelsUnusable:
        return None
