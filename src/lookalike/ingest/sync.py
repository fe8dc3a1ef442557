"""Makes the rows of some folders match what lies in them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookalike.embed.embedder import Embedder
from lookalike.ingest import metadata, pipeline
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.plan import Task, changes, is_gone, with_metadata
from lookalike.ingest.scan import Scan
from lookalike.records import (
    Fields,
    ImageFile,
    IndexReport,
    Progress,
    Skipped,
    Stamp,
)
from lookalike.settings import Settings

PLANNED_FILES = 1000


class Store(pipeline.Sink, metadata.Rows, Protocol):
    """What syncing needs of a store."""

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]: ...  # noqa: D102
    def count(self) -> int: ...  # noqa: D102
    def paths_under(self, folder: str) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


@dataclass
class _Tally:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    known_rows: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def count(self, committed: Committed) -> None:
        self.added += committed.added
        self.updated += committed.updated
        self.removed += committed.removed
        self.skipped += committed.skipped

    def progress(self) -> Progress:
        return Progress(self.added, self.updated, self.unchanged, len(self.skipped))


def sync(
    scan: Scan,
    *,
    store: Store,
    embedder: Embedder,
    settings: Settings,
    fields_of: Callable[[str], Fields | None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Add what is new, update what has changed, remove what is gone; safe to kill at any moment.

    `fields_of` tells what a path's row shall have of the user's own fields, and is asked once for
    each; where it is None or says None, a row keeps what it has. `on_progress` is called in this
    thread after every commit, and while unchanged files pass by.
    """
    started = time.perf_counter()
    tally = _Tally()
    report_progress = on_progress or (lambda progress: None)

    def tasks() -> Iterator[Task]:
        for found in _chunks(scan, PLANNED_FILES):
            files = [item for item in found if isinstance(item, ImageFile)]
            tally.skipped += [item for item in found if isinstance(item, Skipped)]
            changed = changes(files, store.stamps)
            given = _given(files, fields_of)
            embedded = {task.file.path for task in changed}
            rewritten = metadata.rewrite(
                {path: fields for path, fields in given.items() if path not in embedded}, store
            )
            tally.updated += rewritten
            tally.unchanged += len(files) - len(changed) - rewritten
            tally.known_rows += rewritten + sum(task.known for task in changed)
            report_progress(tally.progress())
            yield from with_metadata(changed, given, store.metadata)

    for committed in pipeline.run(tasks(), embedder=embedder, sink=store, settings=settings):
        tally.count(committed)
        report_progress(tally.progress())
    _remove_gone(scan, store, tally)
    store.flush()
    return IndexReport(
        added=tally.added,
        updated=tally.updated,
        moved=0,
        removed=tally.removed,
        unchanged=tally.unchanged,
        skipped=tuple(tally.skipped),
        total=store.count(),
        seconds=time.perf_counter() - started,
    )


def _given(
    files: Sequence[ImageFile], fields_of: Callable[[str], Fields | None] | None
) -> dict[str, Fields]:
    if fields_of is None:
        return {}
    answers = ((file.path, fields_of(file.path)) for file in files)
    return {path: fields for path, fields in answers if fields is not None}


def _remove_gone(scan: Scan, store: Store, tally: _Tally) -> None:
    """Remove the rows below the scanned folders whose files have been deleted."""
    rows_seen = tally.unchanged + tally.known_rows + tally.added - tally.removed
    if store.count() == rows_seen:
        return
    for folder in scan.walked:
        kept = 0
        for page in store.paths_under(folder):
            left_out = {key for key, path in page if scan.leaves_out(path)}
            store.delete(list(left_out))
            tally.removed += len(left_out)
            gone = [
                key
                for key, path in page
                if key not in left_out
                and is_gone(path, listed=scan.listed, repeated=scan.repeated, exists=scan.exists)
            ]
            if folder not in scan.fruitful:
                kept += len(gone)
                continue
            store.delete(gone)
            tally.removed += len(gone)
        if kept:
            # A drive that is not plugged in leaves an empty folder behind.
            reason = (
                f"there is no picture in it any more, but {kept} from it are in the index and stay "
                f"there: if they are really gone, run: lookalike remove {folder}"
            )
            tally.skipped.append(Skipped(folder, reason))


def _chunks(scan: Scan, size: int) -> Iterator[list[ImageFile | Skipped]]:
    items = iter(scan)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
