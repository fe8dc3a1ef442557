"""What a machine of a cluster does with chunks of files, and what the command sees of that."""

from __future__ import annotations

import dataclasses
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from lookalike import Index
from lookalike.cluster import driver
from lookalike.cluster.worker import Assignment, ChunkWorker, Numbered, Outcome, Secret
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.scan import Scan
from lookalike.ingest.work import Chunk, Job
from lookalike.owner.messages import decode, encode
from lookalike.records import ImageFile, Stamp
from lookalike.settings import Settings
from lookalike.sources import archives
from lookalike.store import server
from lookalike.store.design import CollectionDesign
from lookalike.store.milvus import MilvusStore
from lookalike.version import __version__
from tests.milvus_server import TOKEN, ServerAddress


class Elsewhere:
    """Workers that are another machine but for Ray: they open the index by themselves."""

    def work(self, chunks: Iterable[Chunk], job: Job, tell: Callable[[Committed], None]) -> None:
        """One chunk after the other."""
        with closing(ChunkWorker(assignment(job))) as worker:
            for chunk in chunks:
                for committed in outcome_of(worker, chunk).committed:
                    tell(committed)


def job_of(database: str, collection: str) -> Job:
    return Job(
        database=database,
        collection=collection,
        settings=Settings(),
        checksum=False,
        may_be_known=False,
    )


def assignment(job: Job) -> Assignment:
    return Assignment(job=job, token=Secret(TOKEN), weights=None, version=__version__)


def outcome_of(worker: ChunkWorker, chunk: Chunk, *, error: str = "") -> Outcome:
    (answer,) = worker(pa.table({"chunk": [encode(Numbered(1, chunk))]}))["outcome"]
    outcome: Outcome = decode(answer.as_py(), Outcome)
    assert outcome.error.startswith(error) if error else not outcome.error
    return outcome


@pytest.fixture
def collection() -> str:
    return f"images_{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def limit_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker, which is alone in its process else, takes Pillow's away."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)


def test_what_others_have_written_into_an_approximate_index_is_seen_and_flushed(
    milvus_server: ServerAddress, collection: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEARCHED_EXACTLY_ROWS", 30)
    with Index.open(
        milvus_server.uri,
        token=TOKEN,
        collection=collection,
        design=CollectionDesign.of("compact"),
    ) as index:
        store = index._store
        assert isinstance(store, MilvusStore)
        asked: list[tuple[str, str | None]] = []
        ask = store.raw.ask

        def heard(method: str, *args: Any, **options: Any) -> Any:
            asked.append((method, options.get("consistency_level")))
            return ask(method, *args, **options)

        monkeypatch.setattr(store.raw, "ask", heard)
        report = index.add(photos, workers=Elsewhere())
        assert (report.added, report.total, len(index)) == (30, 30, 30)
        # The index is made of what has been flushed; and the server is asked to wait for others.
        assert ("flush", None) in asked
        assert asked.count(("query", "Strong")) == 2  # before the work and behind it


def test_an_archive_is_opened_once_and_the_collection_is_the_one_of_the_run(
    milvus_server: ServerAddress, collection: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(photos.parent / "trees.zip", "w") as written:
        for path in sorted((photos / "trees").iterdir()):
            written.write(path, path.name)
    files = [item for item in Scan([photos.parent / "trees.zip"]) if isinstance(item, ImageFile)]
    opened: list[str] = []
    real = archives.open_archive

    def counted(path: str, **options: Any) -> archives.Archive:
        opened.append(path)
        return real(path, **options)

    monkeypatch.setattr(archives, "open_archive", counted)
    uri = milvus_server.uri
    with (
        Index.open(uri, token=TOKEN, collection=f"{collection}__00000000") as other,
        Index.open(uri, token=TOKEN, collection=collection) as index,
    ):
        job = job_of(index.database, collection)
        store = index._store
        assert isinstance(store, MilvusStore)
        # After the command has opened it, another takes its place.
        store.versions.use(f"{collection}__00000000")
        with closing(ChunkWorker(assignment(job))) as worker:
            for file in files:
                _, row = outcome_of(worker, Chunk([file])).committed
                assert row.added == 1
        store.others_wrote(len(files))
        assert (len(index), len(other)) == (6, 0)
    assert len(opened) == 1


@pytest.fixture
def worker(milvus_server: ServerAddress, collection: str) -> Iterator[ChunkWorker]:
    """One whose index is empty."""
    with Index.open(milvus_server.uri, token=TOKEN, collection=collection) as index:
        job = job_of(index.database, collection)
        with closing(ChunkWorker(assignment(job))) as opened:
            yield opened


def test_a_machine_without_the_folder_of_the_pictures_does_not_skip_all_of_them(
    worker: ChunkWorker,
) -> None:
    files = [ImageFile(f"/not/there/{number}.jpg", Stamp(1, 1)) for number in range(16)]
    told = outcome_of(worker, Chunk(files), error="None of 16 files is there")
    assert "/not/there/0.jpg" in told.error
    assert "Mount" in told.error
    few = outcome_of(worker, Chunk(files[:15]))
    assert [len(step.skipped) for step in few.committed if step.skipped] == [15]


def test_a_picture_above_pillows_own_limit_is_indexed_as_by_the_command(
    worker: ChunkWorker, photos: Path
) -> None:
    (file,) = (item for item in Scan([photos / "birds" / "crow.jpg"]) if not isinstance(item, str))
    assert isinstance(file, ImageFile)
    assert sum(step.added for step in outcome_of(worker, Chunk([file])).committed) == 1


def test_what_nobody_has_foreseen_is_told_by_its_name(
    worker: ChunkWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise KeyError("one\ntwo")

    monkeypatch.setattr("lookalike.cluster.worker.work", fail)
    assert outcome_of(worker, Chunk([]), error="Unexpected KeyError: 'one").kind == "KeyError"


def test_what_ray_keeps_of_the_orders_has_no_token() -> None:
    job = job_of("http://milvus:1", "images")
    told = Assignment(job=job, token=Secret("root:password"), weights=None, version="1")
    for text in (repr(told), str(dataclasses.asdict(told))):
        assert "images" in text
        assert "password" not in text


@pytest.mark.parametrize(
    ("device", "gpus", "there"),
    [("cuda:1", 1, "cuda"), ("cuda", 1, "cuda"), ("cpu", 0, "cpu"), ("auto", 0, "cpu")],
)
def test_a_worker_has_its_own_gpu_as_the_first_or_none(device: str, gpus: int, there: str) -> None:
    settings = driver.for_worker(Settings(device=device, max_pixels=5), 3, gpus)
    assert (settings.device, settings.threads, settings.max_pixels) == (there, 3, 5)
