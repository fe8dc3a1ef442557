"""The rows of one collection are embedded again, into another.

They themselves say what there is to do, so a run that was killed goes on where it was: what the new
collection has is not embedded again. The files are read where the rows say that they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.embed.embedder import Embedder
from lookalike.exchange.copying import remove_others
from lookalike.ingest import metadata, pipeline
from lookalike.ingest.plan import Task
from lookalike.records import Fields, ImageFile, ImageRecord, Progress, Skipped, Stamp
from lookalike.settings import Settings
from lookalike.sources.names import exists


class Old(Protocol):
    """Where the rows are."""

    def facts(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]: ...  # noqa: D102
    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102


class New(Old, pipeline.Sink, metadata.Rows, Protocol):
    """Where they go."""

    def flush(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done: pictures `embedded`, and rows that were there already or have gone since.

    `skipped` are those that have no row now, with the reasons.
    """

    embedded: int
    unchanged: int
    removed: int
    skipped: tuple[Skipped, ...]


def rebuild(
    old: Old,
    new: New,
    *,
    embedder: Embedder,
    settings: Settings,
    on_progress: Callable[[Progress], None] | None = None,
) -> Rebuilt:
    """Let the new collection have a row for each of the old one's, and no others.

    What is written into the old one meanwhile is followed: it ends when there is nothing to do.

    Args:
        old: has the rows, with the paths of the files and the user's own fields.
        new: gets them.
        embedder: makes the new vectors.
        settings: those of the run.
        on_progress: is called in this thread after every batch.
    """
    tell = on_progress or (lambda progress: None)
    embedded = unchanged = 0
    while True:
        turn = _Turn(old, new)
        changed, skipped = 0, []
        for done in pipeline.run(
            turn.tasks(), embedder=embedder, sink=new, exists=exists, settings=settings, public=True
        ):
            changed += done.added + done.updated
            skipped += done.skipped
            tell(Progress(embedded + changed, 0, turn.unchanged, len(skipped)))
        if not embedded:
            unchanged = turn.unchanged
        embedded += changed
        if not changed:
            break
    removed = remove_others(old, new)
    new.flush()
    return Rebuilt(embedded, unchanged, removed, tuple(skipped))


class _Turn:
    """Goes through all old rows once; `unchanged` are those that the new collection has."""

    def __init__(self, old: Old, new: New) -> None:
        self._old, self._new = old, new
        self.unchanged = 0

    def tasks(self) -> Iterator[Task]:
        for page in self._old.paths_under(None):
            ids = [key for key, _ in page]
            there = {record.path: record for record in self._new.facts(ids)}
            fields: dict[str, Fields] = {}
            for record in self._old.facts(ids):
                known = there.get(record.path)
                if known is None or _is_older(known, record):
                    file = ImageFile(record.path, record.stamp)
                    yield Task(file, known=known is not None, metadata=record.metadata)
                else:
                    self.unchanged += 1
                    if not metadata.same(known.metadata, record.metadata):
                        fields[record.path] = record.metadata
            metadata.rewrite(fields, self._new)


def _is_older(known: ImageRecord, record: ImageRecord) -> bool:
    """Whether the file was read before the old row was written; it may have changed since both."""
    return known.stamp != record.stamp and known.stamp.mtime_ns <= record.stamp.mtime_ns
