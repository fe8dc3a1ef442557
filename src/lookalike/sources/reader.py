"""Reads whatever has a name: files, members of archives, objects at addresses."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, wait
from types import TracebackType
from typing import TYPE_CHECKING

from lookalike.errors import InvalidQuestion, LookalikeError, PictureUnreadable, SourceNotFound
from lookalike.records import ImageFile, Stamp
from lookalike.settings import Settings
from lookalike.sources import names
from lookalike.sources.local import read_file

if TYPE_CHECKING:
    from lookalike.sources.archives import Archive, Limits
    from lookalike.sources.remote import Storage

# A compressed tar file that is open has a copy on the disk.
OPEN_ARCHIVES = 4
# What has arrived from storages, or is on its way, before anybody reads it.
AHEAD_BYTES = 256 * 1024 * 1024


class Reader:
    """The bytes of what a path names. Its methods may be called from several threads.

    A context manager; closing it drops what has been begun and not been read. A few archives are
    kept open.
    """

    def __init__(
        self, *, max_bytes: int, settings: Settings | None = None, public: bool = False
    ) -> None:
        """Open nothing yet.

        Args:
            max_bytes: what is larger is not read.
            settings: the limits of archives, and how many requests are under way at once.
            public: web addresses may be of somebody else's choice, as those in an index are, so
                they are asked as those in a question.
        """
        self._max_bytes, self._settings = max_bytes, settings or Settings()
        self._public = public
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._closed = False
        self._archives: OrderedDict[str, Archive] = OrderedDict()
        self._refused: dict[str, str] = {}
        self._listings: dict[str, frozenset[str] | None] = {}
        self._storages: dict[str, Storage] = {}
        self._expected: dict[str, Future[tuple[bytes, Stamp]]] = {}
        # Of those, and of what nobody has begun to fetch.
        self._sizes: dict[str, int] = {}
        self._deferred: dict[str, Stamp] = {}

    @classmethod
    def of(cls, settings: Settings, *, public: bool = False) -> Reader:
        """One with the limits of the settings."""
        return cls(max_bytes=settings.max_bytes, settings=settings, public=public)

    def expect(self, file: ImageFile) -> None:
        """Begin to fetch an object that will be read soon; does nothing for what is on the disk.

        It returns at once. How many are fetched at a time is a setting; what has arrived is kept
        until it is read. With `AHEAD_BYTES` under way, an object is fetched when others have been
        read, or when it is waited for.
        """
        if names.is_address(file.path):
            self._storage(file.path)
            with self._lock:
                self._deferred[file.path] = file.stamp
                self._begin_more()

    def wait_for(self, path: str) -> None:
        """Wait until what must come first has come, if anything: an object, an archive's copy.

        Whatever goes wrong is what `read` will say.
        """
        if names.is_address(path):
            with self._lock:
                coming = self._begin(path) if path in self._deferred else self._expected.get(path)
            if coming:
                wait([coming])
            return
        member = names.split_member(path)
        if member and not names.exists(path):
            with contextlib.suppress(PictureUnreadable):
                self._archive(member[0], path)

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """The bytes, with the stamp of what they were read from.

        The stamp of a member has the time of its archive.

        Raises:
            PictureUnreadable: they could not be had.
            PictureDamaged: a member is broken, encrypted or too large.
            ExtraMissing: an optional library is needed for this kind of address.
        """
        if names.is_address(path):
            is_web = path.lower().startswith(("http:", "https:"))
            return self._asked(path) if self._public and is_web else self._fetched(path)
        if names.is_file_address(path):
            path = names.absolute(path)
        member = names.split_member(path)
        if member is None or names.exists(path):
            return read_file(path, max_bytes=self._max_bytes)
        return self._read_member(*member, path)

    def exists(self, path: str) -> bool:
        """False only where it is certain that there is no such file, member or object.

        An archive is only looked into at the first question.
        """
        if names.is_address(path):
            return self._has_object(path)
        member = names.split_member(path)
        if member is None or names.exists(path):
            return names.exists(path)
        if not names.exists(member[0]):
            return False
        members = self._members(member[0])
        return members is None or member[1] in members

    def _read_member(self, archive: str, name: str, path: str) -> tuple[bytes, Stamp]:
        from lookalike.sources.archives import ArchiveClosed  # noqa: PLC0415

        while True:
            opened = self._archive(archive, path)
            # Others may have opened so many meanwhile that this one was closed.
            with contextlib.suppress(ArchiveClosed):
                data = opened.read(name, max_bytes=self._max_bytes, path=path)
                return data, Stamp(len(data), opened.mtime_ns)

    def _has_object(self, path: str) -> bool:
        try:
            path = names.absolute(path)
            return self._storage(path).exists(path)
        except LookalikeError:
            return True

    def _fetched(self, path: str) -> tuple[bytes, Stamp]:
        with self._lock:
            coming = self._begin(path) if path in self._deferred else self._expected.get(path)
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
        finally:
            with self._lock:
                self._expected.pop(path, None)
                self._sizes.pop(path, None)
                self._begin_more()

    def _asked(self, path: str) -> tuple[bytes, Stamp]:
        from lookalike.sources.web import fetch  # noqa: PLC0415

        seconds, private = self._settings.max_seconds, bool(self._settings.allow_private_urls)
        try:
            data = fetch(path, max_bytes=self._max_bytes, timeout_s=seconds, allow_private=private)
        except InvalidQuestion as error:
            raise PictureUnreadable(path, str(error)) from error
        return data, Stamp(len(data), time.time_ns())

    def _begin_more(self) -> None:
        """Fetch of what was deferred as much as there is room for; the lock is held."""
        while self._deferred:
            path, stamp = next(iter(self._deferred.items()))
            under_way = sum(self._sizes.values())
            if under_way and under_way + stamp.size_bytes > AHEAD_BYTES:
                break
            self._begin(path)

    def _begin(self, path: str) -> Future[tuple[bytes, Stamp]]:
        """Fetch what was deferred; the lock is held."""
        known = self._deferred.pop(path)
        storage = self._storages[_place_of(path)]
        coming = storage.start(path, max_bytes=self._max_bytes, known=known)
        self._expected[path], self._sizes[path] = coming, known.size_bytes
        return coming

    def _storage(self, path: str) -> Storage:
        from lookalike.sources.remote import Storage  # noqa: PLC0415

        place = _place_of(path)
        with self._lock:
            if place not in self._storages:
                self._storages[place] = Storage(path, reads=self._settings.network_reads)
            return self._storages[place]

    def _archive(self, archive: str, path: str) -> Archive:
        """An archive, open; it is opened again when it has changed.

        What could not be opened is not tried again: unpacking may have taken minutes.
        """
        from lookalike.sources.archives import open_archive  # noqa: PLC0415

        if opened := self._open_one(archive):
            return opened
        # Those that are open are read meanwhile.
        with self._opening:
            if opened := self._open_one(archive):
                return opened
            if self._closed:
                raise PictureUnreadable(path, "reading was stopped")
            if archive not in self._refused:
                try:
                    opened = open_archive(archive, limits=self._limits())
                except PictureUnreadable as error:
                    self._refused[archive] = f"{archive}: {error.reason}"
            if opened is None:
                raise PictureUnreadable(path, self._refused[archive])
            with self._lock:
                self._archives[archive] = opened
                too_many = len(self._archives) > OPEN_ARCHIVES
                oldest = self._archives.popitem(last=False)[1] if too_many else None
            if oldest:
                oldest.close()
            return opened

    def _open_one(self, archive: str) -> Archive | None:
        """An archive that is open, unless it has changed."""
        with self._lock:
            opened = self._archives.get(archive)
            if opened is None or opened.is_current():
                if opened:
                    self._archives.move_to_end(archive)
                return opened
            del self._archives[archive]
        opened.close()
        return None

    def _members(self, archive: str) -> frozenset[str] | None:
        """What lies in an archive, read once; None where that is not certain."""
        from lookalike.sources.archives import open_archive  # noqa: PLC0415

        with self._opening:
            if archive not in self._listings:
                listing = None
                with contextlib.suppress(PictureUnreadable):
                    with open_archive(archive, limits=self._limits(), to_read=False) as opened:
                        contents = opened.contents
                    if not contents.damage:
                        listing = frozenset(contents.sizes) | frozenset(contents.unusable)
                self._listings[archive] = listing
            return self._listings[archive]

    def _limits(self) -> Limits:
        from lookalike.sources.archives import Limits  # noqa: PLC0415

        return Limits(self._settings.max_archive_members, self._settings.max_archive_bytes)

    def close(self) -> None:
        """Close the archives, and stop what is being fetched."""
        with self._lock:
            for coming in self._expected.values():
                coming.cancel()
            self._expected.clear()
            self._sizes.clear()
            self._deferred.clear()
        self._closed = True
        # Somebody may be unpacking for minutes what nobody wants any more.
        if self._opening.acquire(timeout=1):
            with self._lock:
                archives = list(self._archives.values())
                self._archives.clear()
            for archive in archives:
                archive.close()
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


def _place_of(address: str) -> str:
    """The server or bucket that an address lies in."""
    return "/".join(address.split("/", 3)[:3])
