"""Which of many pictures are copies of each other, told from their vectors and hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lookalike.insight.nearest import nearest
from lookalike.perceptual import bits_of, differing_bits

# What bench/duplicates.py measures recall and precision of.
NEAR_SCORE = 0.6
NEAR_BITS = 14
# Of each picture, that many neighbours are looked at; a group may have any size.
NEIGHBOURS = 16


class Looks:
    """The vectors and hashes of pictures of different content, numbered from 0."""

    def __init__(
        self,
        vectors: npt.NDArray[np.float32],
        hashes: Sequence[str],
        look: Callable[[int], str],
        *,
        level: str,
        min_score: float,
    ) -> None:
        """Take them over.

        Args:
            vectors: (n, dim) float32, unit rows.
            hashes: n perceptual hashes; empty where there is none yet.
            look: makes the hash of one that has none; empty where it cannot be had.
            level: ``exact``, ``near`` or ``similar``.
            min_score: the least cosine of similar pictures.
        """
        self.vectors, self.count = vectors, len(hashes)
        self.level, self._min_score = level, min_score
        self._look = look
        self._known = np.array([bool(text) for text in hashes], bool)
        self._asked = self._known.copy()
        self._bits = bits_of([text or "0" for text in hashes])

    @property
    def least_score(self) -> float:
        """What is below that is not linked in any way."""
        return min(NEAR_SCORE, self._min_score) if self.level == "similar" else NEAR_SCORE

    def linked(
        self,
        first: npt.NDArray[np.int64],
        second: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of pairs with these cosines: which are near, and which are near or similar."""
        near = scores >= NEAR_SCORE
        for node in np.unique(np.concatenate([first[near], second[near]])):
            if not self._asked[node]:
                self._asked[node] = True
                if text := self._look(int(node)):
                    self._bits[node], self._known[node] = bits_of([text])[0], True
        near &= self._known[first] & self._known[second]
        near &= differing_bits(self._bits[first], self._bits[second]) <= NEAR_BITS
        either = near | (scores >= self._min_score) if self.level == "similar" else near
        return near, either

    def compare(self, center: int, others: Sequence[int]) -> dict[int, tuple[str, float]]:
        """Those of `others` that are linked to the center: how, and with which cosine."""
        if not others:
            return {}
        second = np.array(others, np.int64)
        scores = self.vectors[second] @ self.vectors[center]
        near, either = self.linked(np.full_like(second, center), second, scores)
        return {
            int(second[at]): ("near" if near[at] else "similar", float(scores[at]))
            for at in np.flatnonzero(either)
        }


def links(
    looks: Looks, queries: Sequence[int] | None = None, among: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Linked pairs (one of `among`, one of `queries`), of the nearest neighbours of each query.

    By default each is compared with all others, and a pair is named with the smaller number first.
    """
    if looks.level == "exact" or not looks.count:
        return []
    within = queries is None
    asked = np.arange(looks.count) if queries is None else np.array(queries, np.int64)
    found = np.arange(looks.count) if among is None else np.array(among, np.int64)
    rows, scores = nearest(looks.vectors[asked], looks.vectors[found], count=NEIGHBOURS + within)
    first, second = np.repeat(asked, rows.shape[1]), rows.ravel()
    promising = (second >= 0) & (scores.ravel() >= looks.least_score)
    first, second, flat = first[promising], found[second[promising]], scores.ravel()[promising]
    if within:
        once = first != second
        first, second, flat = first[once], second[once], flat[once]
        first, second = np.minimum(first, second), np.maximum(first, second)
    else:
        first, second = second, first
    _, either = looks.linked(first, second, flat)
    return sorted(set(zip(first[either].tolist(), second[either].tolist(), strict=True)))


def components(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """All nodes from 0 to count - 1, those together that a way of pairs leads between."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for first, second in pairs:
        one, other = sorted((root(first), root(second)))
        parent[other] = one
    together: dict[int, list[int]] = {}
    for node in range(count):
        together.setdefault(root(node), []).append(node)
    return list(together.values())
