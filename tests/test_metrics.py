"""An index measures likeness by COSINE, IP or L2; which one is settled when it is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike import Index, IndexIncompatible, InvalidSetting, MetricMismatch, load_embedder
from lookalike.cli.contact_sheet import contact_sheet
from lookalike.records import Hit, ImageRecord, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import METRICS, CollectionModel
from tests.conftest import Outcome

Cli = Callable[..., Outcome]
Vectors = npt.NDArray[np.float32]

ROWS, DIM = 200, 16


def scores_by_numpy(vectors: Vectors, query: Vectors, metric: str) -> npt.NDArray[np.float64]:
    """The score of each row, from the metric's definition, in double precision."""
    rows, asked = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "L2":
        return np.asarray(((rows - asked) ** 2).sum(axis=1))
    products = rows @ asked
    if metric == "IP":
        return np.asarray(products)
    return np.asarray(products / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked))


def best_first(scores: npt.NDArray[np.float64], metric: str) -> npt.NDArray[np.intp]:
    return np.argsort(scores if metric == "L2" else -scores)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    found = np.random.default_rng(20260105).standard_normal((ROWS, DIM)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(metric: str, vectors: Vectors, tmp_path: Path) -> Iterator[MilvusStore]:
    model = CollectionModel(model="test", fingerprint="f", dim=DIM, metric=metric)
    store = MilvusStore((tmp_path / "test.db").as_posix(), "images", create=model)
    records = [
        ImageRecord(f"/{number}", "0" * 32, Stamp(1, 2), 3, 4, 0, "jpeg", vector)
        for number, vector in enumerate(vectors)
    ]
    # One half from a segment on disk and one from the table in memory: both must agree.
    store.upsert(records[::2])
    store.flush()
    store.upsert(records[1::2])
    yield store
    store.close()


def test_scores_and_order_are_those_of_brute_force(
    store: MilvusStore, metric: str, vectors: Vectors
) -> None:
    for query in (vectors[0], vectors[101], -vectors[7]):
        scores = scores_by_numpy(vectors, query, metric)
        order = best_first(scores, metric)
        hits = store.search(query, limit=ROWS)
        np.testing.assert_allclose([hit.score for hit in hits], scores[order], atol=1e-5)
        assert [hit.path for hit in hits[:20]] == [f"/{number}" for number in order[:20]]


def test_pictures_are_found_best_first_in_every_metric(
    photos: Path, tmp_path: Path, metric: str
) -> None:
    paths = sorted(path.as_posix() for path in photos.rglob("*.*"))
    vectors = load_embedder().embed_files(paths)
    with Index.open(tmp_path / "photos.db", metric=metric.lower()) as index:
        index.add(photos)
        hits = index.search(paths[4], limit=30)
        assert index.info().metric == metric
    scores = scores_by_numpy(vectors, vectors[4], metric)
    expected = dict(zip(paths, scores, strict=True))
    assert hits[0].path == paths[4]
    assert len(hits) == 30
    for hit in hits:  # bf16 sums depend a little on how batches are cut
        assert hit.score == pytest.approx(expected[hit.path], abs=0.02)
    found = [hit.score for hit in hits]
    assert found == sorted(found, reverse=metric != "L2")


def test_a_new_index_has_cosine_and_an_existing_one_keeps_what_it_has(tmp_path: Path) -> None:
    with Index.open(tmp_path / "plain.db") as index:
        assert index.info().metric == "COSINE"
    Index.open(tmp_path / "l2.db", metric="L2").close()
    for metric in (None, "l2", "L2"):
        with Index.open(tmp_path / "l2.db", metric=metric) as index:
            assert index.info().metric == "L2"
    with Index.open(tmp_path / "l2.db", model=None) as index:
        assert index.info().metric == "L2"


def test_another_metric_than_the_index_has_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    Index.open(database, metric="ip").close()
    with pytest.raises(MetricMismatch, match="made with the metric IP, but COSINE is asked") as it:
        Index.open(database, metric="cosine")
    assert (it.value.indexed, it.value.requested) == ("IP", "COSINE")
    Index.open(database).close()


@pytest.mark.parametrize("metric", ["", "HAMMING", "cos", "ip "])
def test_an_unknown_metric_is_refused_before_anything_is_made(tmp_path: Path, metric: str) -> None:
    with pytest.raises(InvalidSetting, match="must be COSINE, IP or L2"):
        Index.open(tmp_path / "new" / "photos.db", metric=metric)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "later",
    [
        CollectionModel(model="test", fingerprint="f", dim=DIM, metric="HAMMING"),
        CollectionModel(model="test", fingerprint="f", dim=DIM, version="2"),
    ],
    ids=["metric", "version"],
)
def test_a_collection_of_a_later_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: CollectionModel
) -> None:
    Index.open(tmp_path / "photos.db").close()
    monkeypatch.setattr(CollectionModel, "from_properties", lambda properties: later)
    with pytest.raises(IndexIncompatible, match=f"{later.version} and metric {later.metric}"):
        Index.open(tmp_path / "photos.db")


def test_the_metric_is_chosen_on_the_command_line(cli: Cli, photos: Path) -> None:
    assert cli("index", photos / "birds", "--metric", "L2").code == 0
    assert cli("info", "--format", "json").json["metric"] == "L2"
    path = photos / "birds" / "crow.jpg"
    best, second, *_ = cli("search", path, "--format", "json").json["hits"]
    assert best["path"] == path.as_posix()
    assert best["score"] == pytest.approx(0, abs=0.01)
    assert best["score"] < second["score"]
    assert cli("index", photos, "--metric", "l2").code == 0
    refused = cli("index", photos, "--metric", "cosine")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.count("\n") == 1
    assert "made with the metric L2, but COSINE is asked for" in refused.err
    assert cli("index", photos, "--metric", "hamming").code == 2


def test_bars_on_a_contact_sheet_are_as_long_in_every_metric(samples: Path) -> None:
    question = samples / "birds" / "crow.jpg"

    def bars(scores: list[float], metric: str) -> list[str]:
        hits = [Hit(question.as_posix(), s, "0" * 32, 1, 1, 1, None, "jpeg") for s in scores]
        return re.findall(
            r'value="([\d.]+)"', contact_sheet(hits, title="", pictures=[], metric=metric)
        )

    cosines = [1.0, 0.5, 0.0, -0.5]
    expected = ["1.000", "0.500", "0.000", "0.000"]
    assert bars(cosines, "COSINE") == bars(cosines, "IP") == expected
    assert bars([2 - 2 * cosine for cosine in cosines], "L2") == expected
