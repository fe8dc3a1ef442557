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
    """What was done: pictures `embedded`, and rows that were `unchanged` there from the beginning.

    `skipped` are those that have no row now, with the reasons.
    """

    embedded: int
    unchanged: int
    skipped: tuple[Skipped, ...]


class Rebuild:
    """Lets a new collection have a row for each of the old one's."""

    def __init__(
        self,
        old: Old,
        new: New,
        *,
        embedder: Embedder,
        settings: Settings,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Get ready.

        Args:
            old: has the rows, with the paths of the files and the user's own fields.
            new: gets them.
            embedder: makes the new vectors.
            settings: those of the run.
            on_progress: is called in this thread after every batch.
        """
        self._old, self._new = old, new
        self._embedder, self._settings = embedder, settings
        self._tell = on_progress or (lambda progress: None)
        self._embedded = self._unchanged = 0
        # A file that is older than the old row says stays so, however often it is embedded.
        self._again: dict[str, Stamp] = {}

    def follow(self) -> Rebuilt:
        """Embed what is missing, and what is written into the old one until nothing is to do.

        Returns:
            What was done since the beginning.
        """
        while True:
            turn = _Turn(self._old, self._new, self._again)
            changed, skipped = 0, []
            for done in pipeline.run(
                turn.tasks(),
                embedder=self._embedder,
                sink=self._new,
                exists=exists,
                settings=self._settings,
                public=True,
            ):
                changed += done.added + done.updated
                skipped += done.skipped
                for each in done.skipped:
                    self._again.pop(each.path, None)
                self._tell(Progress(self._embedded + changed, 0, turn.unchanged, len(skipped)))
            if not self._embedded:
                self._unchanged = turn.unchanged
            self._embedded += changed
            if not changed:
                break
        self._new.flush()
        return Rebuilt(self._embedded, self._unchanged, tuple(skipped))

    def others(self) -> int:
        """How many rows the new collection has that the old one has not."""
        return sum(
            len(page) - len(self._old.stamps([key for key, _ in page]))
            for page in self._new.paths_under(None)
        )

    def remove_others(self) -> int:
        """Remove these; returns how many."""
        return remove_others(self._old, self._new)


class _Turn:
    """Goes through all old rows once; `unchanged` are those that the new collection has."""

    def __init__(self, old: Old, new: New, again: dict[str, Stamp]) -> None:
        self._old, self._new, self._again = old, new, again
        self.unchanged = 0

    def tasks(self) -> Iterator[Task]:
        for page in self._old.paths_under(None):
            ids = [key for key, _ in page]
            there = {record.path: record for record in self._new.facts(ids)}
            fields: dict[str, Fields] = {}
            for record in self._old.facts(ids):
                known = there.get(record.path)
                if known is None or self._is_older(known, record):
                    file = ImageFile(record.path, record.stamp)
                    yield Task(file, known=known is not None, metadata=record.metadata)
                else:
                    self.unchanged += 1
                    if not metadata.same(known.metadata, record.metadata):
                        fields[record.path] = record.metadata
            metadata.rewrite(fields, self._new)

    def _is_older(self, known: ImageRecord, record: ImageRecord) -> bool:
        """Whether other bytes were read before the old row was written; once for each such row."""
        older = known.content != record.content and known.stamp.mtime_ns <= record.stamp.mtime_ns
        if not older or self._again.get(record.path) == record.stamp:
            return False
        self._again[record.path] = record.stamp
        return True
