"""Reads whatever has a name: files, members of archives, objects at addresses."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError, PictureUnreadable, SourceNotFound
from lookalike.records import ImageFile, Stamp
from lookalike.settings import Settings
from lookalike.sources import names
from lookalike.sources.local import read_file

if TYPE_CHECKING:
    from lookalike.sources.archives import Archive
    from lookalike.sources.remote import Storage

# A compressed tar file that is open has a copy on the disk.
OPEN_ARCHIVES = 4


class Reader:
    """The bytes of what a path names. Its methods may be called from several threads.

    A context manager; closing it drops what has been begun and not been read. A few archives are
    kept open.
    """

    def __init__(self, *, max_bytes: int, settings: Settings | None = None) -> None:
        """Open nothing yet.

        Args:
            max_bytes: what is larger is not read.
            settings: the limits of archives, and how many requests are under way at once.
        """
        self._max_bytes, self._settings = max_bytes, settings or Settings()
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._closed = False
        self._archives: OrderedDict[str, Archive] = OrderedDict()
        self._storages: dict[str, Storage] = {}
        self._expected: dict[str, Future[tuple[bytes, Stamp]]] = {}

    @classmethod
    def of(cls, settings: Settings) -> Reader:
        """One with the limits of the settings."""
        return cls(max_bytes=settings.max_bytes, settings=settings)

    def expect(self, file: ImageFile) -> None:
        """Begin to fetch an object that will be read soon; does nothing for what is on the disk.

        It returns at once. How many are fetched at a time is a setting; what has arrived is kept
        until it is read.
        """
        path = file.path
        if names.is_address(path):
            storage = self._storage(path)
            coming = storage.start(path, max_bytes=self._max_bytes, known=file.stamp)
            with self._lock:
                self._expected[path] = coming

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """The bytes, with the stamp of what they were read from.

        The stamp of a member has the time of its archive.

        Raises:
            PictureUnreadable: they could not be had.
            PictureDamaged: a member is broken, encrypted or too large.
            ExtraMissing: an optional library is needed for this kind of address.
        """
        if names.is_address(path):
            return self._fetched(path)
        if names.is_file_address(path):
            path = names.absolute(path)
        member = names.split_member(path)
        if member is None or names.exists(path):
            return read_file(path, max_bytes=self._max_bytes)
        return self._read_member(*member, path)

    def exists(self, path: str) -> bool:
        """False only where it is certain that there is no such file, member or object."""
        if names.is_address(path):
            return self._has_object(path)
        member = names.split_member(path)
        if member is None or names.exists(path):
            return names.exists(path)
        if not names.exists(member[0]):
            return False
        try:
            contents = self._archive(member[0], path).contents
        except PictureUnreadable:
            return True
        known = member[1] in contents.sizes or member[1] in contents.unusable
        return known or bool(contents.damage)

    def _read_member(self, archive: str, name: str, path: str) -> tuple[bytes, Stamp]:
        from lookalike.sources.archives import ArchiveClosed  # noqa: PLC0415

        while True:
            opened = self._archive(archive, path)
            # Others may have opened so many meanwhile that this one was closed.
            with contextlib.suppress(ArchiveClosed):
                data = opened.read(name, max_bytes=self._max_bytes, path=path)
                return data, Stamp(len(data), opened.mtime_ns)

    def _has_object(self, path: str) -> bool:
        from lookalike.sources.remote import NotThere  # noqa: PLC0415

        try:
            path = names.absolute(path)
            self._storage(path).entry(path)
        except NotThere:
            return False
        except LookalikeError:
            return True
        return True

    def _fetched(self, path: str) -> tuple[bytes, Stamp]:
        with self._lock:
            coming = self._expected.pop(path, None)
        if coming is None:
            try:
                path = names.absolute(path)
            except SourceNotFound as error:
                raise PictureUnreadable(error.path, f"it {error.reason}") from error
            coming = self._storage(path).start(path, max_bytes=self._max_bytes, known=None)
        try:
            return coming.result()
        except CancelledError:
            raise PictureUnreadable(path, "reading was stopped") from None
        except BaseException:
            coming.cancel()
            raise

    def _storage(self, path: str) -> Storage:
        from lookalike.sources.remote import Storage  # noqa: PLC0415

        place = "/".join(path.split("/", 3)[:3])
        with self._lock:
            if place not in self._storages:
                self._storages[place] = Storage(path, reads=self._settings.network_reads)
            return self._storages[place]

    def _archive(self, archive: str, path: str) -> Archive:
        """An archive, open; it is opened again when it has changed."""
        from lookalike.sources.archives import Limits, open_archive  # noqa: PLC0415

        limits = Limits(self._settings.max_archive_members, self._settings.max_archive_bytes)
        with self._opening:
            if self._closed:
                raise PictureUnreadable(path, "reading was stopped")
            opened = self._archives.pop(archive, None)
            if opened and not opened.is_current():
                opened.close()
                opened = None
            if opened is None:
                try:
                    opened = open_archive(archive, limits=limits)
                except PictureUnreadable as error:
                    reason = f"{archive}: {error.reason}"
                    raise PictureUnreadable(path, reason) from error
            self._archives[archive] = opened
            while len(self._archives) > OPEN_ARCHIVES:
                self._archives.popitem(last=False)[1].close()
            return opened

    def close(self) -> None:
        """Close the archives, and stop what is being fetched."""
        with self._lock:
            for coming in self._expected.values():
                coming.cancel()
            self._expected.clear()
        self._closed = True
        # Somebody may be unpacking for minutes what nobody wants any more.
        if self._opening.acquire(timeout=1):
            for archive in self._archives.values():
                archive.close()
            self._archives.clear()
            self._opening.release()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
