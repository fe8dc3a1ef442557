"""The front door: an index of pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.embed.catalog import load_embedder, load_remembered
from lookalike.embed.embedder import Embedder, ModelEmbedder
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.errors import (
    ExtraMissing,
    IndexNotFound,
    InvalidSetting,
    MetricMismatch,
    ModelError,
    ModelMismatch,
    ModelUnusable,
)
from lookalike.ingest.metadata import lookup
from lookalike.ingest.preview import preview
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.ingest.sync import sync
from lookalike.ingest.upkeep import relocate, rows_without_file
from lookalike.insight.evaluation import Evaluation, evaluate
from lookalike.query.picture import Question, question_vector
from lookalike.records import (
    Burst,
    Change,
    Hit,
    ImageFile,
    IndexInfo,
    IndexReport,
    Metadata,
    Progress,
    row_id,
)
from lookalike.settings import Settings, default_database
from lookalike.sources.names import absolute, is_archive, storable
from lookalike.sources.reader import Reader
from lookalike.store.address import address_of
from lookalike.store.remembered import peek
from lookalike.store.schema import METRICS, CollectionModel

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
        self._known_embedder = embedder
        self._choosing = threading.Lock()

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
        metric = _known_metric(metric)
        settings = settings or Settings.from_environment()
        path, token = _located(database, token)
        remembered = peek(path, collection, token=token, wait_s=settings.server_wait_s)
        if remembered is None and not create and not ("://" in path or Path(path).exists()):
            raise IndexNotFound(path, collection)  # before a model is fetched for nothing
        embedder = _asked_for(model, weights, calibration, remembered, settings)
        if preload:
            if embedder is None and remembered:
                embedder = _own(remembered, settings)
            likely = embedder or load_embedder(settings=settings)
            threading.Thread(target=_preload, args=[likely], name="lookalike-preload").start()
        # Imported here: pymilvus takes 0.5 s, and the model is compiled in that time.
        from lookalike.store.milvus import MilvusStore  # noqa: PLC0415

        described = None
        if create:
            described = remembered
        if create and (embedder or remembered is None):
            first = embedder or load_embedder(settings=settings)
            if embedder and remembered is None:
                # What it lacks, a device or a package, must not leave an empty database behind.
                embedder.load()
            described = CollectionModel(
                model=first.name,
                fingerprint=first.fingerprint,
                dim=first.dim,
                metric=metric or METRICS[0],
            )
        store = MilvusStore(
            path, collection, create=described, token=token, wait_s=settings.server_wait_s
        )
        with contextlib.ExitStack() as undo:
            undo.callback(store.close)
            made_with = store.model
            if embedder and made_with.fingerprint != embedder.fingerprint:
                raise ModelMismatch(
                    database=path,
                    indexed=(made_with.model, made_with.fingerprint),
                    requested=(embedder.name, embedder.fingerprint),
                    weights=None if weights is None else os.fspath(weights),
                    precision=settings.precision,
                )
            if metric and made_with.metric != metric:
                raise MetricMismatch(database=path, indexed=made_with.metric, requested=metric)
            undo.pop_all()
        return cls(store, embedder=embedder, settings=settings)

    def add(
        self,
        *sources: str | os.PathLike[str],
        more: Iterable[str | os.PathLike[str]] | None = None,
        exclude: Sequence[str] = (),
        all_files: bool = False,
        one_file_system: bool = False,
        metadata: Metadata | None = None,
        checksum: bool = False,
        changes: Burst | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Make the index match these folders, files, archives and storages.

        New and changed pictures are embedded, rows of pictures deleted from these folders are
        removed, and moved or copied pictures keep their vectors. What cannot be used is skipped,
        reported, and tried again next time. Every batch is committed as a whole; a run that was
        killed is completed by running it again.

        Args:
            sources: folders, files, zip and tar files and members of them (``a.zip!/b.jpg``),
                addresses (``s3://bucket/prefix``, ``https://…``), and patterns with ``*``.
            more: further sources, which are taken one by one; of these a missing one is skipped.
            exclude: patterns of what is left out, as in ``.gitignore``, relative to each source;
                rows that it leaves out are removed.
            all_files: try every file, whatever its name.
            one_file_system: leave out folders on other file systems than their source.
            metadata: your own fields of the pictures, which `search` returns: a mapping from paths,
                or a function that takes a path as stored and returns its fields or None. They
                replace all fields that a picture had; one without any keeps those it had. Names
                are of letters, digits and _; values as in JSON. A picture with other fields is
                counted as updated, and not embedded for that.
            checksum: read all files, because the bytes shall tell which have changed, not the
                size and time of a file.
            changes: what has changed below the sources since the last run, where that is known;
                nothing else is looked at.
            on_progress: is called in this thread, now and then.

        Raises:
            SourceNotFound: one of the sources does not exist; nothing was changed.
            ExtraMissing: an address needs an optional library.
            InvalidSetting: a pattern is none.
            InvalidMetadata: fields cannot be stored; nothing was changed, unless a function
                returned them.
            StoreError: the database failed; everything committed before that is kept.
        """
        return sync(
            self._scan(sources, more, exclude, all_files, one_file_system, changes),
            store=self._store,
            embedder=self.embedder,
            settings=self._settings,
            checksum=checksum,
            vanished=None if changes is None else changes.gone,
            fields_of=None if metadata is None else lookup(metadata),
            on_progress=on_progress,
        )

    def plan(
        self,
        *sources: str | os.PathLike[str],
        more: Iterable[str | os.PathLike[str]] | None = None,
        exclude: Sequence[str] = (),
        all_files: bool = False,
        one_file_system: bool = False,
        metadata: Metadata | None = None,
        checksum: bool = False,
    ) -> Iterator[Change]:
        """What `add` would do with the same arguments; nothing is changed.

        Files are read only where their size is one that is known. Whether a new file is really a
        picture is seen by `add` alone.
        """
        return preview(
            self._scan(sources, more, exclude, all_files, one_file_system),
            store=self._store,
            settings=self._settings,
            checksum=checksum,
            fields_of=None if metadata is None else lookup(metadata),
        )

    def _scan(
        self,
        sources: Sequence[str | os.PathLike[str]],
        more: Iterable[str | os.PathLike[str]] | None,
        exclude: Sequence[str],
        all_files: bool,
        one_file_system: bool,
        changes: Burst | None = None,
    ) -> Scan:
        options = ScanOptions(
            exclude=(exclude,) if isinstance(exclude, str) else tuple(exclude),
            all_files=all_files,
            one_file_system=one_file_system,
        )
        only = None if changes is None else changes.here
        return Scan(sources, options=options, more=more, only=only, settings=self._settings)

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

    def remove(self, *paths: str | os.PathLike[str]) -> int:
        """Take pictures, and everything below folders, out of the index; files stay.

        Returns:
            How many rows were removed.
        """
        removed = 0
        for path in filter(storable, map(absolute, paths)):
            below = [path, f"{path}!"] if is_archive(path) else [path]
            pages = (
                [key for key, _ in page]
                for folder in below
                for page in self._store.paths_under(folder)
            )
            for ids in itertools.chain([list(self._store.stamps([row_id(path)]))], pages):
                self._store.delete(ids)
                removed += len(ids)
        self._store.flush()
        return removed

    def prune(self, *, dry_run: bool = False) -> list[str]:
        """Remove the rows of all files that are gone, wherever they were.

        A drive that is not plugged in looks as if its files were gone. Files that may still be
        there, because their folder or server cannot be asked, keep their rows.

        Args:
            dry_run: remove nothing.

        Returns:
            The paths of the rows that were, or would be, removed.
        """
        paths = []
        with Reader.of(self._settings) as reader:
            for page in rows_without_file(self._store, reader.exists):
                paths += [path for _, path in page]
                if not dry_run:
                    self._store.delete([key for key, _ in page])
        self._store.flush()
        return paths

    def relocate(self, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> int:
        """Tell the index that a folder, file or drive is at another place now.

        Nothing is read or embedded, and whether anything is there is not looked at.

        Returns:
            How many rows have new paths.

        Raises:
            InvalidSetting: one of the two lies inside the other.
        """
        return relocate(self._store, absolute(old), absolute(new))

    def evaluate(self, labels: Mapping[str, str]) -> Evaluation:
        """How often the nearest pictures have the same label, each asked against all others.

        Args:
            labels: path -> label; pictures of the index without one are left out.

        Raises:
            LabelsUnusable: all labels are the same, or all are different.
        """
        return evaluate(self._store, {absolute(path): label for path, label in labels.items()})

    @property
    def embedder(self) -> Embedder:
        """The model that the vectors are from.

        Raises:
            ModelError: it cannot be had.
        """
        with self._choosing:
            if self._known_embedder is None:
                self._known_embedder = _own(self._store.model, self._settings)
            return self._known_embedder

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


def _located(database: str | os.PathLike[str] | None, token: str | None) -> tuple[str, str | None]:
    """The database's path, or its address without anything secret; and the token for it."""
    if database is None:
        return absolute(default_database()), None
    address = address_of(os.fspath(database), token)
    return (address.uri, address.token) if address else (absolute(database), None)


def _known_metric(metric: str | None) -> str | None:
    if metric is not None and metric.upper() not in METRICS:
        raise InvalidSetting("metric", metric, "COSINE, IP or L2")
    return metric and metric.upper()


def _asked_for(
    model: str | Embedder | None,
    weights: str | os.PathLike[str] | None,
    calibration: Iterable[str | os.PathLike[str]] | None,
    remembered: CollectionModel | None,
    settings: Settings,
) -> Embedder | None:
    """The embedder that was named; None is the index's own."""
    if weights is not None and not isinstance(model, str):
        raise InvalidSetting("weights", str(weights), "given together with the name of its model")
    if not isinstance(model, str | None):
        return model
    if settings.precision != "int8":
        return None if model is None else load_embedder(model, weights=weights, settings=settings)
    if remembered is None:
        files = None if calibration is None else [item.path for item in _images(calibration)]
        name = model or DEFAULT_MODEL
        return load_embedder(name, weights=weights, calibration=files, settings=settings)
    # Calibrating again would make another model.
    if model is None:
        return None
    floating = dataclasses.replace(settings, precision="auto")
    named = load_embedder(model, weights=weights, settings=floating)
    own = _own(remembered, settings)
    return own if own.description.calibrated_from == named.fingerprint else named


def _images(sources: Iterable[str | os.PathLike[str]]) -> Iterator[ImageFile]:
    return (item for item in Scan(list(sources)) if isinstance(item, ImageFile))


def _own(made_with: CollectionModel, settings: Settings) -> ModelEmbedder:
    """The embedder of an index's own model."""
    was = (
        f"The index was made with the model {made_with.model} ({made_with.fingerprint[:8]}), which "
        "is not on this machine"
    )
    try:
        embedder = load_remembered(made_with.model, made_with.fingerprint, settings=settings)
    except (ModelError, ExtraMissing) as error:
        raise ModelUnusable(f"{was}. {error} Or index into another database (--db).") from error
    if embedder.fingerprint != made_with.fingerprint:
        raise ModelUnusable(
            f"{was}; the {made_with.model} to be had here is another ({embedder.fingerprint[:8]}). "
            f"Name its file (--model {made_with.model} --weights FILE), or for an int8 model copy "
            "the folder of models from where it was made; or index into another database (--db)."
        )
    return embedder


def _preload(embedder: Embedder) -> None:
    # What went wrong is raised again, in the caller's thread, by the first use of the model.
    with contextlib.suppress(Exception):
        embedder.load()
        # The first picture takes longer than later ones.
        embedder.embed(embedder.prepare(Image.new("RGB", embedder.least))[np.newaxis])
