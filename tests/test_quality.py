"""The figures of quality are what their definitions say: computed here picture by picture."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from lookalike import LabelsUnusable
from lookalike.insight import quality
from lookalike.insight.quality import measure

Vectors = npt.NDArray[np.float32]


def unit_rows(rows: npt.ArrayLike) -> Vectors:
    array = np.asarray(rows)
    scaled: Vectors = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def clusters(count: int, classes: int, *, seed: int) -> tuple[Vectors, list[str]]:
    """Unit rows that lean towards the middle of their class, in no order."""
    random = np.random.default_rng(seed)
    members = random.integers(classes, size=count)
    middles = random.normal(size=(classes, 12))
    rows = middles[members] + 1.5 * random.normal(size=(count, 12))
    return unit_rows(rows), [f"class {member}" for member in members]


def ranking(vectors: Vectors, query: int) -> list[int]:
    """All others, nearest first, in double precision; equal ones in the order of the rows."""

    def cosine(other: int) -> float:
        return sum(float(a) * float(b) for a, b in zip(vectors[query], vectors[other], strict=True))

    others = [row for row in range(len(vectors)) if row != query]
    return sorted(others, key=lambda other: (-round(cosine(other), 9), other))


def figures_of(right: Sequence[bool]) -> tuple[float, float, float, float]:
    """R@1, P@10, AP and nDCG@10 of one query, from whether each of its neighbours is right."""
    relevant = sum(right)
    precisions = [
        sum(right[: place + 1]) / (place + 1) for place, is_right in enumerate(right) if is_right
    ]
    gain = sum(1 / math.log2(place + 2) for place in range(min(10, len(right))) if right[place])
    ideal = sum(1 / math.log2(place + 2) for place in range(min(10, relevant)))
    return (float(right[0]), sum(right[:10]) / 10, sum(precisions) / relevant, gain / ideal)


def expected(vectors: Vectors, labels: Sequence[str]) -> list[float]:
    sizes = Counter(labels)
    rows = [
        figures_of([labels[other] == labels[query] for other in ranking(vectors, query)])
        for query in range(len(vectors))
        if sizes[labels[query]] > 1
    ]
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def values(found: quality.Quality) -> list[float]:
    return [e.value for e in (found.r_at_1, found.p_at_10, found.map, found.ndcg_at_10)]


@pytest.mark.parametrize(
    ("count", "classes"), [(3, 2), (8, 3), (11, 2), (12, 4), (60, 3), (80, 40)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_figures_are_those_of_the_definitions(count: int, classes: int, seed: int) -> None:
    vectors, labels = clusters(count, classes, seed=seed)
    assert 1 < len(set(labels)) < count
    assert values(measure(vectors, labels)) == pytest.approx(expected(vectors, labels))


def test_a_case_that_can_be_worked_out_on_paper() -> None:
    angles = np.radians([0, 10, 25, 45, 70, 100])
    vectors = unit_rows(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = measure(vectors, ["a", "b", "a", "a", "b", "c"])
    # In the order of the rows, which neighbours are right, nearest first:
    # a at 0: b a a b c | b at 10: a a a b c | a at 25: b a a b c
    # a at 45: a b b a c (25 is nearer to 20 than to 35) | b at 70: a c a b a
    precisions = [(1 / 2 + 2 / 3) / 2, 1 / 4, (1 / 2 + 2 / 3) / 2, (1 + 2 / 4) / 2, 1 / 4]
    assert found.average_precision[:5] == pytest.approx(precisions)
    assert found.map.value == pytest.approx(sum(precisions) / 5)
    assert found.r_at_1.value == pytest.approx(1 / 5)
    assert found.p_at_10.value == pytest.approx((2 + 1 + 2 + 2 + 1) / 50)
    two_first = 1 + 1 / math.log2(3)
    gains = [
        (1 / math.log2(3) + 1 / math.log2(4)) / two_first,
        1 / math.log2(5),
        (1 / math.log2(3) + 1 / math.log2(4)) / two_first,
        (1 + 1 / math.log2(5)) / two_first,
        1 / math.log2(5),
    ]
    assert found.ndcg_at_10.value == pytest.approx(sum(gains) / 5)
    assert found.nearest[3].tolist() == [2, 4, 1, 0, 5]
    assert found.scores[3] == pytest.approx(np.cos(np.radians([20, 25, 35, 45, 55])), abs=1e-6)


def test_classes_that_lie_apart_are_found_without_a_fault() -> None:
    labels = [f"class {row % 4}" for row in range(48)]
    found = measure(np.eye(8, dtype=np.float32)[np.arange(48) % 4], labels)
    for estimate in (found.r_at_1, found.p_at_10, found.map, found.ndcg_at_10):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1))


def test_equally_near_pictures_keep_the_order_of_the_rows() -> None:
    copies = np.eye(3, dtype=np.float32)[[0, 1, 0, 2, 0, 1, 0]]
    found = measure(copies, list("abbabab"))
    assert found.nearest.tolist() == [ranking(copies, query) for query in range(7)]
    assert found.nearest[4].tolist() == [0, 2, 6, 1, 3, 5]
    assert values(found) == pytest.approx(expected(copies, list("abbabab")))


def test_copies_tie_although_sums_of_floats_depend_on_their_order() -> None:
    random = np.random.default_rng(3)
    vectors = unit_rows(random.normal(size=(1, 333)).repeat(37, axis=0))
    found = measure(vectors, [f"class {row % 2}" for row in range(37)])
    for row, nearest in enumerate(found.nearest.tolist()):
        assert nearest == [other for other in range(12) if other != row][:10]


def test_the_only_picture_of_its_class_is_no_query_but_is_found() -> None:
    vectors = unit_rows([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.7, 0.6]])
    found = measure(vectors, ["a", "a", "b", "b", "alone"])
    assert (found.queries, found.left_out) == (4, 1)
    assert np.isnan(found.average_precision).tolist() == [False] * 4 + [True]
    assert 4 in found.nearest[0].tolist()
    assert values(found) == pytest.approx(expected(vectors, ["a", "a", "b", "b", "alone"]))


def test_the_interval_is_that_of_a_mean() -> None:
    vectors, labels = clusters(400, 5, seed=4)
    found = measure(vectors, labels)
    assert measure(vectors, labels).map == found.map
    spread = 1.96 * np.std(found.average_precision) / math.sqrt(400)
    assert found.map.value - found.map.low == pytest.approx(spread, rel=0.15)
    assert found.map.high - found.map.value == pytest.approx(spread, rel=0.15)
    for estimate in (found.r_at_1, found.p_at_10, found.ndcg_at_10):
        assert 0 <= estimate.low < estimate.value < estimate.high <= 1


@pytest.mark.parametrize("scores", [1, 500, 4096])
def test_the_figures_do_not_depend_on_the_size_of_the_chunks(
    monkeypatch: pytest.MonkeyPatch, scores: int
) -> None:
    vectors, labels = clusters(90, 4, seed=5)
    whole = measure(vectors, labels)
    monkeypatch.setattr(quality, "_CHUNK_SCORES", scores)
    assert values(measure(vectors, labels)) == pytest.approx(values(whole))


def test_no_square_matrix_is_ever_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_CHUNK_SCORES", 1 << 16)
    vectors, labels = clusters(3000, 30, seed=6)
    tracemalloc.start()
    measure(vectors, labels)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3000 * 3000 * 4 / 5


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a", "a", "a"], "The only label is 'a'"),
        (["a", "b", "c"], "Each of the 3 pictures has a label of its own"),
        ([], "no picture with a label"),
    ],
)
def test_labels_that_decide_every_answer_are_refused(labels: list[str], reason: str) -> None:
    with pytest.raises(LabelsUnusable, match=reason):
        measure(np.eye(3, dtype=np.float32)[: len(labels)], labels)
