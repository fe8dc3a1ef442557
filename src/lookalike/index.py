"""The front door: an index of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

import numpy as np

from lookalike.embed.embedder import Embedder
from lookalike.insight.evaluation import Evaluation, evaluate
from lookalike.keeping import Keeping
from lookalike.opening import open_store
from lookalike.query.answer import MAX_LIMIT, Wanted, all_hits, answer, answers
from lookalike.query.picture import Question, question_vector
from lookalike.records import Hit, IndexInfo
from lookalike.settings import Settings
from lookalike.sources.names import absolute

__all__ = ["MAX_LIMIT", "Index"]


class Index(Keeping):
    """The pictures of some folders and what they look like, kept in a database.

    Made by `Index.open`; a context manager. Methods may be called from several threads.
    """

    @classmethod
    def open(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        model: str | Embedder | None = None,
        weights: str | os.PathLike[str] | None = None,
        calibration: Iterable[str | os.PathLike[str]] | None = None,
        collection: str = "images",
        metric: str | None = None,
        create: bool = True,
        preload: bool = False,
        settings: Settings | None = None,
    ) -> Index:
        """Open an index, or make an empty one.

        Args:
            database: path of a Milvus Lite database, ending in ``.db``, or the address of a Milvus
                server, ``http(s)://HOST[:PORT][/DATABASE]``; by default ``lookalike/images.db`` in
                the platform's folder for user data.
            token: ``USER:PASSWORD`` or an API key, for a server; a local database needs none.
            model: a model's name or an embedder; by default the one that the index was made with,
                and the packaged one for a new index.
            weights: a checkpoint of the named model, instead of timm's own.
            calibration: folders and pictures that a model of the precision ``int8`` is calibrated
                on, for a new index.
            collection: name of the collection within the database.
            metric: COSINE, IP or L2, settled when the index is made; by default COSINE for a new
                one, and whatever an existing one has.
            create: make the index where there is none.
            preload: load the model in the background at once, not when it is first needed.
            settings: by default from the environment variables.

        Raises:
            ModelError: the model is unknown, or not the one that the index was made with.
            InvalidSetting: there is no such metric.
            StoreError: the database cannot be opened, or has another metric.
        """
        settings = settings or Settings.from_environment()
        store, embedder = open_store(
            database,
            token=token,
            model=model,
            weights=weights,
            calibration=calibration,
            collection=collection,
            metric=metric,
            create=create,
            preload=preload,
            settings=settings,
        )
        return cls(store, embedder=embedder, settings=settings)

    def search(
        self,
        question: Question,
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | None = None,
        min_score: float | None = None,
        auto: bool = False,
        diverse: bool = False,
    ) -> list[Hit]:
        """The pictures most similar to a picture file, or to a picture in memory, best first.

        Hits with equal scores are ordered by id, so the same question has the same answer, and
        pages fit together as long as the index does not change.

        Args:
            question: what to look for.
            limit: how many hits at most, up to 16,384.
            offset: how many of the best hits are left out; beyond 16,384 that takes longer.
            where: what the pictures must be: ``width > 1000 and label = "cat"``.
            min_score: the worst score of a hit: at least this, but for L2, which is a distance, at
                most this.
            auto: only hits that stand out from the rest of the index; often there are none.
            diverse: nearly identical hits are one, with the number of the others.

        Raises:
            PictureError: the file cannot be used.
            InvalidSetting: `limit` is not in 1 … 16,384, or `offset` is negative.
            InvalidQuestion: the filter is none, or has a field that no picture has.
        """
        wanted = Wanted(
            limit=limit,
            offset=offset,
            where=where,
            min_score=min_score,
            auto=auto,
            diverse=diverse,
        )
        vector = question_vector(question, embedder=self.embedder, settings=self._settings)
        return answer(vector, wanted, self._store)

    def search_many(
        self,
        questions: Iterable[Question],
        *,
        limit: int = 10,
        offset: int = 0,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[list[Hit]]:
        """`search` for each of the questions, which asks the database once for all of them."""
        wanted = Wanted(limit=limit, offset=offset, where=where, min_score=min_score)
        vectors = [
            question_vector(question, embedder=self.embedder, settings=self._settings)
            for question in questions
        ]
        return answers(np.stack(vectors), wanted, self._store) if vectors else []

    def hits(
        self,
        question: Question,
        *,
        where: str | None = None,
        min_score: float | None = None,
        auto: bool = False,
    ) -> Iterator[Hit]:
        """All pictures, most similar first, as `search` orders them; taken as far as you like.

        Those after the first some hundred are ranked when they are reached, all at once.
        """
        wanted = Wanted(where=where, min_score=min_score, auto=auto)
        vector = question_vector(question, embedder=self.embedder, settings=self._settings)
        return all_hits(vector, wanted, self._store)

    def evaluate(self, labels: Mapping[str, str]) -> Evaluation:
        """How often the nearest pictures have the same label, each asked against all others.

        Args:
            labels: path -> label; pictures of the index without one are left out.

        Raises:
            LabelsUnusable: all labels are the same, or all are different.
        """
        return evaluate(self._store, {absolute(path): label for path, label in labels.items()})

    def __len__(self) -> int:
        """The number of pictures in the index."""
        return self._store.count()

    def info(self) -> IndexInfo:
        """What this index is, and what it was made with."""
        made_with = self._store.model
        return IndexInfo(
            database=self._store.database,
            collection=self._store.collection,
            pictures=len(self),
            model=made_with.model,
            fingerprint=made_with.fingerprint,
            dim=made_with.dim,
            metric=made_with.metric,
            version=made_with.version,
            size_bytes=self._store.size_bytes(),
        )

    def close(self) -> None:
        """Write everything out and let other processes open the database."""
        try:
            self._store.flush()
        finally:
            self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
