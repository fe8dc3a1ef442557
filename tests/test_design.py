"""How collections on a server are kept: their index, what it finds, whose rows they are."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from lookalike import Index, InvalidSetting
from lookalike.errors import (
    DesignMismatch,
    DesignUnavailable,
    IndexIncompatible,
    ServerFull,
    ServerReadOnly,
    StoreError,
)
from lookalike.records import row_id
from lookalike.store import server_errors, tuning
from lookalike.store.design import CollectionDesign
from lookalike.store.designed import DesignedDatabase
from lookalike.store.effort import Curve, Effort, Point, effort_of
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Outcome
from tests.milvus_server import TOKEN, ServerAddress
from tests.test_store import record

DIM = 32
MODEL = CollectionModel(model="test", fingerprint="f", dim=DIM)
ROWS = 3000
Cli = Callable[..., Outcome]
Rows = npt.NDArray[np.float32]


@pytest.fixture
def opened(milvus_server: ServerAddress) -> Iterator[Callable[..., MilvusStore]]:
    """Opens a collection of its own on the server, as often as one likes."""
    collection = f"images_{uuid.uuid4().hex}"
    with contextlib.ExitStack() as stack:

        def open_store(**options: Any) -> MilvusStore:
            create = options.pop("create", MODEL)
            store = MilvusStore(
                milvus_server.uri, collection, create=create, token=TOKEN, **options
            )
            stack.callback(store.close)
            return store

        yield open_store


def clustered(rows: int) -> Rows:
    """Unit rows that lie a little closer around some centres."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(60, DIM))
    vectors = centres[random.integers(60, size=rows)] + 3.0 * random.normal(size=(rows, DIM))
    unit: Rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def path_of(number: int) -> str:
    return f"/photos/{number}.jpg"


def test_an_approximate_index_is_measured_tuned_and_misses_nothing_deep_down(
    opened: Callable[..., MilvusStore],
) -> None:
    """The oracle is NumPy: for recall, for pages, and for what is beyond the first pages."""
    vectors = clustered(ROWS)
    store = opened(design=CollectionDesign.of("compact"))
    assert store.design.index_type == "IVF_SQ8"  # the best of the profile that this server has
    store.upsert([record(path_of(n), vector) for n, vector in enumerate(vectors)])

    curve = tuning.tune(store, questions=20)
    assert curve
    assert (curve.rows, curve.questions, curve.parameter) == (ROWS, 20, "nprobe")
    recalls = [point.recall for point in curve.points]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.8
    assert recalls[-1] > 0.93
    tuning.keep_level(store, 0.8)
    store.close()

    for recall, least in ((None, 0.8), (0.93, 0.93)):
        again = opened(create=None, recall=recall)
        assert again.curve == curve
        assert again.effort.value == curve.enough(least).value
        found, wanted = 0, 0
        for vector in vectors[::150]:
            nearest = np.argsort(-(vectors @ vector), kind="stable")[:10]
            hits = {hit.path for hit in again.search(vector, limit=10)}
            found += len(hits & {path_of(n) for n in nearest})
            wanted += 10
        assert found / wanted > least - 0.1
        again.close()

    few = opened(create=None)
    few.effort = few.effort.with_value(1)  # looks into one of 8,192 lists
    assert len(few.search(vectors[0], limit=2000)) == 2000
    pages = [
        hit.path for at in (0, 1000, 2000) for hit in few.search(vectors[0], limit=1000, offset=at)
    ]
    assert len(set(pages)) == len(pages) == ROWS
    ranking = [key for key, _ in few.ranking(vectors[0])]
    exact = [row_id(path_of(n)) for n in np.argsort(-(vectors @ vectors[0]))]
    assert len(set(ranking[:1000]) & set(exact[:1000])) > 950  # the scores are of 8 bits
    assert few.any('path == "/photos/7.jpg"')
    assert not few.any('path == "/photos/x.jpg"')


def test_the_index_of_a_collection_can_be_made_again_as_another_profile(
    opened: Callable[..., MilvusStore],
) -> None:
    vectors = clustered(300)
    store = opened()
    assert store.design == CollectionDesign()
    assert store.effort.params(10) == {}
    store.upsert([record(path_of(n), vector) for n, vector in enumerate(vectors)])
    tuning.redesign(store, CollectionDesign.of("balanced"))
    assert (store.design.profile, store.design.index_type) == ("balanced", "HNSW")
    with pytest.raises(DesignUnavailable, match="has no index for the profile gpu, GPU_CAGRA"):
        tuning.redesign(store, CollectionDesign.of("gpu"))
    again = opened(create=None)
    assert again.design == store.design
    assert {hit.path for hit in again.search(vectors[3], limit=300)} == {
        path_of(n) for n in range(300)
    }
    tuning.redesign(again, CollectionDesign.of("small"))
    assert opened(create=None, design=CollectionDesign.of("small")).design == CollectionDesign()


def test_what_is_asked_for_must_be_what_is_there(opened: Callable[..., MilvusStore]) -> None:
    kept = CollectionDesign.of(
        index_type="hnsw", index_params='{"M": 8, "efConstruction": 64}', consistency="strong"
    )
    assert opened(design=kept).design == kept
    assert opened().design == kept
    assert opened(design=replace(kept, said=kept.said)).design == kept
    for other, message in (
        (CollectionDesign.of("balanced"), "was made with --profile explicit, but balanced"),
        (CollectionDesign.of("small"), "--profile explicit, but small"),
        (CollectionDesign.of(consistency="bounded"), "--consistency strong, but bounded"),
        (CollectionDesign.of(index_type="IVF_FLAT"), "--index-type HNSW, but IVF_FLAT"),
        (CollectionDesign.of(index_type="HNSW", index_params={"M": 9}), "--index-params"),
    ):
        with pytest.raises(DesignMismatch, match=message):
            opened(design=other)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (CollectionDesign.of("gpu"), "no index for the profile gpu, GPU_CAGRA: invalid index type"),
        (CollectionDesign.of(index_type="HNSW_SQ"), "no index for this, HNSW_SQ: invalid index"),
        (CollectionDesign.of(index_type="HNSW", index_params={"M": 9999}), "M out of range"),
        (CollectionDesign.of(replicas=3), "cannot keep 3 replicas: it has not as many query nodes"),
        (CollectionDesign.of(vectors="float16"), "runs Milvus v2.3.5.*; float16 vectors need 2.4"),
    ],
)
def test_what_a_server_cannot_do_is_said_and_leaves_nothing_behind(
    opened: Callable[..., MilvusStore], design: CollectionDesign, message: str
) -> None:
    with pytest.raises(DesignUnavailable, match=message):
        opened(design=design)
    store = opened(create=MODEL)
    assert store.design == CollectionDesign()


def test_milvus_lite_is_exact_and_says_so(cli: Cli, photos: Path, tmp_path: Path) -> None:
    database = (tmp_path / "photos.db").as_posix()
    wanted: list[dict[str, Any]] = [
        {"design": CollectionDesign.of("balanced")},
        {"design": CollectionDesign.of(mmap=True)},
        {"tenant": "anna"},
    ]
    for options in wanted:
        with pytest.raises(DesignUnavailable, match="Lite database, whose vectors are all in mem"):
            MilvusStore(database, "images", create=MODEL, **options)
        assert not (tmp_path / "photos.db").exists()
    refused = cli("index", photos, "--profile", "balanced")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert cli("index", photos / "birds", "--profile", "small").code == 0
    assert cli("tune", "--format", "json").json == {"exact": True}
    crow = photos / "birds" / "crow.jpg"
    assert "recall is 2.0, but must be above 0" in cli("search", crow, "--recall", "2").err
    with Index.open(database, create=False, recall=0.9) as index:
        assert index.tune(recall=0.9) is None
        assert len(index.search(crow, limit=3)) == 3
        with pytest.raises(DesignUnavailable):
            index.tune(profile="balanced")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "huge"}, "profile is 'huge', but must be small, balanced"),
        ({"profile": "small", "index_type": "FLAT"}, "instead of --profile"),
        ({"index_params": "{}"}, "together with --index-type"),
        ({"index_type": "HNSW", "index_params": "[1]"}, "a JSON object"),
        ({"index_type": "HNSW", "index_params": "{"}, "a JSON object"),
        ({"index_type": "a b"}, "a name like HNSW"),
        ({"replicas": 0}, "from 1 up"),
        ({"vectors": "int4"}, "float32 or float16"),
        ({"consistency": "none"}, "session, strong, bounded or eventually"),
    ],
)
def test_a_design_that_makes_no_sense_is_refused(options: Any, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        CollectionDesign.of(**options)


def test_a_design_and_a_curve_come_back_from_the_properties_and_damaged_ones_do_no_harm() -> None:
    design = CollectionDesign.of(index_type="HNSW", index_params={"M": 8}, vectors="float16")
    assert CollectionDesign.from_properties(design.to_properties()) == design
    assert CollectionDesign().to_properties() == {}
    curve = Curve("HNSW", "ef", 10, 5, (Point(16, 0.5, 1.0), Point(32, 0.9, 2.0)))
    assert Curve.from_properties(curve.to_properties()) == curve
    for damaged in ("", "null", "[]", "{", '{"points": 3}', '{"x": 1}', '{"points": []}'):
        assert Curve.from_properties({"lookalike.curve": damaged}) is None
        CollectionDesign.from_properties({"lookalike.design": damaged})
    assert design.differs(CollectionDesign()) == ("--profile", "small", "explicit")
    assert replace(design, said=()).differs(CollectionDesign()) is None  # taken over from elsewhere
    newer = {"lookalike.design": json.dumps({"profile": "disk", "index_type": "DISKANN", "x": 1})}
    assert CollectionDesign.from_properties(newer).index_type == "DISKANN"


def test_a_curve_says_how_much_is_enough() -> None:
    design = replace(CollectionDesign.of("balanced"), index_type="HNSW")
    curve = Curve("HNSW", "ef", 10, 5, (Point(16, 0.5, 1.0), Point(32, 0.96, 2.0)))
    assert effort_of(design, None, None).value == 64
    assert effort_of(design, curve, None).value == 32
    assert effort_of(design, curve, 0.4).value == 16
    assert effort_of(design, curve, 0.99).value == 32  # the most that it has
    assert curve.holds(40)
    assert not curve.holds(41)
    other = replace(design, index_type="DISKANN")
    assert effort_of(other, curve, None) == Effort("search_list", 64, 32_768)
    # A graph keeps as many nodes as there are hits, in powers of two.
    assert [Effort("ef", 32, 32_768).params(n)["ef"] for n in (10, 33, 128, 129)] == [
        32,
        64,
        128,
        256,
    ]
    assert Effort("nprobe", 4, 8).params(1000) == {"nprobe": 4}


class Shelf:
    """Keeps rows as a server with float16 vectors does; the one in the tests cannot yet."""

    shown, window = "shelf", 16_384

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def write(self, collection: str, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            assert row["vector"].dtype == np.float16
            self.rows[row["id"]] = {**row, "vector": [row["vector"].tobytes()]}

    def get(self, collection: str, ids: list[str], fields: list[str]) -> list[dict[str, Any]]:
        return [{field: self.rows[key][field] for field in fields} for key in ids]

    def search(self, collection: str, *, data: list[Any], limit: int, **_: Any) -> Any:
        assert all(vector.dtype == np.float16 for vector in data)
        stored = np.stack(
            [np.frombuffer(row["vector"][0], np.float16) for row in self.rows.values()]
        )
        whole = stored.astype(np.float64)
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        hits = []
        for vector in data:
            scores = whole @ vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))
            best = np.argsort(-scores)[:limit]
            keys = list(self.rows)
            hits.append(
                [{"id": keys[n], "distance": scores[n], "entity": {"id": keys[n]}} for n in best]
            )
        return hits


def test_vectors_of_half_the_bytes_have_the_same_scores_within_a_thousandth() -> None:
    vectors = clustered(200)
    shelf: Any = Shelf()
    halved = DesignedDatabase(shelf, tenant=None, placed=False, halves=True)
    halved.write("c", [{"id": row_id(str(n)), "vector": row} for n, row in enumerate(vectors)])
    assert all(len(row["vector"][0]) == 2 * DIM for row in shelf.rows.values())
    keys = [row_id(str(n)) for n in range(200)]
    read = np.stack([row["vector"] for row in halved.get("c", keys, ["id", "vector"])])
    assert read.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(read, vectors, atol=1e-3)
    found = halved.search("c", data=list(vectors[:9]), limit=200)
    for vector, hits in zip(vectors[:9], found, strict=True):
        scores = dict(zip(keys, vectors @ vector, strict=True))
        assert {hit["id"] for hit in hits} == set(keys)
        assert all(abs(hit["distance"] - scores[hit["id"]]) < 1e-3 for hit in hits)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (3, "memory limit exceeded", ServerFull),
        (7, "disk limit exceeded", ServerFull),
        (102, "exceeded the limit number of collections", ServerFull),
        (65535, "memory quota exceeded, please allocate more resources", ServerFull),
        (65535, "disk quota exceeded, please allocate more resources", ServerFull),
        (9, "quota exceeded[reason=access has been disabled by the administrator]", ServerReadOnly),
        (65535, "access has been disabled by the administrator", ServerReadOnly),
    ],
)
def test_a_full_or_closed_server_is_told_from_a_broken_one(
    code: int, text: str, kind: type[Exception]
) -> None:
    error = MilvusException(code=code, message=text)
    assert not server_errors.passes(error)
    mapped = server_errors.mapped("http://milvus:19530", error)
    assert type(mapped) is kind
    assert "http://milvus:19530" in str(mapped)
    assert text.partition("[")[0] in str(mapped)


def test_a_server_whose_parts_look_for_each_other_is_waited_for() -> None:
    text = (
        "attempt #0: stack trace: /milvus/pkg/tracer/stack_trace.go:51 tracer.StackTrace\n"
        "/milvus/internal/datacoord/services.go:116 datacoord.(*Server).Flush: attempt #0: rpc "
        "error: code = Unknown desc = node not match[expectedNodeID=1][actualNodeID=2]: attempt #1:"
        " session not found->datanode-1: node not found[node=1]: unrecoverable error"
    )  # as Milvus 2.3.5 said it, with fewer lines
    error = MilvusException(code=65535, message=text)
    assert server_errors.passes(error)
    assert server_errors.reason_in(error).startswith("session not found->datanode-1")


def test_an_index_that_fails_or_stands_still_is_told(
    opened: Callable[..., MilvusStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(design=CollectionDesign.of("balanced"))
    told = {"state": "InProgress", "pending_index_rows": 7}
    monkeypatch.setattr(MilvusClient, "describe_index", lambda *_, **__: told)
    monkeypatch.setattr(tuning, "STALLED_S", 0.0)
    with pytest.raises(StoreError, match=r"made no progress with the HNSW index .*; 7 rows are"):
        tuning.wait_for_index(store)
    told["state"] = "Failed"
    with pytest.raises(StoreError, match="could not make the index of"):
        tuning.wait_for_index(store)


def test_a_server_that_is_too_old_is_told_so(
    opened: Callable[..., MilvusStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MilvusClient, "get_server_version", lambda *_, **__: "v2.2.16")
    with pytest.raises(IndexIncompatible, match=r"runs Milvus v2.2.16, but lookalike needs 2.3"):
        opened()
