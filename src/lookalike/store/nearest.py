"""Which rows are nearest, in an order that lasts.

- Equal rows have scores that differ in the last bits of a float32, and from time to time, as rows
  wait in memory or lie in files. Scores are therefore rounded, and equal ones ordered by id.
- Which of the rows with the last score are among the nearest ones is up to Milvus, so enough is
  asked for that all of these come.
- One search gives a window of 16,384 rows at most. What lies deeper is found by searching ranges of
  ids, which are uniform hashes, and merging: range searches could not pass more equal rows than
  the window holds.
- An approximate index may miss rows, and finds fewer than are asked for where it looks into few
  lists. A list that is too short is made again from all rows, as what lies deeper than the window
  is: ranges of ids leave so few rows that servers compare them one by one, and where they find
  fewer than there are, because these are young, the vectors are read and compared here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lookalike.records import Hit, Vector
from lookalike.store import filters, schema
from lookalike.store.database import Row
from lookalike.store.effort import Effort
from lookalike.store.sampling import Sampling

MAX_WINDOW = 16_384  # Milvus's limit on offset + limit
RANGE_ROWS = 4096  # on average; a window has room for any range that chance could make
COMPARED_PARTS = 20  # graphs are left aside where 93 % of the rows are out of question (Knowhere)
FIRST_HITS = 256
DIGITS = 6

Scored = tuple[str, float]
"""An id and its score."""


class Nearest(Sampling):
    """What `MilvusStore` finds. Methods may be called from several threads."""

    effort: Effort
    _message_hits: int  # ids and scores

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
        if not self.design.exact and any(len(found) <= wanted for found in answers):
            answers = self._completed(answers, vectors, wanted, condition)
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
        entities = {hit["id"]: hit["entity"] for hit in found if "entity" in hit} if whole else {}
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
        if not self.design.exact:
            parts = max(parts, COMPARED_PARTS)
        ranked: list[Scored] = []
        for part in range(parts):
            conditions = [f"({condition})"] if condition else []
            if parts > 1:
                conditions.append(filters.id_range(part, parts))
            ranked += self._ranked(vector, " and ".join(conditions), window or max(self.count(), 1))
            if best is not None:
                ranked = heapq.nsmallest(best, ranked, key=self._order)
        return sorted(ranked, key=self._order)

    def _ranked(self, vector: Vector, condition: str, limit: int) -> list[Scored]:
        """The scores of all rows that meet a condition, as far as a search can give as many."""
        if not self.design.exact:
            there = self._count_of(condition)
            if not there:
                return []
            limit = min(limit, there)
        found = self._search(vector[np.newaxis], limit, condition, ["id"], self.effort.whole)[0]
        if self.design.exact or len(found) == limit:
            return [(hit["id"], _score(hit)) for hit in found]
        rows = self._database.query(
            self.collection,
            filter=condition,
            output_fields=["id", schema.VECTOR_FIELD],
            limit=MAX_WINDOW,
        )
        vectors = np.array([row[schema.VECTOR_FIELD] for row in rows], np.float64)
        question = vector.astype(np.float64)
        far = self.model.metric == "L2"
        scores = np.square(vectors - question).sum(axis=1) if far else vectors @ question
        return [
            (row["id"], _score({"distance": score}))
            for row, score in zip(rows, scores, strict=True)
        ]

    def _count_of(self, condition: str) -> int:
        if not condition:
            return self.count()
        (row,) = self._database.query(self.collection, filter=condition, output_fields=["count(*)"])
        return int(row["count(*)"])

    def _completed(
        self,
        answers: list[list[Row]],
        vectors: npt.NDArray[np.float32],
        wanted: int,
        condition: str,
    ) -> list[list[Row]]:
        """The answers, those made again from all rows that have fewer than there are."""
        there = min(self._count_of(condition), wanted + 1)
        return [
            found
            if len(found) >= there
            else [
                {"id": key, "distance": score}
                for key, score in self.ranking(vector, condition=condition, best=wanted + 1)
            ]
            for found, vector in zip(answers, vectors, strict=True)
        ]

    def _order(self, scored: Scored) -> tuple[float, str]:
        return (scored[1] if self.model.metric == "L2" else -scored[1], scored[0])

    def _found(
        self, vectors: npt.NDArray[np.float32], limit: int, condition: str, fields: list[str]
    ) -> list[list[Row]]:
        return self._search(vectors, limit, condition, fields, self.effort)

    def _search(
        self,
        vectors: npt.NDArray[np.float32],
        limit: int,
        condition: str,
        fields: list[str],
        effort: Effort,
    ) -> list[list[Row]]:
        params = effort.params(limit)
        return self._database.search(
            self.collection,
            data=list(vectors),
            limit=limit,
            filter=condition,
            output_fields=fields,
            **({"search_params": {"params": params}} if params else {}),
        )

    def _hits(self, ranked: Sequence[Scored]) -> list[Hit]:
        fields = ["id", *schema.FACT_FIELDS, "$meta"]
        rows = {row["id"]: row for row in self._rows([key for key, _ in ranked], fields)}
        # One may have been deleted meanwhile.
        return [schema.to_hit(rows[key], score) for key, score in ranked if key in rows]

    def any(self, condition: str) -> bool:
        """Whether any row meets an expression of Milvus's."""
        if not self.design.exact:  # which might not find it
            return bool(
                self._database.query(
                    self.collection, filter=condition, output_fields=["id"], limit=1
                )
            )
        one = np.eye(1, self.model.dim, dtype=np.float32)
        return bool(self._found(one, 1, condition, ["id"])[0])


def _score(hit: Row) -> float:
    return round(float(hit["distance"]), DIGITS) + 0.0  # and not -0.0
