"""Searching Milvus Lite's tables finds what NumPy finds in the rows that count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike.records import ImageRecord, Stamp, row_id
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
