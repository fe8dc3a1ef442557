"""Which rows are nearest, in an order that lasts, and what most rows are like.

- Equal rows have scores that differ in the last bits of a float32, and from time to time, as rows
  wait in memory or lie in files. Scores are therefore rounded, and equal ones ordered by id.
- Which of the rows with the last score are among the nearest ones is up to Milvus, so enough is
  asked for that all of these come.
- One search gives a window of 16,384 rows at most. What lies deeper is found by searching ranges of
  ids, which are uniform hashes, and merging: range searches could not pass more equal rows than
  the window holds.
- A range of ids is a random sample.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lookalike.records import Hit, Vector
from lookalike.store import filters, schema
from lookalike.store.database import Database, Row
from lookalike.store.schema import CollectionModel
from lookalike.store.shard import Shard

MAX_WINDOW = 16_384  # Milvus's limit on offset + limit
RANGE_ROWS = 4096  # on average; a window has room for any range that chance could make
FIRST_HITS = 256
DIGITS = 6
SAMPLE_ROWS = 1500
SAMPLE_LASTS_S = 60.0  # others may write to a server

Found = TypeVar("Found")
Scored = tuple[str, float]
"""An id and its score."""


@dataclass(frozen=True, slots=True)
class Background:
    """Some of the rows: `vectors` is (n, dim) float32, unit rows, of `rows` in all."""

    vectors: npt.NDArray[np.float32]
    rows: int


class Nearest:
    """What `MilvusStore` finds. Methods may be called from several threads."""

    collection: str
    model: CollectionModel
    _database: Database
    _whole_rows: int  # so many rows of the largest size fit into a message
    _page_rows: int  # without the user's own fields
    _message_hits: int  # ids and scores

    def __init__(self) -> None:
        self._samples: dict[str, tuple[float, Any]] = {}
        self.changes = 0  # how often this process has written

    def count(self, shard: Shard | None = None) -> int:
        """The number of rows, of one shard where that is given."""
        part = filters.id_range(shard.number - 1, shard.of) if shard else ""
        return self._database.count(self.collection, part)

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[Row]:
        heavy = "$meta" in fields or "*" in fields
        size = self._whole_rows if heavy else len(ids) or 1
        return [
            row
            for start in range(0, len(ids), size)
            for row in self._database.get(self.collection, ids[start : start + size], fields)
        ]

    def search(
        self, vector: Vector, *, limit: int, offset: int = 0, condition: str = ""
    ) -> list[Hit]:
        """The rows nearest to a unit `vector`, best first, scored by the collection's metric.

        Rows with equal scores (to 6 digits) are ordered by id, so that pages fit together.

        Args:
            vector: (dim,) float32.
            limit: how many at most.
            offset: how many of the nearest are left out; beyond 16,384 it takes long.
            condition: an expression of Milvus's that the rows must meet; see `filters`.
        """
        (hits,) = self.search_batch(
            vector[np.newaxis], limit=limit, offset=offset, condition=condition
        )
        return hits

    def search_batch(
        self,
        vectors: npt.NDArray[np.float32],
        *,
        limit: int,
        offset: int = 0,
        condition: str = "",
    ) -> list[list[Hit]]:
        """`search` for each of the (n, dim) unit `vectors`, in as few calls as messages allow."""
        step = max(1, min(self._page_rows, self._message_hits // (offset + limit + 1)))
        if len(vectors) > step:
            return [
                hits
                for start in range(0, len(vectors), step)
                for hits in self.search_batch(
                    vectors[start : start + step], limit=limit, offset=offset, condition=condition
                )
            ]
        wanted = offset + limit
        if wanted >= MAX_WINDOW:
            pages = [self.ranking(each, condition=condition, best=wanted) for each in vectors]
            return [self._hits(page[offset:]) for page in pages]
        whole = not offset and wanted < self._whole_rows // len(vectors)
        fields = ["id", *schema.FACT_FIELDS, "$meta"] if whole else ["id"]
        answers = self._found(vectors, wanted + 1, condition, fields)
        return [
            self._page(answer, vector, offset, wanted, condition, whole=whole)
            for answer, vector in zip(answers, vectors, strict=True)
        ]

    def _page(
        self,
        found: list[Row],
        vector: Vector,
        offset: int,
        wanted: int,
        condition: str,
        *,
        whole: bool,
    ) -> list[Hit]:
        ranked = [(hit["id"], _score(hit)) for hit in found]
        asked = wanted + 1
        while len(ranked) == asked and ranked[-1][1] == ranked[wanted - 1][1]:
            asked = 4 * asked
            if asked > MAX_WINDOW:
                ranked = self.ranking(vector, condition=condition, best=wanted)
                break
            (more,) = self._found(vector[np.newaxis], asked, condition, ["id"])
            ranked = [(hit["id"], _score(hit)) for hit in more]
        page = sorted(ranked, key=self._order)[offset:wanted]
        entities = {hit["id"]: hit["entity"] for hit in found} if whole else {}
        if all(key in entities for key, _ in page):
            return [schema.to_hit({**entities[key], "id": key}, score) for key, score in page]
        return self._hits(page)

    def hits(self, vector: Vector, *, condition: str = "") -> Iterator[Hit]:
        """All rows, nearest first, as `search` orders them.

        Those after the first some hundred are looked for only when they are reached.
        """
        first = self.search(vector, limit=FIRST_HITS, condition=condition)
        yield from first
        if len(first) < FIRST_HITS:
            return
        given = {hit.id for hit in first}
        rest = [each for each in self.ranking(vector, condition=condition) if each[0] not in given]
        for start in range(0, len(rest), self._whole_rows):
            yield from self._hits(rest[start : start + self._whole_rows])

    def ranking(
        self, vector: Vector, *, condition: str = "", best: int | None = None
    ) -> list[Scored]:
        """The ids and scores of all rows, or of the `best` ones, as `search` orders them."""
        window = self._database.window
        parts = 1 if window is None else -(-self.count() // RANGE_ROWS)
        ranked: list[Scored] = []
        for part in range(parts):
            conditions = [f"({condition})"] if condition else []
            if parts > 1:
                conditions.append(filters.id_range(part, parts))
            limit = window or max(self.count(), 1)
            (found,) = self._found(vector[np.newaxis], limit, " and ".join(conditions), ["id"])
            ranked += [(hit["id"], _score(hit)) for hit in found]
            if best is not None:
                ranked = heapq.nsmallest(best, ranked, key=self._order)
        return sorted(ranked, key=self._order)

    def _order(self, scored: Scored) -> tuple[float, str]:
        return (scored[1] if self.model.metric == "L2" else -scored[1], scored[0])

    def _found(
        self, vectors: npt.NDArray[np.float32], limit: int, condition: str, fields: list[str]
    ) -> list[list[Row]]:
        return self._database.search(
            self.collection,
            data=list(vectors),
            limit=limit,
            filter=condition,
            output_fields=fields,
        )

    def _hits(self, ranked: Sequence[Scored]) -> list[Hit]:
        fields = ["id", *schema.FACT_FIELDS, "$meta"]
        rows = {row["id"]: row for row in self._rows([key for key, _ in ranked], fields)}
        # One may have been deleted meanwhile.
        return [schema.to_hit(rows[key], score) for key, score in ranked if key in rows]

    def any(self, condition: str) -> bool:
        """Whether any row meets an expression of Milvus's."""
        one = np.eye(1, self.model.dim, dtype=np.float32)
        return bool(self._found(one, 1, condition, ["id"])[0])

    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vector]:
        """The unit vectors of those `ids` that have a row."""
        fields, size = ["id", schema.VECTOR_FIELD], self._page_rows
        return {
            row["id"]: np.array(row[schema.VECTOR_FIELD], np.float32)
            for start in range(0, len(ids), size)
            for row in self._rows(ids[start : start + size], fields)
        }

    def background(self) -> Background:
        """About 1,500 rows by chance; the same ones until this process writes, or for a minute."""

        def ask() -> Background:
            rows = self._some(min(SAMPLE_ROWS, self._page_rows), [schema.VECTOR_FIELD])
            vectors = np.array([row[schema.VECTOR_FIELD] for row in rows], np.float32)
            return Background(vectors.reshape(len(rows), self.model.dim), self.count())

        return self._remembered("background", ask)

    def kinds(self) -> Mapping[str, frozenset[type]]:
        """The user's own fields in some hundred rows, and the types of their values.

        What every row has stands for itself, so that it is empty only where no rows are.
        """

        def ask() -> Mapping[str, frozenset[type]]:
            kinds: dict[str, set[type]] = {}
            for row in self._some(self._whole_rows, ["id", "$meta"]):
                for name, value in row.items():
                    if value is not None:
                        kinds.setdefault(name, set()).add(type(value))
            return {name: frozenset(types) for name, types in kinds.items()}

        return self._remembered("kinds", ask)

    def _some(self, rows: int, fields: list[str]) -> list[Row]:
        # A little fewer on average, for ranges are not all as full.
        parts = -(-self.count() // max(1, rows - 4 * round(rows**0.5)))
        condition = "" if parts <= 1 else filters.id_range(0, parts)
        return self._database.query(
            self.collection, filter=condition, output_fields=fields, limit=rows
        )

    def _remembered(self, name: str, ask: Callable[[], Found]) -> Found:
        now = time.monotonic()
        known = self._samples.get(name)
        if known is None or now - known[0] > SAMPLE_LASTS_S:
            self._samples[name] = known = (now, ask())
        found: Found = known[1]
        return found

    def _forget_samples(self) -> None:
        self.changes += 1
        self._samples.clear()


def _score(hit: Row) -> float:
    return round(float(hit["distance"]), DIGITS) + 0.0  # and not -0.0
