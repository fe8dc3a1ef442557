"""A file fetched over HTTP: it goes on where it broke off, and has at most a set size."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from lookalike.errors import DownloadFailed
from lookalike.records import DownloadProgress

MAX_BYTES = 2_000_000_000
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 30.0
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # before each further attempt that gains nothing

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_AGAIN = "run the same command again to go on"


class _Broken(Exception):
    """This attempt ended too early; another one may go further."""


def download(
    url: str,
    file: Path,
    *,
    user_agent: str,
    on_progress: Callable[[DownloadProgress], None] | None = None,
    max_bytes: int = MAX_BYTES,
    pauses_s: tuple[float, ...] = PAUSES_S,
) -> None:
    """Fetch `url` into `file`; where `file` is there already, nothing is fetched.

    What has arrived is kept beside it in ``file.part``. A later attempt or run goes on from there
    if the server still has the same version of the file, and starts over if not.

    Args:
        url: an http or https address. It may redirect, but not from https to http.
        file: its folder is made as soon as the server has answered.
        user_agent: what to introduce oneself as.
        on_progress: called after every chunk.
        max_bytes: a larger file is refused.
        pauses_s: seconds to wait before each further attempt. An attempt that came further than
            all before it begins them anew.

    Raises:
        DownloadFailed: there is no connection, the server refuses, or it broke off too often.
        OSError: the file cannot be written.
    """
    if file.exists():
        return
    _check(url)
    part = _Part(file.with_name(f"{file.name}.part"), file.with_name(f"{file.name}.version"))
    furthest, connected, pauses = part.size_bytes, False, iter(pauses_s)
    while True:
        try:
            for progress in _attempt(url, part, user_agent=user_agent, max_bytes=max_bytes):
                connected = True
                if on_progress:
                    on_progress(progress)
            break
        except (_Broken, urllib.error.URLError) as error:
            broken = error
        if isinstance(broken, urllib.error.URLError) and not connected:
            reason = f"there is no connection ({_cause(broken)}); check the address and the network"
            raise DownloadFailed(url, reason) from broken
        if part.size_bytes > furthest:
            furthest, pauses = part.size_bytes, iter(pauses_s)
        pause = next(pauses, None)
        if pause is None:
            arrived = f"{part.size_bytes / 1e6:.1f} MB had arrived"
            raise DownloadFailed(url, f"{_cause(broken)}; {arrived}, {_AGAIN}") from broken
        time.sleep(pause)
    part.path.replace(file)
    part.version_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Part:
    """What has arrived so far, and in a second file which version of the server's file it is of."""

    path: Path
    version_file: Path

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> str:
        return self.version_file.read_text("latin-1") if self.version_file.exists() else ""

    def start_over(self, version: str) -> None:
        # In this order, a kill never leaves bytes of one version under the name of another.
        self.path.unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.version_file.write_text(version, "latin-1")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version_file.unlink(missing_ok=True)


def _attempt(
    url: str, part: _Part, *, user_agent: str, max_bytes: int
) -> Iterator[DownloadProgress]:
    response = _open(url, part, user_agent=user_agent)
    if response is None:
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            # Of a network that wants a login, for one: not worth what has arrived so far.
            raise DownloadFailed(url, "a web page came in place of a file; check the address")
        done = _offset(response, part)
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        with part.path.open("ab") as file:
            yield DownloadProgress(done, total)
            while max(total or 0, done) <= max_bytes and (chunk := _read(response)):
                file.write(chunk)
                done += len(chunk)
                yield DownloadProgress(done, total)
    if max(total or 0, done) > max_bytes:
        part.discard()
        reason = f"it is larger than {max_bytes / 1e6:.0f} MB, the limit; check the address"
        raise DownloadFailed(url, reason)
    if total is not None and done != total:
        raise _Broken("the connection broke")


def _open(url: str, part: _Part, *, user_agent: str) -> http.client.HTTPResponse | None:
    """The answer to a request for what is still missing; None where nothing is."""
    headers = {"User-Agent": user_agent}
    if part.size_bytes and part.version:
        headers |= {"Range": f"bytes={part.size_bytes}-", "If-Range": part.version}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  _check has seen it
    opener = urllib.request.build_opener(_Redirects)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size_bytes:
            if error.headers.get("Content-Range") == f"bytes */{part.size_bytes}":
                return None
            part.discard()
            raise _Broken("the file at this address has become smaller") from error
        answer = f"the server answers {error.code} {error.reason}"
        if error.code in _PASSING:
            raise _Broken(answer) from error
        raise DownloadFailed(url, f"{answer}; check the address") from error
    except urllib.error.URLError:
        raise
    except (http.client.InvalidURL, ValueError) as error:
        raise DownloadFailed(url, f"it is not a usable address ({_cause(error)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error
    return response


def _offset(response: http.client.HTTPResponse, part: _Part) -> int:
    """Where in the file an answer begins; at 0, the part has been emptied for it."""
    if response.status == HTTPStatus.PARTIAL_CONTENT and part.size_bytes:
        place = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not place or int(place[1]) != part.size_bytes:
            part.discard()
            raise _Broken("the server sent another piece than was asked for")
        return part.size_bytes
    tag = response.headers.get("ETag", "")
    # A weak tag, W/"…", is of no use: the bytes of two files that share it may differ.
    part.start_over(tag if tag.startswith('"') else response.headers.get("Last-Modified", ""))
    return 0


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects as urllib does, which refuses other schemes, but never out of https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = {"https"} if req.type == "https" else {"http", "https"}
        if urlsplit(newurl).scheme not in allowed:
            reason = f"{msg} and leads from {req.type} to {newurl}, which is not followed"
            raise urllib.error.HTTPError(newurl, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise DownloadFailed(url, "it is not an address that begins with http:// or https://")


def _broken(error: Exception) -> _Broken:
    return _Broken(f"the connection broke ({_cause(error)})")


def _cause(error: object) -> str:
    if isinstance(error, urllib.error.URLError):
        return _cause(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
