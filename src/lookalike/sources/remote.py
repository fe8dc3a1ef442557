"""Object storage and web servers, through fsspec and its asynchronous file systems."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import html
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from lookalike.errors import ExtraMissing, PictureError, PictureUnreadable, reason_of
from lookalike.records import Stamp
from lookalike.sources.local import too_large
from lookalike.sources.names import SCHEMES, without_secrets

TIMEOUT_S = 300
GONE = (404, 410)

A = TypeVar("A")


class NotThere(PictureUnreadable):
    """The storage says that there is no such object."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a storage: a folder, an object with its stamp, or one of which it is unknown."""

    address: str
    is_folder: bool
    stamp: Stamp | None = None


class Storage:
    """The buckets, or the server, that an address lies in.

    Credentials come from where the libraries look for them: the environment and their own files.
    """

    def __init__(self, address: str, *, reads: int) -> None:
        """Find what the address needs, without connecting.

        Args:
            address: as `names.absolute` returns it.
            reads: how many requests are under way at once.

        Raises:
            ExtraMissing: the library for this kind of storage is not installed.
        """
        scheme = address.split("://", 1)[0]
        self.is_web, self._is_s3 = SCHEMES[scheme] == "http", SCHEMES[scheme] == "s3"
        try:
            # Imported here: few collections lie in a storage, and every search would wait.
            import fsspec.asyn  # noqa: PLC0415

            kind = fsspec.get_filesystem_class(scheme)
            own = {"simple_links": False} if self.is_web else {"use_listings_cache": False}
            self._fs: Any = kind(**kind._get_kwargs_from_urls(address), **own)
        except ImportError as error:
            kind_of = f"Reading {scheme}:// addresses"
            raise ExtraMissing(kind_of, extra=SCHEMES[scheme]) from error
        self._sync: Callable[..., Any] = fsspec.asyn.sync
        self._permits = asyncio.Semaphore(reads)
        self._places: dict[str, bool] = {}

    def entry(self, address: str) -> Entry:
        """What lies at an address.

        Raises:
            NotThere: nothing does.
            PictureUnreadable: that could not be found out.
        """
        return self._wait(self._entry(address))

    def exists(self, address: str) -> bool:
        """False only where it is certain that there is no such object.

        Where the storage has no such bucket at all, it may be another storage than is meant.
        """
        try:
            self.entry(address)
        except NotThere:
            return not (self.is_web or self._has_place(address))
        except PictureUnreadable:
            return True
        return True

    def _has_place(self, address: str) -> bool:
        """Whether there is the bucket or container of an address."""
        place = "/".join(address.split("/", 3)[:3])
        if place not in self._places:
            try:
                self.entry(place)
            except PictureUnreadable:
                self._places[place] = False
            else:
                self._places[place] = True
        return self._places[place]

    def entries(self, addresses: Sequence[str]) -> list[Entry | PictureError]:
        """What lies at each of some addresses, or why that is unknown."""
        return self._wait(_all(self._entry(address) for address in addresses))

    def listed(self, folders: Sequence[str]) -> list[list[Entry] | PictureError]:
        """What lies directly in each of some folders, in the order of the names.

        An address with two slashes at its end stands for all that cannot be named.
        """
        return self._wait(_all(self._listing(folder) for folder in folders))

    def start(self, address: str, *, max_bytes: int, known: Stamp | None) -> Future[Any]:
        """Begin to fetch an object: the future has its bytes and stamp.

        Args:
            address: of the object.
            max_bytes: beyond which it is not fetched.
            known: its stamp if it has been listed, which saves a request.
        """
        fetching = self._fetched(address, max_bytes, known)
        return asyncio.run_coroutine_threadsafe(fetching, self._fs.loop)

    def _wait(self, work: Awaitable[A]) -> A:
        async def whole() -> A:
            return await work

        done: A = self._sync(self._fs.loop, whole)
        return done

    async def _entry(self, address: str) -> Entry:
        info = await self._asked(address, lambda: self._fs._info(self._path(address)))
        if self.is_web:
            is_folder = info.get("mimetype") == "text/html"
        else:
            is_folder = info["type"] == "directory"
        return Entry(address, is_folder, None if is_folder else stamp_of(info))

    async def _listing(self, folder: str) -> list[Entry]:
        path = self._path(folder)
        request = f"{folder}/" if self.is_web else path
        found = await self._asked(
            folder, lambda: self._fs._ls(request, detail=True), in_pages=not self.is_web
        )
        entries = {}
        for info in found:
            name = html.unescape(info["name"]) if self.is_web else info["name"]
            is_folder = info["type"] == "directory"
            # A folder may be among its own entries: as an empty object, or as a link.
            below = name[len(path) :].strip("/") if name.startswith(f"{path}/") else ""
            if is_folder and name == f"{path}/" and self._is_s3:
                entries["/"] = Entry(f"{folder}//", is_folder)
            if not below or "/" in below or below in (".", "..") or (self.is_web and "?" in below):
                continue
            stamp = None if is_folder or self.is_web else stamp_of(info)
            if not name.endswith("/") or is_folder:
                entries[below] = Entry(f"{folder}/{below}", is_folder, stamp)
        if self.is_web and not entries:
            raise PictureUnreadable(folder, "it lists nothing")
        return [entries[name] for name in sorted(entries)]

    async def _fetched(
        self, address: str, max_bytes: int, known: Stamp | None
    ) -> tuple[bytes, Stamp]:
        if known is None:
            known = (await self._entry(address)).stamp
            if known is None:
                raise PictureUnreadable(address, "it is a folder, or a page")
        if known.size_bytes > max_bytes:
            raise PictureUnreadable(address, too_large(known.size_bytes, max_bytes))
        if self.is_web:
            data = await self._asked(address, lambda: self._download(address, max_bytes))
        else:
            data = await self._asked(address, lambda: self._fs._cat_file(self._path(address)))
        return data, known

    async def _download(self, address: str, max_bytes: int) -> bytes:
        """As the file system's own, but a server that sends for ever is stopped."""
        session = await self._fs.set_session()
        async with session.get(self._fs.encode_url(address)) as response:
            response.raise_for_status()
            data = bytearray()
            async for chunk in response.content.iter_chunked(1 << 18):
                data += chunk
                if len(data) > max_bytes:
                    raise PictureUnreadable(address, too_large(len(data), max_bytes))
        return bytes(data)

    async def _asked(
        self, address: str, request: Callable[[], Awaitable[Any]], *, in_pages: bool = False
    ) -> Any:
        """The answer to a request, or an error of ours.

        One that comes `in_pages` may take hours; on each of them the library has a limit.
        """
        limit_s = None if in_pages else TIMEOUT_S
        try:
            async with self._permits:
                return await asyncio.wait_for(request(), limit_s)
        except PictureError:
            raise
        except asyncio.TimeoutError:
            raise PictureUnreadable(address, f"no answer for {limit_s} s") from None
        # Each of the libraries has errors of its own, and those of the ones below it.
        except Exception as error:
            if _says_gone(error):
                raise NotThere(address, "there is no such thing") from error
            reason = f"it cannot be read ({without_secrets(reason_of(_cause(error)))})"
            raise PictureUnreadable(address, reason) from error

    def _path(self, address: str) -> str:
        """As the file system names it."""
        path: str = self._fs._strip_protocol(address)
        return path


def stamp_of(info: dict[str, Any]) -> Stamp:
    """Size and time of what a storage tells of an object.

    The time is in whole seconds, because listings are finer than answers about one object. Where
    there is none, a hash of the entity tag stands for it.
    """
    for name in ("LastModified", "mtime", "updated", "last_modified", "Last-Modified"):
        if moment := _moment(info.get(name)):
            return Stamp(info.get("size") or 0, int(moment.timestamp()) * 1_000_000_000)
    tag = str(info.get("ETag") or info.get("etag") or "")
    digest = hashlib.blake2b(tag.encode(), digest_size=7).digest() if tag else b""
    return Stamp(info.get("size") or 0, int.from_bytes(digest, "big"))


def _moment(value: object) -> datetime | None:
    moment = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            moment = parsedate_to_datetime(value)
        with contextlib.suppress(ValueError):
            # Python 3.10 knows no Z.
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _cause(error: BaseException) -> BaseException:
    """What fsspec says of a web server is that something was not found, whatever it was."""
    if isinstance(error, FileNotFoundError) and error.errno is None and error.__cause__:
        return error.__cause__
    return error


def _says_gone(error: BaseException) -> bool:
    cause = _cause(error)
    status = getattr(cause, "status", None)
    return status in GONE if isinstance(status, int) else isinstance(cause, FileNotFoundError)


async def _all(work: Any) -> list[Any]:
    """The results in order; an error of a picture stands in the place of its result."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, PictureError):
            raise result
    return results
