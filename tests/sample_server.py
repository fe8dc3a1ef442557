"""A web server on loopback with one file, which misbehaves as a test wants it to."""

from __future__ import annotations

import contextlib
import io
import ssl
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookalike.download import download
from lookalike.records import DownloadProgress

SHORT = (0.0, 0.0)


@dataclass
class Site:
    """A server with one file, and how it behaves. `cuts` are ends of the next answers, in bytes."""

    body: bytes
    etag: str = '"one"'
    modified: str = ""
    status: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    stalls_at: int | None = None
    ranges: bool = True
    shifts_ranges: int = 0
    states_length: bool = True
    adds_to_length: int = 0
    kind: str = "application/zip"
    location: str = ""
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def starts(self) -> list[int]:
        """From which byte on each request wanted the file."""
        return [int(headers.get("Range", "bytes=0-")[6:-1]) for headers in self.asked]


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append({**dict(self.headers), "path": self.path})
            with contextlib.suppress(ConnectionError):
                self.answer()

        def answer(self) -> None:
            if site.location and self.path != "/moved":
                self.send_response(302)
                self.send_header("Location", site.location)
                self.end_headers()
                return
            if site.status:
                self.send_error(site.status.pop(0))
                return
            start = 0
            version = site.etag or site.modified
            if site.ranges and self.headers.get("If-Range") == version:
                start = int(self.headers["Range"][6:-1])
            if start and start >= len(site.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.body)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                first, last = start + site.shifts_ranges, len(site.body) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(site.body)}")
            for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
                if value:
                    self.send_header(name, value)
            if site.states_length:
                length = len(site.body) - start + site.adds_to_length
                self.send_header("Content-Length", str(length))
            self.send_header("Content-Type", site.kind)
            self.end_headers()
            self.send(site.body[start : site.cuts.pop(0) if site.cuts else None])

        def send(self, content: bytes) -> None:
            self.wfile.write(content[: site.stalls_at])
            if site.stalls_at is not None:
                self.wfile.flush()
                site.released.wait(30)
                self.wfile.write(content[site.stalls_at :])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


@contextlib.contextmanager
def serving(site: Site, *, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve it, with no proxy between."""
    with (
        pytest.MonkeyPatch.context() as environment,
        ThreadingHTTPServer(("127.0.0.1", 0), handler(site)) as server,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            environment.delenv(name, raising=False)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        site.url = f"{scheme}://127.0.0.1:{server.server_port}/sample.zip"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield site
        finally:
            site.released.set()
            server.shutdown()
            thread.join()


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fetch(site: Site, file: Path, *, seen: list[int] | None = None, **options: int) -> None:
    def on_progress(progress: DownloadProgress) -> None:
        if seen is not None:
            seen.append(progress.done_bytes)

    download(site.url, file, user_agent="test", pauses_s=SHORT, on_progress=on_progress, **options)
