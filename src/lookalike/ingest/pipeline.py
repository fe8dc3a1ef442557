"""Read, decode ahead, batch, embed, upsert. The concurrency of indexing lives here.

    scan → plan ──(one thread: the caller's)
             ↓ tasks
        read, decode, prepare ──(a thread for each core)
             ↓ prepared pictures, in order, in batches; vectors that are known are taken over
           embed ──(a thread for each core; one model stream each)
             ↓ rows
           upsert ──(one thread)
             ↓ outcomes, in order, to the caller

Each stage runs ahead of the next by a bounded number of items, so that memory does not depend on
the number of pictures and no core waits while another stage has work.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from lookalike.decode import Facts, decode
from lookalike.embed.embedder import Embedder
from lookalike.errors import PictureDamaged, PictureError, PictureUnreadable
from lookalike.ingest.ahead import Impatient, ahead, batched
from lookalike.ingest.metadata import same
from lookalike.ingest.plan import Task
from lookalike.perceptual import perceptual_hash
from lookalike.records import ImageRecord, Pixels, Skipped, Stamp, row_id
from lookalike.settings import Settings
from lookalike.sources.reader import Reader
from lookalike.tracing import Lap

A = TypeVar("A")
B = TypeVar("B")

DECODED_BATCHES_AHEAD = 4


class Sink(Protocol):
    """Where rows go, and where those of the same bytes are."""

    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def delete(self, ids: list[str]) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Committed:
    """What one step changed in the store; it has been written when this is seen.

    `known` are files that were seen to have a row, of whatever state. `sources` are the ids of rows
    whose vectors added rows took over, and the ids of these. `laps` are None where no pictures
    were worked on.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    known: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    laps: Laps | None = None


@dataclass(frozen=True, slots=True)
class Laps:
    """When a batch was worked on; `decode` has one for each picture, of which `embedded` were."""

    decode: list[Lap]
    embed: Lap
    write: Lap
    embedded: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    task: Task
    stamp: Stamp
    content: str
    facts: Facts
    pixels: Pixels
    phash: str


@dataclass(frozen=True, slots=True)
class _Known:
    """A file of the same bytes as a row's: `record` is what its own row shall be."""

    task: Task
    record: ImageRecord
    twin: ImageRecord

    @property
    def is_news(self) -> bool:
        """Whether the row must be written."""
        one, other = self.record, self.twin
        unchanged = (one.path, one.stamp) == (other.path, other.stamp)
        return not (unchanged and same(one.metadata, other.metadata))


@dataclass(frozen=True, slots=True)
class _Failed:
    task: Task
    error: PictureError


_Done = _Prepared | _Known | _Failed


@dataclass(frozen=True, slots=True)
class _Timed(Generic[B]):
    result: B
    lap: Lap


@dataclass(frozen=True, slots=True)
class _Embedded:
    records: list[ImageRecord]
    decode: list[Lap]
    done: list[_Prepared] = field(default_factory=list)
    known: list[_Known] = field(default_factory=list)
    failed: list[_Failed] = field(default_factory=list)


def run(
    tasks: Iterable[Task],
    *,
    embedder: Embedder,
    sink: Sink,
    exists: Callable[[str], bool],
    settings: Settings,
    public: bool = False,
    reader: Reader | None = None,
) -> Iterator[Committed]:
    """Do the `tasks`; yields after each batch has been committed, in order.

    `exists` tells whether there may still be a picture under a path, and `public` is as in
    `Reader`. A `reader` that is given stays open, for other runs to go on with its archives.
    Closing the iterator, or an exception in the caller, stops all threads: what waits is dropped,
    what is being written is finished.
    """
    own = reader is None
    reader = reader or Reader.of(settings, public=public)

    def fetching() -> Iterator[Task]:
        for task in tasks:
            reader.expect(task.file)
            yield task

    def prepare(task: Task) -> _Done:
        path = task.file.path
        try:
            data, stamp = reader.read(path)
            content = content_of(data)
            if twin := _twin(task, content, sink):
                return _known(task, twin, stamp, exists)
            picture = decode(data, path=path, least=embedder.least, max_pixels=settings.max_pixels)
        except PictureError as error:
            return _Failed(task, error)
        pixels = embedder.prepare(picture.image)
        phash = perceptual_hash(pixels)
        return _Prepared(task, stamp, content, picture.facts, pixels, phash)

    def too_long(task: Task) -> _Timed[_Done]:
        return _Timed(_slow(task, settings), Lap.until_now(settings.max_seconds))

    def embed(batch: list[_Timed[_Done]]) -> _Embedded:
        items = [each.result for each in batch]
        done = [item for item in items if isinstance(item, _Prepared)]
        known = [item for item in items if isinstance(item, _Known)]
        failed = [item for item in items if isinstance(item, _Failed)]
        records = [item.record for item in known if item.is_news]
        if done:
            vectors = embedder.embed(np.stack([item.pixels for item in done]))  # (n, dim)
            records += [_record(item, vector) for item, vector in zip(done, vectors, strict=True)]
        return _Embedded(records, [each.lap for each in batch], done, known, failed)

    def commit(embedded: _Timed[_Embedded]) -> Committed:
        batch, began_ns = embedded.result, time.time_ns()
        sink.upsert(batch.records)
        # A file that has become unusable must not be found by what it once was. One that cannot
        # be read may be as it was, so its row stays.
        stale = [
            row_id(item.task.file.path)
            for item in batch.failed
            if item.task.known and isinstance(item.error, PictureDamaged)
        ]
        sink.delete(stale)
        written = [item.task for item in batch.done]
        written += [item.task for item in batch.known if item.is_news]
        updated = sum(task.known for task in written)
        return Committed(
            added=len(written) - updated,
            updated=updated,
            unchanged=len(batch.done) + len(batch.known) - len(written),
            removed=len(stale),
            sources={
                row_id(item.twin.path): row_id(item.record.path)
                for item in batch.known
                if not item.task.known
            },
            skipped=[Skipped(item.error.path, item.error.reason) for item in batch.failed],
            laps=Laps(batch.decode, embedded.lap, Lap.since(began_ns), len(batch.done)),
        )

    workers = settings.workers
    batch_size = settings.batch_size or embedder.batch_size
    decoders = Impatient(workers, "lookalike-decode", settings.max_seconds)
    embedders = ThreadPoolExecutor(workers, "lookalike-embed")
    writer = ThreadPoolExecutor(1, "lookalike-write")
    try:
        prepared = decoders.ahead(
            _timed(prepare),
            fetching(),
            DECODED_BATCHES_AHEAD * batch_size,
            otherwise=too_long,
            ready=lambda task: reader.wait_for(task.file.path),
        )
        batches = batched(prepared, batch_size)
        embedded = ahead(embedders, _timed(embed), batches, workers + 2)
        yield from ahead(writer, commit, embedded, 2)
    finally:
        # A decoder may be busy for seconds with a giant that nobody wants any more.
        decoders.leave()
        for pool in (embedders, writer):
            pool.shutdown(cancel_futures=True)
        if own:
            reader.close()


def _timed(work: Callable[[A], B]) -> Callable[[A], _Timed[B]]:
    """The same, with when it was done."""

    def timed(item: A) -> _Timed[B]:
        began_ns = time.time_ns()
        result = work(item)
        return _Timed(result, Lap.since(began_ns))

    return timed


def content_of(data: bytes) -> str:
    """BLAKE2b-128 of a file's bytes, in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _slow(task: Task, settings: Settings) -> _Failed:
    reason = (
        f"reading and decoding it took more than {settings.max_seconds} s (LOOKALIKE_MAX_SECONDS)"
    )
    return _Failed(task, PictureUnreadable(task.file.path, reason))


def _twin(task: Task, content: str, sink: Sink) -> ImageRecord | None:
    """A row of the same bytes, the file's own if that is one."""
    twins = [twin for twin in task.twins if twin.content == content]
    for twin in sorted(twins, key=lambda twin: twin.path != task.file.path):
        for record in sink.records([twin.id]):
            if record.content == content:  # It may have been written since it was looked up.
                return record
    return None


def _known(task: Task, twin: ImageRecord, stamp: Stamp, exists: Callable[[str], bool]) -> _Known:
    metadata = task.metadata
    if metadata is None:  # A moved picture takes its fields along, a copy does not.
        metadata = {} if exists(twin.path) else twin.metadata
    record = replace(twin, path=task.file.path, stamp=stamp, metadata=metadata)
    return _Known(task, record, twin)


def _record(item: _Prepared, vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> ImageRecord:
    facts = item.facts
    return ImageRecord(
        path=item.task.file.path,
        content=item.content,
        stamp=item.stamp,
        width=facts.width,
        height=facts.height,
        taken_at=facts.taken_at,
        format=facts.format,
        vector=vector,
        animated=facts.animated,
        phash=item.phash,
        metadata=item.task.metadata or {},
    )
