"""From the vector of a question to its hits: filter, cut-offs, pages, diversity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lookalike.errors import InvalidQuestion, InvalidSetting
from lookalike.query.diverse import collapse
from lookalike.records import Hit, Vector

if TYPE_CHECKING:
    from lookalike.store import Store

MAX_LIMIT = 16_384
MOST_COLLAPSED = 4_096  # hits that are looked at for nearly identical ones
FIRST_LOOK = 4  # times as many as are wanted


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which hits are wanted; see `Index.search`."""

    limit: int = 10
    offset: int = 0
    where: str | None = None
    min_score: float | None = None
    auto: bool = False
    diverse: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be wanted.

        Raises:
            InvalidSetting: `limit` or `offset` is out of range.
            InvalidQuestion: `min_score` is no number, or too many hits shall be diverse.
        """
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidSetting("limit", self.limit, f"from 1 to {MAX_LIMIT}")
        if self.offset < 0:
            raise InvalidSetting("offset", self.offset, "0 or more")
        if self.diverse and self.offset + self.limit > MOST_COLLAPSED:
            raise InvalidQuestion(
                f"Only {MOST_COLLAPSED} hits are looked at for nearly identical ones (--diverse): "
                "offset and limit together must not be more."
            )
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise InvalidQuestion(f"min_score is {self.min_score!r}, but must be a number.")


def answer(vector: Vector, wanted: Wanted, store: Store) -> list[Hit]:
    """The hits of one question, best first."""
    (hits,) = answers(vector[np.newaxis], wanted, store)
    return hits


def answers(vectors: npt.NDArray[np.float32], wanted: Wanted, store: Store) -> list[list[Hit]]:
    """The hits of each of the (n, dim) unit `vectors`, best first, asked for in one call.

    Raises:
        InvalidQuestion: the filter is none, or none for this index.
    """
    condition = _condition(wanted, store)
    metric = store.model.metric
    bounds = [_bound(vector, wanted, condition, store) for vector in vectors]
    if wanted.diverse:
        return [
            _diverse(vector, wanted, condition, bound, store)
            for vector, bound in zip(vectors, bounds, strict=True)
        ]
    found = store.search_batch(
        vectors, limit=wanted.limit, offset=wanted.offset, condition=condition
    )
    return [
        [hit for hit in hits if bound is None or _within(hit.score, bound, metric)]
        for hits, bound in zip(found, bounds, strict=True)
    ]


def all_hits(vector: Vector, wanted: Wanted, store: Store) -> Iterator[Hit]:
    """All hits of a question, best first, looked for as far as they are taken.

    `limit` and `offset` say nothing here, and hits are not made diverse.
    """
    condition = _condition(wanted, store)
    bound = _bound(vector, wanted, condition, store)
    hits = store.hits(vector, condition=condition)
    if bound is None:
        return hits
    return itertools.takewhile(lambda hit: _within(hit.score, bound, store.model.metric), hits)


def _condition(wanted: Wanted, store: Store) -> str:
    if wanted.where is None:
        return ""
    # Imported here: it brings a parser, which a search without a filter need not wait for.
    from lookalike.query.conditions import condition_of  # noqa: PLC0415

    return condition_of(wanted.where, store)


def _bound(vector: Vector, wanted: Wanted, condition: str, store: Store) -> float | None:
    """The worst score that is wanted, in the collection's metric."""
    bound = wanted.min_score
    if not wanted.auto:
        return bound
    # Imported here: few searches need it, and the statistics that it is made of take a while.
    from lookalike.query import cutoff  # noqa: PLC0415

    metric = store.model.metric
    (best,) = store.neighbours(vector[np.newaxis], limit=cutoff.BEST_HITS, condition=condition)
    cosines = [1 - score / 2 if metric == "L2" else score for _, score in best]
    least = cutoff.least_cosine(vector, cosines, store.background())
    stands_out = 2 - 2 * least if metric == "L2" else least
    if bound is None or _within(stands_out, bound, metric):
        return stands_out
    return bound


def _within(score: float, bound: float, metric: str) -> bool:
    return score <= bound if metric == "L2" else score >= bound


def _diverse(
    vector: Vector, wanted: Wanted, condition: str, bound: float | None, store: Store
) -> list[Hit]:
    """Look at more and more hits, until they are groups enough or have all been looked at."""
    groups_wanted = wanted.offset + wanted.limit
    look = groups_wanted
    while True:
        look = min(FIRST_LOOK * look, MOST_COLLAPSED)
        hits = store.search(vector, limit=look, condition=condition)
        complete = len(hits) < look or look >= MOST_COLLAPSED
        within = [
            hit for hit in hits if bound is None or _within(hit.score, bound, store.model.metric)
        ]
        known = store.vectors_of([hit.id for hit in within])
        # One may have been deleted meanwhile.
        vectors = [known.get(hit.id, np.zeros_like(vector)) for hit in within]
        groups = collapse(within, np.array(vectors, np.float32).reshape(-1, len(vector)))
        if len(groups) > groups_wanted or complete or len(within) < len(hits):
            return groups[wanted.offset : groups_wanted]
