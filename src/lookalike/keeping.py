"""An index and the disk: what keeps the one in step with the other."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lookalike import tracing
from lookalike.embed.embedder import Embedder
from lookalike.ingest.metadata import lookup
from lookalike.ingest.preview import preview
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.ingest.sync import sync
from lookalike.ingest.upkeep import relocate, rows_without_file
from lookalike.ingest.work import Workers
from lookalike.opening import own_embedder
from lookalike.records import Burst, Change, Metadata, Progress, row_id
from lookalike.reports import IndexReport
from lookalike.settings import Settings
from lookalike.sources.names import absolute, is_archive, storable
from lookalike.sources.reader import Reader
from lookalike.store.shard import Shard

if TYPE_CHECKING:
    from lookalike.store import Store


class Keeping:
    """What an `Index` can do with the files that it is about."""

    def __init__(self, store: Store, *, embedder: Embedder | None, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._known_embedder = embedder
        self._choosing = threading.Lock()

    @property
    def embedder(self) -> Embedder:
        """The model that the vectors are from.

        Raises:
            ModelError: it cannot be had.
        """
        with self._choosing:
            if self._known_embedder is None:
                self._known_embedder = own_embedder(self._store.model, self._settings)
            return self._known_embedder

    @property
    def database(self) -> str:
        """The database's path or address, without anything secret."""
        return self._store.database

    @property
    def served_by(self) -> str | None:
        """The address of the server that has the database open, if it is gone through."""
        return self._store.served_by

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
        shard: tuple[int, int] | None = None,
        workers: Workers | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        follow_out: bool = True,
        settings: Settings | None = None,
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
            shard: (i, n): the i-th, from 1 up, of n equal parts of the pictures alone. One that was
                moved keeps its vector and fields if its old row is still there.
            workers: who does the work in place of this process: `lookalike.cluster.RayWorkers`.
            on_progress: is called in this thread, now and then; what it raises ends the run.
            follow_out: follow links that lead out of the sources, too; else what lies behind these
                is left out.
            settings: those of this run; by default the index's own.

        Raises:
            SourceNotFound: one of the sources does not exist; nothing was changed.
            ExtraMissing: an address needs an optional library.
            InvalidSetting: a pattern is none, or there is no such shard.
            ClusterError: the workers have failed; everything committed before that is kept.
            InvalidMetadata: fields cannot be stored; nothing was changed, unless a function
                returned them.
            StoreError: the database failed; everything committed before that is kept.
        """
        scan = self._scan(
            sources, more, exclude, all_files, one_file_system, changes, follow_out=follow_out
        )
        with tracing.span("lookalike.index") as facts:
            report = sync(
                scan,
                store=self._store,
                embedder=self.embedder,
                settings=settings or self._settings,
                checksum=checksum,
                vanished=None if changes is None else changes.gone,
                fields_of=None if metadata is None else lookup(metadata),
                shard=None if shard is None else Shard(*shard),
                workers=workers,
                on_progress=on_progress,
            )
            for name in ("added", "updated", "moved", "removed", "unchanged", "total"):
                facts[f"lookalike.{name}"] = getattr(report, name)
            facts["lookalike.skipped"] = len(report.skipped)
            return report

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
        *,
        follow_out: bool = True,
    ) -> Scan:
        options = ScanOptions(
            exclude=(exclude,) if isinstance(exclude, str) else tuple(exclude),
            all_files=all_files,
            one_file_system=one_file_system,
            follow_out=follow_out,
        )
        only = None if changes is None else changes.here
        return Scan(sources, options=options, more=more, only=only, settings=self._settings)

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
