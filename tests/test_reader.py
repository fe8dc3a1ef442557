"""`Reader`: a name becomes bytes, or a reason."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lookalike import Settings
from lookalike.cli import collect
from lookalike.cli.thumbnails import Thumbnails
from lookalike.errors import PictureUnreadable
from lookalike.records import Hit, Stamp
from lookalike.sources.local import read_file
from lookalike.sources.reader import Reader


def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 1_600_000_000_123_456_000))
    assert read_file(str(path), max_bytes=1000) == (b"abc", Stamp(3, 1_600_000_000_123_456_000))
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, reason in (
        (tmp_path / "pipe.jpg", "it is not a regular file"),
        (tmp_path / "missing.jpg", "the file does not exist"),
        (tmp_path, "regular file|directory"),
    ):
        with pytest.raises(PictureUnreadable, match=reason):
            read_file(str(path), max_bytes=1000)


def test_a_file_may_be_named_by_an_address(tmp_path: Path) -> None:
    path = tmp_path / "a %20 ü.jpg"
    path.write_bytes(b"abc")
    with Reader(max_bytes=10) as reader:
        assert reader.read(path.as_uri())[0] == b"abc"
        assert reader.exists(str(path))
        assert reader.exists("ftp://host/what-cannot-be-asked.jpg")
        with pytest.raises(PictureUnreadable, match="none of what can be read"):
            reader.read("ftp://host/a.jpg")
        with pytest.raises(PictureUnreadable, match="cannot be read"):
            reader.read("nul\0.jpg")


def test_refusing_a_folder_leaves_no_file_open(tmp_path: Path) -> None:
    def lowest_free() -> int:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.close(descriptor)
        return descriptor

    before = lowest_free()
    with pytest.raises(PictureUnreadable):
        read_file(str(tmp_path), max_bytes=1000)
    assert lowest_free() == before


def test_a_web_address_of_a_row_is_asked_only_where_a_question_may_ask() -> None:
    """Rows may have been imported, so their addresses may be anybody's choice."""
    asked = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.jpg"
        with Reader.of(Settings(), public=True) as reader:
            with pytest.raises(PictureUnreadable, match="no public address"):
                reader.read(url)
            with pytest.raises(PictureUnreadable, match="no public address"):
                reader.read(url.replace("http", "HTTP", 1))
        with Thumbnails(32) as thumbnails:
            (reason,) = thumbnails.small([url])
        assert "no public address" in str(reason)
        assert asked == []
        with Reader.of(Settings(allow_private_urls=1), public=True) as reader:
            data, stamp = reader.read(url)
        server.shutdown()
    assert (data, stamp.size_bytes, asked) == (b"abc", 3, ["/a.jpg"])


def test_hits_are_copied_from_public_web_addresses_only(tmp_path: Path) -> None:
    hit = Hit("http://127.0.0.1:9/a.jpg", 1.0, "", 1, 1, 3, None, "jpeg")
    left_out = collect.copy([hit], tmp_path).left_out
    assert [each.reason for each in left_out if "no public address" in each.reason] != []
    assert list(tmp_path.iterdir()) == []
