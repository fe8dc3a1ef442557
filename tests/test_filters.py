"""Filter expressions mean what they say, whatever the path: checked in a real database."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator

import numpy as np
import pytest

from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.store import filters, milvus
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import KINDS, Place, new_place

# Folders whose names have a meaning in filters, in patterns, or right beside the slash.
FOLDERS = [
    "/a", "/a0", "/a b", "/a%", "/a_", "/a.", "/a-", "/a/b", "/a/0", "/A", "/a\\", '/a"', "/a'",
    '/a"b', '/a" or path > "', "/a\\\\", '/a\\"', "/a\\n", "/a\nb", "/a\rb", "/a\tb", "/a{x}",
    "/a$", "/ä", "/日本", "/🦔", "/a\u2028", "/a\x7f", "/%", "/_", "/ ", "/" + "x" * 255, "/*",
    "/[a]", "/a//b",
]  # fmt: skip
PATHS = sorted(
    {f"{folder}/{name}" for folder in FOLDERS for name in ("p.jpg", "a/p.jpg", "0")}
    | {f"{folder}.jpg" for folder in FOLDERS}
)


def is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def record(path: str) -> ImageRecord:
    return ImageRecord(
        path=path,
        content="0" * 32,
        stamp=Stamp(1, 2),
        width=3,
        height=4,
        taken_at=0,
        format="jpeg",
        vector=np.eye(8, dtype=np.float32)[0],
    )


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    model = CollectionModel(model="test", fingerprint="f", dim=8)
    store = new_place(request.param, tmp_path_factory.mktemp("store"), request).open(model)
    # One half from a segment on disk and one from the table in memory: filters run on both.
    store.upsert([record(path) for path in PATHS[::2]])
    store.flush()
    store.upsert([record(path) for path in PATHS[1::2]])
    yield store
    store.close()


def test_every_path_comes_back_as_it_was_stored(store: MilvusStore) -> None:
    rows = [row for page in store.paths_under("/") for row in page]
    assert sorted(path for _, path in rows) == PATHS
    assert all(key == row_id(path) for key, path in rows)
    assert store.count() == len(PATHS)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_below_a_folder_is_what_starts_with_it_and_a_slash(
    store: MilvusStore, folder: str, slash: str
) -> None:
    expected = [path for path in PATHS if is_below(path, folder)]
    assert 3 <= len(expected) < len(PATHS)
    rows = [row for page in store.paths_under(folder + slash) for row in page]
    assert sorted(path for _, path in rows) == expected


def test_a_folder_without_rows_has_none(store: MilvusStore) -> None:
    for folder in ("/a/p.jpg", "/nothing", "/a1", '"', "\\"):
        assert [row for page in store.paths_under(folder) for row in page] == []


def test_rows_are_paged_without_loss_or_repetition(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "PAGE_ROWS", 10)
    pages = list(store.paths_under("/a"))
    assert len(pages) == -(-len(PATHS) // 10)
    paths = sorted(path for page in pages for _, path in page)
    assert paths == [path for path in PATHS if is_below(path, "/a")]


def test_rows_can_be_deleted_while_they_are_paged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "PAGE_ROWS", 10)
    store = place.open(CollectionModel(model="test", fingerprint="f", dim=8))
    store.upsert([record(path) for path in PATHS])
    seen = 0
    for page in store.paths_under("/"):
        store.delete([key for key, _ in page])
        seen += len(page)
    assert (seen, store.count()) == (len(PATHS), 0)
    store.close()


def literals(expression: str) -> list[str]:
    """The string literals of an expression, read as Milvus's grammar says: without line breaks."""
    quoted = re.findall(r'"((?:[^"\\\r\n]|\\.)*)"', expression)
    return [re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), q) for q in quoted]


@pytest.mark.parametrize("text", ["", *FOLDERS, "\\" * 5, '"' * 5, '\\"' * 3])
def test_a_quoted_text_is_one_literal_of_that_text(text: str) -> None:
    assert literals(f"{filters.quote(text)} and {filters.quote('end')}") == [text, "end"]


def ranges(parts: int) -> list[tuple[str, str]]:
    """The lowest id of each part and the first id after it."""
    form = re.compile(r'\(id >= "([0-9a-f]{32})"(?: and id < "([0-9a-f]{32})")?\)')
    found = [form.fullmatch(filters.id_range(part, parts)) for part in range(parts)]
    edges = [match.groups(default="g") for match in found if match]
    assert len(edges) == parts
    return [(low, high) for low, high in edges]


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 16, 100])
def test_ranges_of_ids_cover_every_id_exactly_once(parts: int) -> None:
    edges = [(1 << 128) * part // parts for part in range(1, parts)]
    numbers = {0, (1 << 128) - 1, *edges, *(edge - 1 for edge in edges)}
    found = ranges(parts)
    for key in [f"{number:032x}" for number in numbers] + [row_id(path) for path in PATHS]:
        assert sum(low <= key < high for low, high in found) == 1


def test_ranges_of_ids_are_about_equally_full() -> None:
    keys = [row_id(f"/photos/{number}.jpg") for number in range(8000)]
    sizes = [sum(low <= key < high for key in keys) for low, high in ranges(8)]
    assert max(sizes) < 2 * min(sizes)


def test_a_range_below_a_folder_leaves_out_its_neighbours_in_the_order_of_names() -> None:
    for folder, path in itertools.product(["/a", "/a/", "/a//"], PATHS):
        low, high = literals(filters.under(folder))
        assert (low <= path < high) == is_below(path, posixpath.normpath(folder))
