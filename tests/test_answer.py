"""From vectors to hits: order, pages, cut-offs and diversity, compared with NumPy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lookalike import Index
from lookalike.cli.answering import say_nothing_found
from lookalike.cli.terminal import Terminal
from lookalike.errors import InvalidQuestion, InvalidSetting
from lookalike.query import answer as answering
from lookalike.query.answer import Wanted, all_hits, answer, answers
from lookalike.query.cutoff import least_cosine
from lookalike.records import Hit, ImageRecord, Stamp, row_id
from lookalike.store import nearest
from lookalike.store.milvus import MilvusStore
from lookalike.store.sampling import Background
from lookalike.store.schema import METRICS, CollectionModel
from tests.conftest import KINDS, Outcome, Place, new_place

DIM = 16
Vectors = npt.NDArray[np.float32]
Cli = Callable[..., Outcome]


def units(count: int, *, seed: int = 0, dim: int = DIM) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def towards(one: Vectors, cosine: float, *, seed: int = 0) -> Vectors:
    """A unit vector with this cosine to another."""
    other = units(1, seed=seed, dim=len(one))[0]
    other -= (other @ one) * one
    other /= np.linalg.norm(other)
    made: Vectors = (cosine * one + (1 - cosine**2) ** 0.5 * other).astype(np.float32)
    return made


def records(vectors: Vectors, *, contents: list[str] | None = None) -> list[ImageRecord]:
    return [
        ImageRecord(
            path=f"/p/{number}.jpg",
            content=contents[number] if contents else f"{number:032x}",
            stamp=Stamp(number, number),
            width=number % 5,
            height=4,
            taken_at=0,
            format="jpeg",
            vector=vector,
        )
        for number, vector in enumerate(vectors)
    ]


def filled(place: Place, vectors: Vectors, *, metric: str = "COSINE") -> MilvusStore:
    """Half of the rows in files on disk, half in memory, in an order of chance."""
    model = CollectionModel(model="test", fingerprint="f", dim=vectors.shape[1], metric=metric)
    store = place.open(model)
    rows = records(vectors)
    random.Random(0).shuffle(rows)
    store.upsert(rows[::2])
    store.flush()
    store.upsert(rows[1::2])
    return store


QUESTION = units(1, seed=9)[0]
# Three heaps of equal vectors, and others around them.
TIED = np.concatenate(
    [
        units(60, seed=1),
        np.repeat(towards(QUESTION, 0.8)[np.newaxis], 90, axis=0),
        np.repeat(units(1, seed=3), 50, axis=0),
        np.repeat(towards(QUESTION, 0.9)[np.newaxis], 25, axis=0),
    ]
)


def expected_order(vectors: Vectors, question: Vectors) -> list[str]:
    """Paths by score and id."""
    scores = [round(float(score), 5) for score in vectors.astype(np.float64) @ question]
    keyed = [(-score, row_id(f"/p/{n}.jpg"), f"/p/{n}.jpg") for n, score in enumerate(scores)]
    return [path for _, _, path in sorted(keyed)]


@pytest.fixture(scope="module", params=KINDS)
def tied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    place = new_place(request.param, tmp_path_factory.mktemp("tied"), request)
    store = filled(place, TIED)
    yield store
    store.close()


def paths(hits: list[Hit] | Iterator[Hit]) -> list[str]:
    return [hit.path for hit in hits]


@pytest.mark.parametrize("limit", [1, 7, 30, 100, 300])
def test_pages_through_equal_rows_miss_nothing_and_repeat_nothing(
    tied: MilvusStore, limit: int
) -> None:
    pages = [
        answer(QUESTION, Wanted(limit=limit, offset=offset), tied)
        for offset in range(0, min(len(TIED), 12 * limit), limit)
    ]
    seen = paths(list(itertools.chain(*pages)))
    assert seen == expected_order(TIED, QUESTION)[: len(seen)]
    assert len(seen) == min(len(TIED), 12 * limit)
    again = answer(QUESTION, Wanted(limit=limit), tied)
    assert paths(again) == seen[:limit]


def test_pages_beyond_the_window_go_on_in_the_same_order(
    tied: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "MAX_WINDOW", 40)
    monkeypatch.setattr(nearest, "RANGE_ROWS", 30)
    monkeypatch.setattr(nearest, "FIRST_HITS", 35)
    expected = expected_order(TIED, QUESTION)
    for offset, limit in ((0, 39), (0, 40), (35, 10), (60, 25), (200, 60), (500, 5)):
        hits = answer(QUESTION, Wanted(limit=limit, offset=offset), tied)
        assert paths(hits) == expected[offset : offset + limit]
    assert paths(all_hits(QUESTION, Wanted(), tied)) == expected
    some = [path for path in expected if int(path[3:-4]) % 5 > 2]
    assert paths(all_hits(QUESTION, Wanted(where="width > 2"), tied)) == some
    assert (
        paths(answer(QUESTION, Wanted(limit=9, offset=50, where="width > 2"), tied)) == some[50:59]
    )


def test_more_rows_than_a_window_holds_are_all_reached(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    vectors = units(16_500, seed=5, dim=2)
    store = filled(new_place("server", tmp_path, request), vectors)
    question = units(1, seed=6, dim=2)[0]
    last = answer(question, Wanted(limit=20, offset=16_490), store)
    scores = np.sort(vectors.astype(np.float64) @ question)
    assert [hit.score for hit in last] == pytest.approx(scores[9::-1], abs=2e-6)
    count = sum(1 for _ in itertools.islice(all_hits(question, Wanted(), store), 300))
    assert count == 300
    store.close()


def test_several_questions_are_one_call(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(new_place("lite", tmp_path, request), units(80))
    questions = units(5, seed=20)
    wanted = Wanted(limit=5, where="width > 1")
    expected = [answer(question, wanted, store) for question in questions]
    calls = []
    asked = store._database.search

    def search(collection: str, **options: Any) -> list[list[dict[str, Any]]]:
        calls.append(options)
        return asked(collection, **options)

    monkeypatch.setattr(store._database, "search", search)
    together = answers(questions, wanted, store)
    assert len(calls) == 1
    assert list(map(paths, together)) == list(map(paths, expected))
    for one, other in zip(itertools.chain(*together), itertools.chain(*expected), strict=True):
        assert one.score == pytest.approx(other.score, abs=2e-6)
    store.close()


def test_more_questions_than_a_message_holds_are_several_calls(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(new_place("lite", tmp_path, request), units(80))
    questions, wanted = units(7, seed=20), Wanted(limit=5, offset=1)
    expected = answers(questions, wanted, store)
    sizes = []
    asked = store._database.search

    def search(collection: str, **options: Any) -> list[list[dict[str, Any]]]:
        sizes.append(len(options["data"]))
        return asked(collection, **options)

    monkeypatch.setattr(store._database, "search", search)
    for limits, calls in (({"_page_rows": 3}, [3, 3, 1]), ({"_message_hits": 14}, [2, 2, 2, 1])):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(store, name, value)
            sizes.clear()
            assert list(map(paths, answers(questions, wanted, store))) == list(map(paths, expected))
        assert sizes == calls
    store.close()


@pytest.mark.parametrize("metric", METRICS)
def test_a_least_score_keeps_what_is_as_close_in_every_metric(
    metric: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    vectors = units(80, seed=2)
    store = filled(new_place("lite", tmp_path, request), vectors, metric=metric)
    cosines = vectors @ QUESTION
    bound = 2 - 2 * 0.25 if metric == "L2" else 0.25
    hits = answer(QUESTION, Wanted(limit=80, min_score=bound), store)
    assert {hit.path for hit in hits} == {f"/p/{n}.jpg" for n in np.flatnonzero(cosines >= 0.25)}
    assert paths(all_hits(QUESTION, Wanted(min_score=bound), store)) == paths(hits)
    assert answer(QUESTION, Wanted(min_score=-0.1 if metric == "L2" else 1.1), store) == []
    store.close()


def test_impossible_wishes_are_refused() -> None:
    for wish in ({"limit": 0}, {"limit": 16_385}, {"offset": -1}):
        with pytest.raises(InvalidSetting, match=next(iter(wish))):
            Wanted(**wish)  # type: ignore[arg-type]
    with pytest.raises(InvalidQuestion, match="min_score is nan"):
        Wanted(min_score=float("nan"))


@pytest.mark.parametrize("metric", METRICS)
def test_what_stands_out_is_kept_and_nothing_else(
    metric: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    alike = np.array([towards(QUESTION, c, seed=n) for n, c in enumerate((0.9, 0.85, 0.8, 0.8))])
    background = units(500, seed=4, dim=64)
    question = np.zeros(64, np.float32)
    question[:DIM] = QUESTION
    wide = np.zeros((4, 64), np.float32)
    wide[:, :DIM] = alike
    store = filled(
        new_place("lite", tmp_path, request), np.concatenate([background, wide]), metric=metric
    )
    hits = answer(question, Wanted(limit=100, auto=True), store)
    assert {hit.path for hit in hits} == {f"/p/{n}.jpg" for n in range(500, 504)}
    assert paths(all_hits(question, Wanted(auto=True), store)) == paths(hits)
    strict = 2 - 2 * 0.86 if metric == "L2" else 0.86
    assert len(answer(question, Wanted(limit=9, auto=True, min_score=strict), store)) == 1
    loose = 4.0 if metric == "L2" else -1.0
    assert len(answer(question, Wanted(limit=100, auto=True, min_score=loose), store)) == 4
    store.delete([row_id(f"/p/{n}.jpg") for n in range(500, 504)])
    assert answer(question, Wanted(auto=True), store) == []
    store.close()


def test_in_a_background_of_chance_nine_of_ten_questions_find_nothing() -> None:
    background = units(1500, seed=7, dim=64)
    everything = units(3000, seed=8, dim=64)
    found = 0
    for question in units(200, seed=10, dim=64):
        scores = np.sort(everything @ question)[::-1]
        least = least_cosine(question, scores[:64].tolist(), Background(background, 3000))
        found += bool(scores[0] >= least)
    assert found <= 40


def test_few_rows_have_no_background_and_copies_always_stand_out() -> None:
    few = units(19, seed=1)
    assert least_cosine(QUESTION, (few @ QUESTION).tolist(), Background(few, 19)) == -1.0
    same = np.repeat(QUESTION[np.newaxis], 50, axis=0)
    assert least_cosine(QUESTION, [1.0] * 50, Background(same, 50)) <= 0.9
    half = np.concatenate([same[:20], units(40, seed=1)])
    assert least_cosine(QUESTION, [1.0] * 20, Background(half, 60)) <= 0.9


def test_nearly_identical_hits_are_one_with_their_number(place: Place) -> None:
    first, second = towards(QUESTION, 0.9, seed=1), towards(QUESTION, 0.6, seed=2)
    vectors = np.concatenate(
        [
            [towards(first, 0.995, seed=n) for n in range(30)],
            [towards(second, 0.995, seed=n) for n in range(12)],
            -units(5, seed=11),
        ]
    ).astype(np.float32)
    store = filled(place, vectors)
    plain = answer(QUESTION, Wanted(limit=47), store)
    hits = answer(QUESTION, Wanted(limit=2, diverse=True), store)
    numbers = [int(hit.path[3:-4]) for hit in hits]
    assert hits[0].path == plain[0].path
    assert numbers[0] < 30 <= numbers[1] < 42
    assert [hit.similar_count for hit in hits] == [29, 11]
    everything = answer(QUESTION, Wanted(limit=47, diverse=True), store)
    assert len(everything) + sum(hit.similar_count for hit in everything) == 47
    leaders = vectors[[int(hit.path[3:-4]) for hit in everything]]
    assert np.max(leaders @ leaders.T - 2 * np.eye(len(leaders))) < 0.9
    pages = [answer(QUESTION, Wanted(limit=1, offset=n, diverse=True), store) for n in range(3)]
    assert [hit.path for (hit,) in pages] == paths(everything[:3])
    cut = answer(QUESTION, Wanted(limit=9, diverse=True, min_score=0.7), store)
    assert len(cut) == 1
    store.close()


def test_equal_files_are_one_hit_whatever_their_vectors(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    vectors = units(6, seed=3)
    store = new_place("lite", tmp_path, request).open(
        CollectionModel(model="test", fingerprint="f", dim=DIM)
    )
    store.upsert(records(vectors, contents=["a", "b", "a", "c", "b", "a"]))
    hits = answer(QUESTION, Wanted(diverse=True), store)
    assert {hit.content: hit.similar_count for hit in hits} == {"a": 2, "b": 1, "c": 0}
    store.close()


def test_a_diverse_search_looks_at_a_bounded_number_of_hits(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_COLLAPSED", 20)
    vectors = np.concatenate([np.repeat(QUESTION[np.newaxis], 50, axis=0), units(9, seed=1)])
    store = filled(new_place("lite", tmp_path, request), vectors)
    (hit,) = answer(QUESTION, Wanted(limit=3, diverse=True), store)
    assert hit.similar_count == 19
    store.close()


def test_an_index_is_asked_with_all_of_it(photos: Path, tmp_path: Path) -> None:
    crow = photos / "birds" / "crow.jpg"
    with Image.open(crow) as image:
        image.convert("RGB").save(photos / "birds" / "again.jpg", quality=70)
        image.convert("RGB").point(lambda value: value * 0.9).save(photos / "birds" / "dark.png")
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos, metadata=lambda path: {"group": Path(path).parent.name})
        everything = index.search(crow, limit=32)
        assert paths(index.hits(crow)) == paths(everything)
        assert index.search(crow, limit=5, offset=3) == everything[3:8]
        birds = index.search(crow, limit=32, where='group = "birds" and width >= 100')
        assert birds == [
            hit for hit in everything if hit.metadata["group"] == "birds" and hit.width >= 100
        ]
        assert (
            index.search_many([crow, photos / "trees" / "palm.png"], limit=3)[0] == everything[:3]
        )
        assert index.search_many([]) == []
        diverse = index.search(crow, limit=32, diverse=True)
        assert diverse[0].similar_count == 2
        least = everything[4].score
        assert index.search(crow, limit=32, min_score=least) == everything[:5]
        standing_out = index.search(crow, limit=32, auto=True)
        assert standing_out == everything[: len(standing_out)]
        assert 1 <= len(standing_out) < 16


def test_more_than_is_looked_at_cannot_be_diverse() -> None:
    Wanted(limit=4000, offset=96, diverse=True)
    with pytest.raises(InvalidQuestion, match="Only 4096 hits are looked at"):
        Wanted(limit=4000, offset=97, diverse=True)


def test_the_command_filters_cuts_and_pages(cli: Cli, photos: Path) -> None:
    cli("index", photos)
    crow = photos / "birds" / "crow.jpg"

    def found(*options: str) -> list[str]:
        outcome = cli("search", crow, "--format", "paths", *options)
        assert outcome.code == 0, outcome.err
        return outcome.out.splitlines()

    everything = found("-k", "30")
    assert found("-k", "4", "--offset", "3", "--diverse") == everything[3:7]
    flowers = found("-k", "30", "--where", f'path under "{photos}/flowers"')
    assert flowers == [path for path in everything if "/flowers/" in path]
    nothing = cli("search", crow, "--min-score", "1.5")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing here looks like that.\n")
    asked = cli("search", crow, "--format", "json", "--auto", "--where", "width > 1").json
    terms = asked["query"].pop("terms")
    assert [(term["kind"], term["value"]) for term in terms] == [("file", str(crow))]
    assert asked["query"] == {
        "path": str(crow), "limit": 10, "where": "width > 1", "auto": True
    }  # fmt: skip
    assert asked["hits"][0]["similar_count"] == 0
    refused = cli("search", crow, "--where", "widht > 3")
    said = "where: column 1: unknown field 'widht'; did you mean width?"
    assert (refused.code, refused.out, refused.err) == (2, "", f"lookalike: {said}\n")


@pytest.mark.parametrize(
    ("wanted", "pictures", "said"),
    [
        (Wanted(), 0, "The index is empty"),
        (Wanted(where="width < 1"), 5, "There is no picture that --where lets through."),
        (Wanted(auto=True, where="width > 1"), 5, "among the pictures that --where lets through."),
        (Wanted(min_score=2.0), 5, "Nothing here looks like that."),
        (Wanted(offset=9, auto=True), 5, "no more than the 9 hits that --offset leaves out"),
    ],
)
def test_no_hits_have_a_reason(
    wanted: Wanted, pictures: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_nothing_found(Terminal(0, quiet=False), pictures=pictures, wanted=wanted)
    assert said in capsys.readouterr().err
