"""The store gives back what was put into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.store import milvus
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel, to_row


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MilvusStore]:
    model = CollectionModel(model="test", fingerprint="f", dim=5)
    store = MilvusStore(str(tmp_path / "test.db"), "images", create=model)
    yield store
    store.close()


def record(path: str, vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> ImageRecord:
    return ImageRecord(
        path=path,
        content="0" * 32,
        stamp=Stamp(1, 2),
        width=3,
        height=4,
        taken_at=0,
        format="jpeg",
        vector=vector,
    )


def test_all_vectors_come_back_in_pages_and_bit_for_bit(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(57, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    paths = [f"/photos/{number}.jpg" for number in range(57)]
    records = [record(path, row) for path, row in zip(paths, rows, strict=True)]
    # One half from a segment on disk and one from the table in memory.
    store.upsert(records[::2])
    store.flush()
    store.upsert(records[1::2])
    monkeypatch.setattr(milvus, "PAGE_ROWS", 10)
    pages = list(store.vectors())
    assert len(pages) == 6
    assert all(vectors.dtype == np.float32 for _, vectors in pages)
    found = {
        path: vector for names, page in pages for path, vector in zip(names, page, strict=True)
    }
    assert sum(len(names) for names, _ in pages) == 57
    assert sorted(found) == sorted(paths)
    np.testing.assert_array_equal(np.stack([found[path] for path in paths]), rows)


def test_a_row_says_that_it_is_of_an_animation_and_one_without_a_word_is_not(
    store: MilvusStore,
) -> None:
    first, second = np.eye(5, dtype=np.float32)[:2]
    moving = replace(record("/moving.gif", first), animated=True, metadata={"label": "x"})
    still = record("/still.jpg", second)
    store.upsert([moving, still])
    hits = store.search(first, limit=2)
    assert [(hit.path, hit.animated, hit.metadata) for hit in hits] == [
        ("/moving.gif", True, {"label": "x"}),
        ("/still.jpg", False, {}),
    ]
    ids = [row_id("/moving.gif"), row_id("/still.jpg")]
    assert [found.animated for found in store.records(ids)] == [True, False]
    assert store.metadata(ids) == {ids[0]: {"label": "x"}, ids[1]: {}}
    assert "animated" not in to_row(still)


def test_an_empty_store_has_no_vectors(store: MilvusStore) -> None:
    assert list(store.vectors()) == []


def test_a_page_without_rows_has_the_shape_of_one(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "PAGE_ROWS", 1)
    store.upsert([record(f"/{number}", np.eye(5, dtype=np.float32)[0]) for number in range(9)])
    shapes = {vectors.shape for _, vectors in store.vectors()}
    assert (0, 5) in shapes
