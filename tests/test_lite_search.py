"""Searching Milvus Lite's tables finds what NumPy finds in the rows that count."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.store.lite import LiteDatabase
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import METRICS, CollectionModel

DIM = 8


def unit(random: np.random.Generator) -> npt.NDArray[np.float32]:
    vector = random.standard_normal(DIM).astype(np.float32)
    found: npt.NDArray[np.float32] = vector / np.linalg.norm(vector)
    return found


def record(name: int, vector: npt.NDArray[np.float32], width: int) -> ImageRecord:
    return ImageRecord(
        path=f"/p/{name}.jpg",
        content=f"{name:032x}",
        stamp=Stamp(name, name),
        width=width,
        height=10,
        taken_at=0,
        format="jpeg",
        vector=vector,
        metadata={"name": name},
    )


def opened(folder: Path, metric: str) -> MilvusStore:
    model = CollectionModel(model="none", fingerprint="0" * 32, dim=DIM, metric=metric)
    return MilvusStore((folder / "test.db").as_posix(), "images", create=model)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_after_any_writes_deletions_and_flushes_the_nearest_are_those_of_numpy(
    tmp_path: Path, metric: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    expected: dict[int, ImageRecord] = {}
    store = opened(tmp_path, metric)

    def compare() -> None:
        question = unit(random)
        for condition, widest in (("", 0), ("width > 50", 50)):
            rows = [row for row in expected.values() if row.width > widest]
            cosines = {row_id(row.path): float(row.vector @ question) for row in rows}
            hits = store.search(question, limit=10, condition=condition)
            scores = [2 - 2 * each if metric == "L2" else each for each in cosines.values()]
            best = sorted(scores, reverse=metric != "L2")[:10]
            np.testing.assert_allclose([hit.score for hit in hits], best, atol=2e-6)
            for hit in hits:
                row = expected[hit.metadata["name"]]
                assert (hit.path, hit.width, hit.content) == (row.path, row.width, row.content)
                cosine = cosines[hit.id]
                assert hit.score == pytest.approx(
                    2 - 2 * cosine if metric == "L2" else cosine, abs=2e-6
                )

    for _ in range(60):
        match random.integers(0, 6):
            case 0 | 1 | 2:
                names = random.integers(0, 200, random.integers(1, 40)).tolist()
                written = {
                    name: record(name, unit(random), int(random.integers(1, 100))) for name in names
                }
                store.upsert(list(written.values()))
                expected |= written
            case 3:
                gone = random.integers(0, 200, random.integers(1, 30)).tolist()
                store.delete([row_id(f"/p/{name}.jpg") for name in gone])
                for name in gone:
                    expected.pop(name, None)
            case 4:
                store.flush()
            case _:
                store.close()
                store = opened(tmp_path, metric)
        compare()
    store.close()


def test_many_questions_at_once_have_the_answers_that_each_has_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    store = opened(tmp_path, "COSINE")
    store.upsert([record(name, unit(random), 10) for name in range(700)])
    questions = np.stack([unit(random) for _ in range(20)])
    together = store.search_batch(questions, limit=5)
    assert together == [store.search(question, limit=5) for question in questions]
    store.close()


def test_a_row_of_another_length_has_the_cosine_that_it_has(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    store = opened(tmp_path, "COSINE")
    question = unit(random)
    store.upsert([record(0, 3 * question, 10), record(1, unit(random), 10)])
    for flushed in (False, True):
        if flushed:
            store.flush()
        assert store.search(3 * question, limit=1)[0].score == 1.0
    store.close()


def test_what_is_on_its_way_into_a_file_is_found_and_what_was_deleted_is_not(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(9)
    store = opened(tmp_path, "COSINE")
    vectors = [unit(random) for _ in range(100)]
    store.upsert([record(name, vectors[name], 10) for name in range(50)])
    store.flush()
    store.upsert([record(name, vectors[name], 10) for name in range(50, 100)])
    store.delete([row_id("/p/3.jpg")])
    assert isinstance(store._database, LiteDatabase)
    tables = store._database._directly
    assert tables is not None
    memory = tables.rows._memtable
    # Milvus Lite empties its memory first, and then waits as long as files are being merged.
    with tables.rows._maintenance_lock:
        flush = threading.Thread(target=store.flush)
        flush.start()
        while tables.rows._memtable is memory:
            time.sleep(0.01)
        assert store.search(vectors[60], limit=1)[0].path == "/p/60.jpg"
        assert store.search(vectors[3], limit=1)[0].path != "/p/3.jpg"
        assert set(store.stamps([row_id("/p/60.jpg"), row_id("/p/3.jpg")])) == {row_id("/p/60.jpg")}
        assert len([row for page in store.scan() for row in page]) == 99
    flush.join()
    assert store.search(vectors[60], limit=1)[0].path == "/p/60.jpg"
    assert store.search(vectors[3], limit=1)[0].path != "/p/3.jpg"
    store.close()


def test_beside_writes_and_flushes_searches_find_what_was_acknowledged(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    names, seconds = 600, 4.0
    random = np.random.default_rng(10)
    store = opened(tmp_path, "COSINE")
    vectors = [unit(random) for _ in range(names)]
    store.upsert([record(name, vectors[name], 1) for name in range(names)])
    acknowledged = [1] * names  # versions, kept as widths
    gone: set[int] = set()
    ends = time.monotonic() + seconds
    wrong: list[str] = []
    searches = 0

    def write() -> None:
        chance = np.random.default_rng(11)
        for turn in itertools.count():
            if time.monotonic() > ends:
                return
            some = set(chance.integers(0, names // 2, 40).tolist())
            store.upsert([record(name, vectors[name], acknowledged[name] + 1) for name in some])
            for name in some:
                acknowledged[name] += 1
            if turn % 7 == 0 and (name := names - 1 - turn // 7) >= names // 2:
                store.delete([row_id(f"/p/{name}.jpg")])
                gone.add(name)
            if turn % 5 == 0:
                store.flush()

    def search(seed: int) -> None:
        nonlocal searches, wrong
        chance = np.random.default_rng(seed)
        while time.monotonic() < ends:
            name, dead = int(chance.integers(0, names // 2)), set(gone)
            least = acknowledged[name]
            hits = store.search(vectors[name], limit=5)
            searches += 1
            found = [hit.metadata["name"] for hit in hits]
            if found[0] != name or hits[0].width < least or hits[0].score < 0.99999:
                wrong.append(f"{name}, version {least}: {hits[0]}")
            if len(set(found)) < len(found) or dead & set(found):
                wrong.append(f"{found}")
            if name := next(iter(dead), 0):
                hits = store.search(vectors[name], limit=1)
                wrong += [
                    f"{name} is deleted: {hit}" for hit in hits if hit.metadata["name"] == name
                ]

    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=search, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert searches
    assert gone
    say(f"searches beside writes: {searches}, {sum(acknowledged)} versions, {len(gone)} deleted")
    store.close()
