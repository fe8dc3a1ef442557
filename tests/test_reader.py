"""`Reader`: a name becomes bytes, or a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import PictureUnreadable
from lookalike.records import Stamp
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
