"""The front door: an index of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType

from lookalike.embed.embedder import Embedder
from lookalike.insight.evaluation import Evaluation, evaluate
from lookalike.keeping import Keeping
from lookalike.opening import open_store
from lookalike.query.answer import MAX_LIMIT, Wanted, all_hits, answer, answers
from lookalike.query.question import Query, Question
from lookalike.query.terms import Crop
from lookalike.query.vectors import Vectors, question_vectors
from lookalike.records import Hit, IndexInfo, Vector, row_id
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
        (vector,) = self._vectors([Query.of(question).cropped(crop)])
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
        vectors = self._vectors([Query.of(question) for question in questions])
        return answers(vectors, wanted, self._store)

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

    def _vectors(self, queries: Sequence[Query]) -> Vectors:
        return question_vectors(
            queries,
            embedder=lambda: self.embedder,
            stored=self._stored_vectors,
            settings=self._settings,
        )

    def _stored_vectors(self, ids: Sequence[str]) -> dict[str, Vector]:
        return {row_id(record.path): record.vector for record in self._store.records(ids)}

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
