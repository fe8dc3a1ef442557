"""An index and questions: what finds pictures in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lookalike import tracing
from lookalike.errors import InvalidQuestion, InvalidSetting
from lookalike.keeping import Keeping
from lookalike.query.answer import MAX_LIMIT, Wanted, all_hits, answer, answers
from lookalike.query.question import Query, Question
from lookalike.query.terms import Crop
from lookalike.query.vectors import Vectors, question_vectors
from lookalike.records import Hit, is_row_id


class Asking(Keeping):
    """What an `Index` can be asked."""

    def search(
        self,
        question: Question,
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | None = None,
        crop: Crop | str | None = None,
        min_score: float | None = None,
        auto: bool = False,
        diverse: bool = False,
    ) -> list[Hit]:
        """The pictures most similar to what is asked with, best first.

        Hits with equal scores are ordered by id, so the same question has the same answer, and
        pages fit together as long as the index does not change.

        Args:
            question: a path, the address of a picture, an Image of Pillow, the bytes of a picture
                file, `Words`, or several of these as a `Query`. A text means what it means on the
                command line, so one that is no file may be words.
            limit: how many hits at most, up to 16,384.
            offset: how many of the best hits are left out; beyond 16,384 that takes longer.
            crop: the part that is meant of the question's only picture: a `Crop`, or ``X,Y,W,H`` in
                pixels or percent.
            where: what the pictures must be: ``width > 1000 and label = "cat"``.
            min_score: the worst score of a hit: at least this, but for L2, which is a distance, at
                most this.
            auto: only hits that stand out from the rest of the index; often there are none.
            diverse: nearly identical hits are one, with the number of the others.

        Raises:
            InvalidQuestion: the question or the filter makes no sense, or none for this index.
            PictureError: a picture cannot be used.
            InvalidSetting: `limit` is not in 1 … 16,384, or `offset` is negative.
        """
        wanted = Wanted(
            limit=limit,
            offset=offset,
            where=where,
            min_score=min_score,
            auto=auto,
            diverse=diverse,
        )
        with tracing.span("lookalike.search", {"lookalike.limit": limit}):
            (vector,) = self._vectors([Query.of(question).cropped(crop)])
            with tracing.span("lookalike.database"):
                return answer(vector, wanted, self._store)

    def search_many(
        self,
        questions: Sequence[Question],
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[list[Hit]]:
        """`search` for each of the questions, with one call to the model and the database.

        All pictures are in memory at once, as the model takes them.
        """
        wanted = Wanted(limit=limit, offset=offset, where=where, min_score=min_score)
        if not questions:
            return []
        with tracing.span("lookalike.search", {"lookalike.questions": len(questions)}):
            vectors = self._vectors([Query.of(question) for question in questions])
            with tracing.span("lookalike.database"):
                return answers(vectors, wanted, self._store)

    def search_each(
        self, questions: Sequence[Question], wanted: Sequence[Wanted]
    ) -> list[list[Hit]]:
        """`search` for each of the questions with what is wanted of each.

        All their pictures go through the model at once, and of questions that want the same, the
        database is asked in one call.
        """
        vectors = self._vectors([Query.of(question) for question in questions])
        places: dict[Wanted, list[int]] = {}
        for place, each in enumerate(wanted):
            places.setdefault(each, []).append(place)
        found: dict[int, list[Hit]] = {}
        with tracing.span("lookalike.database"):
            for each, some in places.items():
                found |= zip(some, answers(vectors[some], each, self._store), strict=True)
        return [found[place] for place in range(len(wanted))]

    def hits(
        self,
        question: Question,
        *,
        where: str | None = None,
        crop: Crop | str | None = None,
        min_score: float | None = None,
        auto: bool = False,
    ) -> Iterator[Hit]:
        """All pictures, most similar first, as `search` orders them; taken as far as you like.

        Those after the first some hundred are ranked when they are reached, all at once.
        """
        wanted = Wanted(where=where, min_score=min_score, auto=auto)
        (vector,) = self._vectors([Query.of(question).cropped(crop)])
        return all_hits(vector, wanted, self._store)

    def similar(self, id: str, *, limit: int = 10) -> list[Hit]:  # noqa: A002
        """The pictures most similar to one of the index, best first, itself left out.

        Args:
            id: that of its row, as hits have it.
            limit: how many at most.

        Raises:
            InvalidQuestion: there is no such row.
            InvalidSetting: `limit` is not in 1 … 16,383.
        """
        if not 1 <= limit < MAX_LIMIT:
            raise InvalidSetting("limit", limit, f"from 1 to {MAX_LIMIT - 1}")
        hits = self._store.search(self.vectors([id])[0], limit=limit + 1)
        return [hit for hit in hits if hit.id != id][:limit]

    def vectors(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """The (n, dim) float32 unit vectors of these rows, in the order of `ids`.

        Raises:
            InvalidQuestion: one of them has no row.
        """
        # What is no id must not come into an expression of the database's.
        found = self._store.vectors_of([key for key in ids if is_row_id(key)])
        if missing := [key for key in ids if key not in found]:
            raise InvalidQuestion(
                f"No picture in {self._store.database} has the id {missing[0]!r}; hits and exports "
                "have the ids of pictures."
            )
        rows = [found[key] for key in ids]
        return np.array(rows, np.float32).reshape(len(rows), self._store.model.dim)

    def _vectors(self, queries: Sequence[Query]) -> Vectors:
        with tracing.span("lookalike.question"):
            return question_vectors(
                queries,
                embedder=lambda: self.embedder,
                stored=self._store.vectors_of,
                settings=self._settings,
            )
