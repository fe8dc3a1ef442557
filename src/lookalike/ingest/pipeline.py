"""Read, decode ahead, batch, embed, upsert. All concurrency of the package lives here.

    scan → plan ──(one thread: the caller's)
             ↓ tasks
        read, decode, prepare ──(a thread for each core)
             ↓ prepared pictures, in order, in batches
           embed ──(a thread for each core; one model stream each)
             ↓ rows
           upsert ──(one thread)
             ↓ outcomes, in order, to the caller

Each stage runs ahead of the next by a bounded number of items, so that memory does not depend on
the number of pictures and no core waits while another stage has work.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from lookalike.decode import Facts, decode, read_file
from lookalike.embed.embedder import Embedder
from lookalike.errors import PictureDamaged, PictureError
from lookalike.ingest.plan import Task
from lookalike.records import ImageRecord, Pixels, Skipped, Stamp, row_id
from lookalike.settings import Settings

DECODED_BATCHES_AHEAD = 4

A = TypeVar("A")
B = TypeVar("B")


class Sink(Protocol):
    """Where rows go."""

    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def delete(self, ids: list[str]) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Committed:
    """What one batch changed in the store; it has been written when this is seen."""

    added: int
    updated: int
    removed: int
    skipped: list[Skipped]


@dataclass(frozen=True, slots=True)
class _Prepared:
    task: Task
    stamp: Stamp
    content: str
    facts: Facts
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class _Failed:
    task: Task
    error: PictureError


@dataclass(frozen=True, slots=True)
class _Embedded:
    done: list[_Prepared]
    records: list[ImageRecord]
    failed: list[_Failed]


def run(
    tasks: Iterable[Task], *, embedder: Embedder, sink: Sink, settings: Settings
) -> Iterator[Committed]:
    """Do the `tasks`; yields after each batch has been committed, in order.

    Closing the iterator, or an exception in the caller, stops all threads: what waits is dropped,
    what is being written is finished.
    """

    def prepare(task: Task) -> _Prepared | _Failed:
        path = task.file.path
        try:
            data, stamp = read_file(path, max_bytes=settings.max_bytes)
            content = hashlib.blake2b(data, digest_size=16).hexdigest()
            picture = decode(data, path=path, least=embedder.least, max_pixels=settings.max_pixels)
        except PictureError as error:
            return _Failed(task, error)
        return _Prepared(task, stamp, content, picture.facts, embedder.prepare(picture.image))

    def embed(batch: list[_Prepared | _Failed]) -> _Embedded:
        done = [item for item in batch if isinstance(item, _Prepared)]
        failed = [item for item in batch if isinstance(item, _Failed)]
        if not done:
            return _Embedded([], [], failed)
        vectors = embedder.embed(np.stack([item.pixels for item in done]))  # (n, dim)
        records = [_record(item, vector) for item, vector in zip(done, vectors, strict=True)]
        return _Embedded(done, records, failed)

    def commit(batch: _Embedded) -> Committed:
        sink.upsert(batch.records)
        # A file that has become unusable must not be found by what it once was. One that cannot
        # be read may be as it was, so its row stays.
        stale = [
            row_id(item.task.file.path)
            for item in batch.failed
            if item.task.known and isinstance(item.error, PictureDamaged)
        ]
        sink.delete(stale)
        updated = sum(item.task.known for item in batch.done)
        return Committed(
            added=len(batch.done) - updated,
            updated=updated,
            removed=len(stale),
            skipped=[Skipped(item.error.path, item.error.reason) for item in batch.failed],
        )

    workers = settings.workers
    batch_size = settings.batch_size or embedder.batch_size
    decoders = ThreadPoolExecutor(workers, "lookalike-decode")
    embedders = ThreadPoolExecutor(workers, "lookalike-embed")
    writer = ThreadPoolExecutor(1, "lookalike-write")
    try:
        ahead = DECODED_BATCHES_AHEAD * batch_size
        prepared = _ahead(decoders, prepare, tasks, ahead)
        batches = _batched(prepared, batch_size)
        embedded = _ahead(embedders, embed, batches, workers + 2)
        yield from _ahead(writer, commit, embedded, 2)
    finally:
        # A decoder may be busy for seconds with a giant that nobody wants any more.
        for pool in (decoders, embedders, writer):
            pool.shutdown(wait=pool is not decoders, cancel_futures=True)


def _ahead(pool: Executor, work: Callable[[A], B], items: Iterable[A], depth: int) -> Iterator[B]:
    """The results of `work`, in order, while up to `depth` items are under way."""
    pending: deque[Future[B]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batched(items: Iterable[A], size: int) -> Iterator[list[A]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch


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
        metadata=item.task.metadata,
    )
