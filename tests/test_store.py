"""The store gives back what was put into it, in Milvus Lite and on a server alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from pymilvus import MilvusClient

from lookalike.errors import IndexIncompatible, IndexNotFound
from lookalike.ingest.metadata import wrong_name
from lookalike.records import ImageRecord, Stamp, Vector, row_id
from lookalike.store import milvus
from lookalike.store.milvus import MilvusStore
from lookalike.store.remembered import peek
from lookalike.store.schema import METADATA_BYTES, CollectionModel, to_row
from tests.conftest import Place

DIM = 5
MODEL = CollectionModel(model="test", fingerprint="f", dim=DIM)

Open = Callable[..., MilvusStore]


@pytest.fixture
def opened(place: Place) -> Iterator[Open]:
    """Opens the place, as often as one likes."""
    with contextlib.ExitStack() as stack:

        def open_store(create: CollectionModel | None = MODEL) -> MilvusStore:
            store = place.open(create)
            stack.callback(store.close)
            return store

        yield open_store


@pytest.fixture
def store(opened: Open) -> MilvusStore:
    return opened()


def unit_rows(count: int, dim: int = DIM) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
    unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def record(path: str, vector: Vector, **metadata: object) -> ImageRecord:
    return ImageRecord(
        path=path,
        content="0" * 32,
        stamp=Stamp(1, 2),
        width=3,
        height=4,
        taken_at=0,
        format="jpeg",
        vector=vector,
        metadata=metadata,
    )


def test_all_vectors_come_back_in_pages_and_bit_for_bit(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = unit_rows(57)
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
    found = {record.path: record.animated for record in store.records(ids)}
    assert found == {"/moving.gif": True, "/still.jpg": False}
    assert store.metadata(ids) == {ids[0]: {"label": "x"}, ids[1]: {}}
    assert "animated" not in to_row(still)


def test_an_empty_store_has_no_vectors(store: MilvusStore) -> None:
    assert list(store.vectors()) == []
    assert store.count() == 0
    assert store.search(unit_rows(1)[0], limit=3) == []


def test_a_page_without_rows_has_the_shape_of_one(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "PAGE_ROWS", 1)
    store.upsert([record(f"/{number}", unit_rows(1)[0]) for number in range(9)])
    shapes = {vectors.shape for _, vectors in store.vectors()}
    assert (0, 5) in shapes


def test_a_row_replaces_that_of_its_path_as_a_whole(store: MilvusStore) -> None:
    first, second = unit_rows(2)
    keys = [row_id("/a"), row_id("/b")]
    for flushed in (True, False):
        store.upsert([record("/a", first, one=[1, {"x": None}], two="ä"), record("/b", first)])
        if flushed:
            store.flush()
        store.upsert([record("/a", second, three=True)])
        assert store.count() == 2
        assert store.metadata(keys) == {keys[0]: {"three": True}, keys[1]: {}}
        (row,) = store.records([keys[0], "f" * 32])
        assert (row.path, row.stamp, row.metadata) == ("/a", Stamp(1, 2), {"three": True})
        np.testing.assert_array_equal(row.vector, second)
        hits = store.search(second, limit=9)
        assert [hit.path for hit in hits] == ["/a", "/b"]
        assert hits[0].metadata == {"three": True}


def test_a_write_and_a_deletion_are_seen_at_once(store: MilvusStore) -> None:
    vector = unit_rows(1)[0]
    for number in range(8):
        path = f"/{number}"
        store.upsert([record(path, vector), record("/other", vector)])
        assert store.stamps([row_id(path), "f" * 32]) == {row_id(path): Stamp(1, 2)}
        assert store.count() == 2
        store.delete([row_id(path), "f" * 32])
        assert store.count() == 1
        assert store.stamps([row_id(path)]) == {}
        assert [hit.path for hit in store.search(vector, limit=5)] == ["/other"]
        assert [row for page in store.paths_under("/") for row in page] == [
            (row_id("/other"), "/other")
        ]


@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_hits_are_those_of_brute_force(opened: Open, metric: str) -> None:
    """With limits beyond what fits in one message, too, and beyond all rows."""
    dim = 64
    rows = unit_rows(1100, dim)
    questions = unit_rows(1104, dim)[1100:]
    store = opened(CollectionModel(model="test", fingerprint="f", dim=dim, metric=metric))
    records = [record(f"/{number}", row, number=number) for number, row in enumerate(rows)]
    store.upsert(records[:1000])
    store.flush()
    store.upsert(records[1000:])
    for question in questions:
        products = rows @ question
        expected = 2 - 2 * products if metric == "L2" else products
        order = np.argsort(-products)
        for limit in (1, 10, 1000, 2000):
            hits = store.search(question, limit=limit)
            numbers = [hit.metadata["number"] for hit in hits]
            assert len(set(numbers)) == len(hits) == min(limit, 1100)
            scores = [hit.score for hit in hits]
            np.testing.assert_allclose(scores, expected[numbers], atol=1e-5)
            np.testing.assert_allclose(scores, expected[order[: len(hits)]], atol=1e-5)
            assert all(hit.path == f"/{hit.metadata['number']}" for hit in hits)


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_the_largest_rows_go_through(store: MilvusStore) -> None:
    """All together they are more than a server takes in one message, which is 64 MB."""
    text = "x" * (METADATA_BYTES - 20)
    store.upsert([record(f"/{number}", unit_rows(1)[0], text=text) for number in range(1050)])
    ids = [row_id(f"/{number}") for number in range(1050)]
    assert all(fields == {"text": text} for fields in store.metadata(ids).values())
    assert len(store.records(ids)) == len(store.metadata(ids)) == 1050
    hits = store.search(unit_rows(1)[0], limit=2000)
    assert len({hit.path for hit in hits if hit.metadata == {"text": text}}) == 1050


def test_a_collection_remembers_its_model(opened: Open, place: Place) -> None:
    assert peek(place.database, place.collection, token=place.token) is None
    with pytest.raises(IndexNotFound, match="There is no index"):
        opened(create=None)
    model = CollectionModel(model="resnet34", fingerprint="e" * 32, dim=3, metric="L2")
    first = opened(model)
    assert first.model == model
    first.upsert([record("/a", unit_rows(1, 3)[0])])
    first.close()
    for create in (None, MODEL):
        again = opened(create)
        assert (again.model, again.count()) == (model, 1)
        again.close()
    assert peek(place.database, place.collection, token=place.token) == model


def client(place: Place) -> MilvusClient:
    return MilvusClient(place.database, token=place.token or "", dedicated=True)


def test_a_collection_of_somebody_else_is_left_alone(opened: Open, place: Place) -> None:
    opened().close()
    other = client(place)
    other.drop_collection(place.collection)
    other.create_collection(place.collection, 4)
    other.close()
    for create in (None, MODEL):
        with pytest.raises(IndexIncompatible, match="was not made by lookalike"):
            opened(create)


def test_a_collection_whose_making_was_cut_off_before_its_index_is_completed(
    opened: Open, place: Place
) -> None:
    opened().close()
    other = client(place)
    other.release_collection(place.collection)
    other.drop_index(place.collection, "vector")
    assert other.list_indexes(place.collection) == []
    other.close()
    store = opened(create=None)
    store.upsert([record("/a", unit_rows(1)[0])])
    assert len(store.search(unit_rows(1)[0], limit=1)) == 1


def test_stamps_are_those_of_the_last_writes_wherever_the_rows_are(store: MilvusStore) -> None:
    random = np.random.default_rng(0)
    (vector,) = unit_rows(1)
    paths = [f"/photos/{number}.jpg" for number in range(60)]
    expected: dict[str, Stamp] = {}
    for turn in range(12):
        chosen = [paths[at] for at in random.choice(60, 15, replace=False)]
        written, gone = chosen[:10], chosen[10:]
        stamps = {path: Stamp(int(random.integers(1000)), turn) for path in written}
        store.upsert([replace(record(path, vector), stamp=stamps[path]) for path in written])
        store.delete([row_id(path) for path in gone])
        expected |= {row_id(path): stamp for path, stamp in stamps.items()}
        for path in gone:
            expected.pop(row_id(path), None)
        if turn % 3 == 1:
            store.flush()
        assert store.stamps([row_id(path) for path in paths]) == expected


def test_a_scan_gives_every_row_once_as_it_is_now(store: MilvusStore) -> None:
    """Replaced and deleted ones, on disk and in memory, are left out; so is what fails a filter."""
    rows = unit_rows(9)
    paths = [f"/photos/{number}.jpg" for number in range(9)]
    records = [
        replace(record(path, row, number=number, text=[{"ä": None}]), phash="0123456789abcdef")
        for number, (path, row) in enumerate(zip(paths, rows, strict=True))
    ]
    store.upsert([replace(each, width=77) for each in records[:5]])
    store.flush()
    store.upsert([*records[:2], replace(records[8], animated=True)])
    store.flush()
    store.delete([row_id(paths[3])])
    store.flush()
    store.upsert([*records[3:6], *records[6:8]])
    store.delete([row_id(paths[1]), row_id(paths[5])])
    store.upsert([records[2]])
    expected = {0: 3, 2: 3, 3: 3, 4: 3, 6: 3, 7: 3, 8: 3}
    found = {each.path: each for page in store.scan() for each in page}
    assert {each.metadata["number"]: each.width for each in found.values()} == expected
    assert sum(len(page) for page in store.scan()) == store.count() == len(expected)
    by_id = {each.path: each for each in store.records([row_id(path) for path in paths])}
    assert found.keys() == by_id.keys()
    for path, each in found.items():
        np.testing.assert_array_equal(each.vector, by_id[path].vector)
        plain = replace(each, vector=by_id[path].vector)
        assert plain.phash == "0123456789abcdef"
        assert plain == by_id[path]
    some = [each for page in store.scan("number >= 3 and width < 10") for each in page]
    assert sorted(each.metadata["number"] for each in some) == [3, 4, 6, 7, 8]
    assert [each for page in store.scan("width == 77") for each in page] == []


def test_a_scan_comes_in_pages_of_bounded_size(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_whole_rows", 7)
    store.upsert([record(f"/{number}", unit_rows(1)[0]) for number in range(100)])
    pages = list(store.scan())
    assert sum(map(len, pages)) == 100
    assert len(pages) >= 15
    assert max(map(len, pages)) <= 30  # a server's are about that large


def test_a_field_of_the_users_own_may_have_the_name_of_what_every_row_has_hidden(
    store: MilvusStore,
) -> None:
    own = {"phash": "f" * 16, "hash": 1}
    store.upsert([replace(record("/a", unit_rows(1)[0]), metadata=own, phash="0" * 16)])
    (kept,) = store.records([row_id("/a")])
    assert (kept.metadata, kept.phash) == (own, "0" * 16)
    assert store.metadata([row_id("/a")]) == {row_id("/a"): own}
    (hit,) = store.search(unit_rows(1)[0], limit=1, condition='phash == "ffffffffffffffff"')
    assert hit.metadata == own
    assert wrong_name("phash") is None
    assert wrong_name("_phash") is not None
