"""Files are compared with the store, and what is new or has changed is embedded.

The same code does it in the process that scans, and in others that are handed chunks of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookalike.embed.embedder import Embedder
from lookalike.ingest import metadata, pipeline
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.plan import Task, changes, with_metadata, with_twins
from lookalike.records import Fields, ImageFile, Stamp, Twin
from lookalike.settings import Settings
from lookalike.sources.reader import Reader


class Store(pipeline.Sink, metadata.Rows, Protocol):
    """What is needed of a store to work on files."""

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]: ...  # noqa: D102
    def of_size(self, stamps: Sequence[Stamp]) -> dict[int, list[Twin]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Chunk:
    """Files that are compared with the store at once.

    `fields` has, by path, what their rows shall have of the user's own fields; a row whose path is
    not in it keeps what it has.
    """

    files: list[ImageFile]
    fields: dict[str, Fields] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is the same for all chunks of a run.

    With `checksum`, the bytes of a file tell whether it has changed, not its size and time. Without
    `may_be_known` there is no row that could be of the same bytes as a file. `database`,
    `collection` and `tenant` name the store as messages do, without anything secret.
    """

    database: str
    collection: str
    settings: Settings
    checksum: bool
    may_be_known: bool
    tenant: str | None = None


class Workers(Protocol):
    """Those who work on the chunks of a run in place of this process."""

    def work(self, chunks: Iterable[Chunk], job: Job, tell: Callable[[Committed], None]) -> None:
        """Work on all chunks; `tell` is called, in this thread, after each step of it."""


def work(
    chunks: Iterable[Chunk],
    job: Job,
    tell: Callable[[Committed], None],
    *,
    store: Store,
    embedder: Embedder,
    exists: Callable[[str], bool],
    reader: Reader | None = None,
) -> None:
    """Work on all chunks in threads of this process.

    Args:
        chunks: what to work on; iterated in this thread.
        job: what is the same for all.
        tell: is called, in this thread, after each step.
        store: has the rows.
        embedder: makes vectors.
        exists: whether there may still be a picture under a path.
        reader: reads the files, and stays open; by default one of this call alone.
    """

    def tasks() -> Iterator[Task]:
        for chunk in chunks:
            seen, changed = compare(chunk, job, store)
            tell(seen)
            yield from changed

    for committed in pipeline.run(
        tasks(),
        embedder=embedder,
        sink=store,
        exists=exists,
        settings=job.settings,
        reader=reader,
    ):
        tell(committed)


def compare(chunk: Chunk, job: Job, store: Store) -> tuple[Committed, list[Task]]:
    """Look the files up, and write those rows again that only have other fields.

    Returns:
        What that has changed, and what must be read.
    """
    changed = changes(chunk.files, store.stamps, checksum=job.checksum)
    read = {task.file.path for task in changed}
    rewritten = metadata.rewrite(
        {path: fields for path, fields in chunk.fields.items() if path not in read}, store
    )
    unchanged = len(chunk.files) - len(changed)
    seen = Committed(
        updated=rewritten,
        unchanged=unchanged - rewritten,
        known=unchanged + sum(task.known for task in changed),
    )
    changed = with_metadata(changed, chunk.fields, store.metadata)
    return seen, with_twins(changed, store.of_size) if job.may_be_known else changed
