"""The front door: an index of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from lookalike.embed.embedder import Embedder, prepare_file
from lookalike.errors import InvalidSetting, PictureError
from lookalike.insight.evaluation import Evaluation, evaluate
from lookalike.keeping import Keeping
from lookalike.opening import open_store
from lookalike.perceptual import perceptual_hash
from lookalike.query.picture import Question, question_vector
from lookalike.records import DuplicateGroup, Hit, IndexInfo
from lookalike.settings import Settings
from lookalike.sources.names import absolute
from lookalike.sources.reader import Reader

MAX_LIMIT = 16_384


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

    def search(self, question: Question, *, limit: int = 10) -> list[Hit]:
        """The pictures most similar to a picture file, or to a picture in memory, best first.

        Raises:
            PictureError: the file cannot be used.
            InvalidSetting: `limit` is not in 1 … 16,384.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidSetting("limit", limit, f"from 1 to {MAX_LIMIT}")
        vector = question_vector(question, embedder=self.embedder, settings=self._settings)
        return self._store.search(vector, limit=limit)

    def duplicates(
        self,
        *paths: str | os.PathLike[str],
        level: str = "near",
        min_score: float | None = None,
        against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        keep: str = "most-pixels",
    ) -> list[DuplicateGroup]:
        """Pictures that are in the index more than once, in the order of the paths of the kept.

        Every picture of a group was compared with the one that is kept.

        Args:
            paths: folders, files and archives; only what lies there takes part. By default all.
            level: ``exact`` finds the same bytes; ``near`` also the same picture, resized,
                compressed again or lightly edited; ``similar`` also what merely looks alike.
            min_score: the least cosine, above 0, of what is similar; by default 0.9.
            against: folders whose pictures are kept in any case; others are compared with these,
                and not among themselves.
            keep: which one of a group is kept: ``most-pixels``, ``largest`` (in bytes),
                ``newest``, ``oldest`` (by the time of the file) or ``shortest-path``. Among equals
                it is the one of more pixels, more bytes, the older, the one of the shorter path.

        Raises:
            InvalidSetting: one of these has an impossible value.
        """
        # Imported here: a search does not need it, and would wait.
        from lookalike.insight.duplicates import find_duplicates  # noqa: PLC0415

        folders = [against] if isinstance(against, str | os.PathLike) else against
        with Reader.of(self._settings) as reader:

            def look(path: str) -> str | None:
                try:
                    pixels = prepare_file(
                        path, embedder=self.embedder, reader=reader, settings=self._settings
                    )
                except PictureError:
                    return None
                return perceptual_hash(pixels)

            return find_duplicates(
                self._store,
                paths=[absolute(path) for path in paths],
                against=[absolute(folder) for folder in folders],
                level=level,
                min_score=min_score,
                keep=keep,
                look=look,
            )

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
