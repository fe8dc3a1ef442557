"""The front door: an index of pictures."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.embed.catalog import load_embedder
from lookalike.embed.embedder import Embedder
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.errors import (
    IndexIncompatible,
    InvalidSetting,
    LookalikeError,
    ModelError,
    ModelMismatch,
)
from lookalike.ingest.scan import Scan, absolute, storable
from lookalike.ingest.sync import sync
from lookalike.query.picture import Question, question_vector
from lookalike.records import Hit, IndexInfo, IndexReport, Progress, row_id
from lookalike.settings import Settings, default_database
from lookalike.store.schema import CollectionModel

if TYPE_CHECKING:
    from lookalike.store.milvus import MilvusStore

MAX_LIMIT = 16_384


class Index:
    """The pictures of some folders and what they look like, kept in a database.

    Made by `Index.open`; a context manager. Methods may be called from several threads.
    """

    def __init__(
        self, store: MilvusStore, *, embedder: Embedder | None, settings: Settings
    ) -> None:
        self._store, self._settings = store, settings
        self._given_embedder = embedder

    @classmethod
    def open(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        model: str | Embedder | None = DEFAULT_MODEL,
        collection: str = "images",
        create: bool = True,
        preload: bool = False,
        settings: Settings | None = None,
    ) -> Index:
        """Open an index, or make an empty one.

        Args:
            database: path of a Milvus Lite database, ending in ``.db``; by default
                ``lookalike/images.db`` in the platform's folder for user data.
            model: a model's name or an embedder; by default the packaged one. With None, an index
                of any model is opened, but not for `add` and `search`.
            collection: name of the collection within the database.
            create: make the index where there is none.
            preload: load the model in the background at once, not when it is first needed.
            settings: by default from the environment variables.

        Raises:
            ModelError: the model is unknown, or not the one that the index was made with.
            StoreError: the database cannot be opened.
        """
        settings = settings or Settings.from_environment()
        path = _database_path(database)
        embedder = load_embedder(model, settings=settings) if isinstance(model, str) else model
        if preload and embedder:
            threading.Thread(target=_preload, args=[embedder], name="lookalike-preload").start()
        # Imported here: pymilvus takes 0.5 s, and the model is compiled in that time.
        from lookalike.store.milvus import MilvusStore  # noqa: PLC0415

        described = None
        if create and embedder:
            described = CollectionModel(
                model=embedder.name, fingerprint=embedder.fingerprint, dim=embedder.dim
            )
        store = MilvusStore(path, collection, create=described)
        with contextlib.ExitStack() as undo:
            undo.callback(store.close)
            made_with = store.model
            if embedder and made_with.fingerprint != embedder.fingerprint:
                raise ModelMismatch(
                    database=path,
                    indexed=(made_with.model, made_with.fingerprint),
                    requested=(embedder.name, embedder.fingerprint),
                )
            undo.pop_all()
        return cls(store, embedder=embedder, settings=settings)

    def add(
        self,
        *sources: str | os.PathLike[str],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Make the index match these folders and files.

        New and changed pictures are embedded, rows of pictures deleted from these folders are
        removed. What cannot be used is skipped, reported, and tried again next time. Every batch
        is committed as a whole; a run that was killed is completed by running it again.

        Raises:
            SourceNotFound: one of the sources does not exist; nothing was changed.
            StoreError: the database failed; everything committed before that is kept.
        """
        return sync(
            Scan(sources),
            store=self._store,
            embedder=self._embedder,
            settings=self._settings,
            on_progress=on_progress,
        )

    def search(self, question: Question, *, limit: int = 10) -> list[Hit]:
        """The pictures most similar to a picture file, or to a picture in memory, best first.

        Raises:
            PictureError: the file cannot be used.
            InvalidSetting: `limit` is not in 1 … 16,384.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidSetting("limit", limit, f"from 1 to {MAX_LIMIT}")
        vector = question_vector(question, embedder=self._embedder, settings=self._settings)
        return self._store.search(vector, limit=limit)

    def remove(self, *paths: str | os.PathLike[str]) -> int:
        """Take pictures, and everything below folders, out of the index; files stay.

        Returns:
            How many rows were removed.
        """
        removed = 0
        for path in filter(storable, map(absolute, paths)):
            pages = ([key for key, _ in page] for page in self._store.paths_under(path))
            for ids in itertools.chain([list(self._store.stamps([row_id(path)]))], pages):
                self._store.delete(ids)
                removed += len(ids)
        self._store.flush()
        return removed

    @property
    def _embedder(self) -> Embedder:
        if self._given_embedder is None:
            raise ModelError("This index was opened without a model; open it with one.")
        return self._given_embedder

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


def _database_path(database: str | os.PathLike[str] | None) -> str:
    if database is None:
        return absolute(default_database())
    if "://" in str(database):
        raise IndexIncompatible(
            f"{database} is the address of a server; this version keeps an index in a local "
            "database, a path that ends in .db."
        )
    return absolute(database)


def _preload(embedder: Embedder) -> None:
    # What went wrong is raised again, in the caller's thread, by the first use of the model.
    with contextlib.suppress(LookalikeError):
        embedder.load()
        # The first picture takes longer than later ones.
        embedder.embed(embedder.prepare(Image.new("RGB", embedder.least))[np.newaxis])
