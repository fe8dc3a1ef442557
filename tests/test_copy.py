"""A copy has every row as it was, and a copy that was interrupted is completed by another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import (
    CollectionDesign,
    CopyDiffers,
    CopyIncomplete,
    CopyProgress,
    ExportUnusable,
    Index,
    IndexNotFound,
    InvalidSetting,
    LookalikeError,
    ModelMismatch,
    ServerLost,
    Settings,
    TenantMismatch,
)
from lookalike.exchange import copying
from lookalike.exchange.checking import Sample
from lookalike.records import ImageRecord, row_id
from lookalike.store.milvus import MilvusStore
from tests.conftest import Outcome, Place
from tests.milvus_server import TOKEN, ServerAddress
from tests.test_exchange import MODEL, RECORDS, Rows, exactly, record
from tests.test_served import served

Cli = Callable[..., Outcome]
ROWS = 1500  # several pages


def filled(database: Path, records: list[ImageRecord]) -> Path:
    store = MilvusStore(database.as_posix(), "images", create=MODEL)
    store.upsert(records)
    store.flush()
    store.close()
    return database


def small(number: int) -> ImageRecord:
    return replace(record(number), metadata={"label": number % 3})


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of several pages, not to be changed."""
    return filled(tmp_path_factory.mktemp("many") / "many.db", [small(n) for n in range(ROWS)])


def rows_of(place: Place) -> list[ImageRecord]:
    store = place.open(None)
    try:
        return [each for page in store.scan() for each in page]
    finally:
        store.close()


def into(place: Place, source: Path, **options: Any) -> Any:
    return Index.copy(
        source, place.database, to_token=place.token, to_collection=place.collection, **options
    )


@pytest.mark.timeout(300)
def test_a_copy_on_a_server_finds_the_same_for_every_sample_picture(
    cli: Cli, samples: Path, tmp_path: Path, milvus_server: ServerAddress
) -> None:
    local, collection = tmp_path / "photos.db", f"copy_{os.getpid()}"
    to_server = ("copy", local, milvus_server.uri, "--to-collection", collection)
    pictures = sorted(samples.glob("*/*.*"))
    with Index.open(local) as index:
        total = index.add(samples).total
        expected = index.search_many(pictures)
    done = cli(*to_server, "--to-token", TOKEN)
    assert done.code == 0, done.err
    assert done.out == (
        f"{total} of {total} rows written, {total} compared; {total} in {milvus_server.uri}\n"
    )
    with Index.open(milvus_server.uri, token=TOKEN, collection=collection) as index:
        found = index.search_many(pictures)
        assert index.add(samples).unchanged == total
    for ours, theirs in zip(found, expected, strict=True):
        assert [replace(hit, score=0) for hit in ours] == [replace(hit, score=0) for hit in theirs]
        np.testing.assert_allclose(
            [hit.score for hit in ours], [hit.score for hit in theirs], atol=1e-3
        )
    again = cli(*to_server, "--format", "json", LOOKALIKE_TOKEN=TOKEN).json
    assert (again["rows"], again["written"], again["total"]) == (total, 0, total)


def test_every_bit_of_every_row_arrives_by_every_way(
    tmp_path: Path, milvus_server: ServerAddress
) -> None:
    place = Place(milvus_server.uri, f"bits_{os.getpid()}", TOKEN)
    local = filled(tmp_path / "a.db", RECORDS)
    assert into(place, local).written == len(RECORDS)
    assert exactly(rows_of(place)) == exactly(RECORDS)
    way: list[Path] = [tmp_path / name for name in ("b.parquet", "c.npy", "d", "e.db")]
    first = Index.copy(place.database, way[0], token=place.token, collection=place.collection)
    assert (first.rows, first.written, first.checked) == (len(RECORDS),) * 3
    for source, target in itertools.pairwise(way):
        told: list[CopyProgress] = []
        report = Index.copy(source, target, on_progress=told.append)
        assert (report.rows, report.checked, report.total) == (len(RECORDS),) * 3
        assert (told[-1].done, told[-1].total) == (len(RECORDS),) * 2
    assert exactly(rows_of(Place(str(way[-1]), "images", None))) == exactly(RECORDS)


def test_a_copy_for_a_tenant_is_of_that_tenants_rows_and_kept_as_its_source(
    tmp_path: Path, milvus_server: ServerAddress
) -> None:
    local, shared = filled(tmp_path / "a.db", RECORDS), f"shared_{os.getpid()}"
    design = CollectionDesign.of("balanced")
    uri: Any = milvus_server.uri
    to: dict[str, Any] = {"to_token": TOKEN, "to_collection": shared}
    Index.copy(local, uri, to_tenant="anna", design=design, **to)
    with pytest.raises(TenantMismatch, match=r"whose rows are meant: --to-tenant\.$"):
        Index.copy(local, uri, **to)
    few = filled(tmp_path / "b.db", RECORDS[:3])
    assert Index.copy(few, uri, to_tenant="berta", exact=True, **to).total == 3
    source: dict[str, Any] = {"token": TOKEN, "collection": shared}
    moved = f"moved_{os.getpid()}"
    report = Index.copy(
        uri, uri, tenant="anna", to_tenant="clara", **source, to_token=TOKEN, to_collection=moved
    )
    assert (report.rows, report.total) == (len(RECORDS),) * 2
    for collection, tenant, rows in (
        (shared, "anna", RECORDS), (shared, "berta", RECORDS[:3]), (moved, "clara", RECORDS),
    ):  # fmt: skip
        store = MilvusStore(uri, collection, create=None, token=TOKEN, tenant=tenant)
        with contextlib.closing(store):
            assert store.design.index_type == "HNSW"
            assert exactly([each for page in store.scan() for each in page]) == exactly(rows)
    for options in ({"tenant": "anna"}, {}):
        with pytest.raises((TenantMismatch, InvalidSetting)):
            Index.copy(uri, tmp_path / "c.db", **source, to_tenant=options.get("tenant"))
    assert not (tmp_path / "c.db").exists()


def test_only_what_is_missing_or_different_is_written(place: Place, tmp_path: Path) -> None:
    source = filled(tmp_path / "a.db", RECORDS)
    changed = [
        replace(RECORDS[0], metadata={"whole": 1.0}),
        replace(RECORDS[1], content="f" * 32),
        replace(RECORDS[2], phash="f" * 16),
    ]
    other = small(1000)
    store = place.open(MODEL)
    store.upsert([*changed, *RECORDS[3:20], other])
    store.close()
    report = into(place, source)
    assert (report.rows, report.written, report.removed, report.total) == (40, 3 + 20, 0, 41)
    assert exactly(rows_of(place)) == exactly([*RECORDS, other])
    report = into(place, source, exact=True)
    assert (report.written, report.removed, report.total) == (0, 1, 40)
    # Of a row that seems to be there, the vector is not looked at, but for some at the end.
    store = place.open(None)
    store.upsert([replace(RECORDS[7], vector=np.roll(RECORDS[7].vector, 1))])
    store.close()
    with pytest.raises(CopyDiffers, match=r"off\. Run the same command again with --rewrite") as e:
        into(place, source)
    assert RECORDS[7].path in str(e.value)
    assert into(place, source, rewrite=True).written == 40
    assert exactly(rows_of(place)) == exactly(RECORDS)


KILLED = """
import os, signal, sys
from lookalike import Index
source, target, token, collection = sys.argv[1:]
def kill(progress):
    if progress.written > 400:
        os.kill(os.getpid(), signal.SIGKILL)
Index.copy(source, target, to_token=token or None, to_collection=collection, on_progress=kill)
"""


def test_a_copy_that_was_killed_is_completed_by_another(place: Place, many: Path) -> None:
    arguments = [str(many), place.database, place.token or "", place.collection]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    there = len(rows_of(place))
    assert 400 < there < ROWS
    report = into(place, many)
    assert (report.rows, report.written, report.total) == (ROWS, ROWS - there, ROWS)
    assert report.checked == 1000
    assert exactly(rows_of(place)) == exactly([small(number) for number in range(ROWS)])


@contextlib.contextmanager
def forwarded(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """A port that leads to another, and what ends that at once."""
    loop = asyncio.new_event_loop()
    writers: list[asyncio.StreamWriter] = []
    listener: list[asyncio.Server] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, inner[1]))
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    async def begin() -> int:
        listener.append(await asyncio.start_server(relay, "127.0.0.1", 0))
        return int(listener[0].sockets[0].getsockname()[1])

    async def end() -> None:
        listener[0].close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.1)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        outer = asyncio.run_coroutine_threadsafe(begin(), loop).result()
        yield outer, lambda: asyncio.run_coroutine_threadsafe(end(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_target_that_goes_away_in_the_middle_loses_nothing(
    many: Path, milvus_server: ServerAddress
) -> None:
    collection = f"lost_{os.getpid()}"
    place = Place(milvus_server.uri, collection, TOKEN)
    with forwarded(milvus_server.port) as (port, cut):

        def on_progress(progress: CopyProgress) -> None:
            if progress.written > 400:
                cut()

        through = replace(place, database=f"http://127.0.0.1:{port}")
        with pytest.raises(ServerLost, match="Everything committed so far is kept; run the same"):
            into(through, many, on_progress=on_progress, settings=Settings(server_wait_s=1))
    there = len(rows_of(place))
    assert 400 < there < ROWS
    assert into(place, many).written <= ROWS - there
    assert exactly(rows_of(place)) == exactly([small(number) for number in range(ROWS)])


def test_what_cannot_be_copied_is_said_and_changes_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, empty = filled(tmp_path / "a.db", RECORDS), filled(tmp_path / "empty.db", [])
    other = MilvusStore("other.db", "images", create=replace(MODEL, fingerprint="0" * 32))
    other.close()

    def fails(kind: type[LookalikeError], text: str, *places: object, **options: Any) -> None:
        with pytest.raises(kind, match=text) as caught:
            Index.copy(*map(str, places), **options)
        assert "\n" not in str(caught.value)

    fails(InvalidSetting, "another than the source", source, "a.db")
    (tmp_path / "link.db").symlink_to(source)
    fails(InvalidSetting, "another than the source", source, "link.db")
    fails(InvalidSetting, "another than the source", "http://a:b@x", "http://x/")
    fails(ModelMismatch, "Nothing was changed; copy it into another database", source, "other.db")
    fails(IndexNotFound, "no index", "nothing.db", "new.db")
    fails(ExportUnusable, "no such file", "nothing.parquet", "new.db")
    fails(InvalidSetting, "must be FILE.parquet", source, "new.csv")
    fails(InvalidSetting, "one of both is an export", source, "new.parquet", exact=True)
    fails(InvalidSetting, "left out where the source has no rows", empty, source, exact=True)
    assert not {path.name for path in tmp_path.iterdir()} & {"new.db", "new.csv", "new.parquet"}
    assert len(rows_of(Place(str(source), "images", None))) == len(RECORDS)
    line = cli("copy", source, "other.db")
    assert (line.code, line.out, line.err.count("\n")) == (1, "", 1)
    # An empty one is copied as such; so is a second collection of one database.
    assert Index.copy(empty, "new.db").total == 0
    assert Index.copy(source, source, to_collection="second").total == len(RECORDS)


def test_a_database_that_a_server_has_open_is_copied_through_it(tmp_path: Path) -> None:
    with Index.open(tmp_path / "a.db") as index, served(index):
        dim = index.info().dim
        vectors = np.eye(dim, dtype=np.float32)
        records = [replace(each, vector=vectors[n]) for n, each in enumerate(RECORDS)]
        index._store.upsert(records)
        assert Index.copy(tmp_path / "a.db", tmp_path / "b.db").total == len(RECORDS)
        index._store.delete([row_id(RECORDS[0].path)])
        report = Index.copy(tmp_path / "b.db", tmp_path / "a.db")
        assert (report.written, report.total) == (1, len(RECORDS))
    assert exactly(rows_of(Place(f"{tmp_path}/b.db", "images", None))) == exactly(records)


class Careless(Rows):
    """A store in memory that loses or changes the rows it is given."""

    database = "careless.db"

    def __init__(self, spoil: Callable[[ImageRecord], ImageRecord | None]) -> None:
        super().__init__([])
        self._spoil = spoil

    def upsert(self, records: list[ImageRecord]) -> None:
        super().upsert([kept for each in records if (kept := self._spoil(each)) is not None])

    def records(self, ids: list[str]) -> list[ImageRecord]:
        return [row for row in self.rows.values() if row_id(row.path) in ids]


def test_rows_that_do_not_arrive_as_they_were_are_found_and_named() -> None:
    lost = RECORDS[11]

    def spoiled(**changes: Any) -> Any:
        return Careless(lambda each: replace(each, **changes) if each is lost else each)

    with pytest.raises(CopyIncomplete, match=r"careless\.db has 39 rows .* must have 40"):
        copying.copy(Rows(RECORDS), Careless(lambda each: None if each is lost else each))  # type: ignore[arg-type]
    half = lost.vector.astype(np.float16).astype(np.float32)
    assert copying.copy(Rows(RECORDS), spoiled(vector=half)).checked == 40
    spoilt: list[dict[str, Any]] = [
        {"vector": np.full(8, np.nan, np.float32)},
        {"vector": lost.vector + np.float32(2e-3)},
        {"vector": np.zeros(9, np.float32)},
        {"width": 7},
        {"metadata": {}},
        {"path": "/elsewhere.jpg"},
    ]
    for changes in spoilt:
        with pytest.raises(CopyDiffers) as caught:
            copying.copy(Rows(RECORDS), spoiled(**changes))
        assert caught.value.path == lost.path


def test_every_row_has_the_same_chance_to_be_compared() -> None:
    times = np.zeros(40)
    for seed in range(400):
        sample = Sample(10, seed=seed)
        for start in range(0, 40, 7):
            sample.see(RECORDS[start : start + 7])
        assert len(set(sample.ids)) == 10
        times += np.isin([row_id(each.path) for each in RECORDS], sample.ids)
    # 100 each on average, with a standard deviation of 8.7.
    assert (np.abs(times - 100) < 45).all()
