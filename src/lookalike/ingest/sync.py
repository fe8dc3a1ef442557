"""Makes the rows of some folders match what lies in them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lookalike import tracing
from lookalike.embed.embedder import Embedder
from lookalike.ingest import metadata, work
from lookalike.ingest.pipeline import Committed, Laps
from lookalike.ingest.plan import is_gone
from lookalike.ingest.scan import Scan
from lookalike.ingest.work import Chunk, Job, Workers
from lookalike.records import Fields, ImageFile, Progress, Skipped, Work, row_id
from lookalike.reports import IndexReport
from lookalike.settings import Settings
from lookalike.store.shard import Shard

# One look-up costs a server 30 ms, and little more for many files than for few. Who scans slowly
# does not wait for so many.
PLANNED_FILES = 4000
PLANNED_AFTER_S = 0.5


class Store(work.Store, Protocol):
    """What syncing needs of a store."""

    database: str
    collection: str
    tenant: str | None

    def count(self, shard: Shard | None = None) -> int: ...  # noqa: D102
    def paths_under(self, folder: str) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102
    def others_wrote(self, rows: int) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


@dataclass
class _Tally:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    rows: int = 0  # that are known to be there, of files that were found
    sources: dict[str, str] = field(default_factory=dict)  # old row -> new row
    skipped: list[Skipped] = field(default_factory=list)
    work: Work = field(default_factory=Work)

    def count(self, committed: Committed) -> None:
        self.added += committed.added
        self.updated += committed.updated
        self.unchanged += committed.unchanged
        self.removed += committed.removed
        self.rows += committed.known + committed.added - committed.removed
        self.sources.update(committed.sources)
        self.skipped += committed.skipped
        if committed.laps:
            self._measure(committed.laps)

    def _measure(self, laps: Laps) -> None:
        self.work = Work(
            batches=self.work.batches + 1,
            embedded=self.work.embedded + laps.embedded,
            decode_s=self.work.decode_s + sum(lap.seconds for lap in laps.decode),
            embed_s=self.work.embed_s + laps.embed.seconds,
            write_s=self.work.write_s + laps.write.seconds,
        )
        tracing.record_batch(laps.decode, laps.embed, laps.write)

    def remove(
        self,
        pages: Iterable[list[tuple[str, str]]],
        scan: Scan,
        store: Store,
        shard: Shard | None,
    ) -> None:
        for rows in pages:
            # Where a picture has come from may be in another shard, for which it is just gone.
            page = [
                row for row in rows if shard is None or shard.has(row[0]) or row[0] in self.sources
            ]
            moved = {
                key: self.sources[key]
                for key, path in page
                if key in self.sources and not scan.exists(path)
            }
            metadata.hand_on(moved, store)
            store.delete([key for key, _ in page])
            self.removed += len(page)
            self.moved += len(moved)

    def has_others(self, shard: Shard | None) -> bool:
        """Whether rows of other shards may have moved into this one."""
        return shard is not None and not all(map(shard.has, self.sources))

    def progress(self) -> Progress:
        return Progress(self.added, self.updated, self.unchanged, len(self.skipped), self.work)


def sync(
    scan: Scan,
    *,
    store: Store,
    embedder: Embedder,
    settings: Settings,
    checksum: bool = False,
    vanished: Collection[str] | None = None,
    fields_of: Callable[[str], Fields | None] | None = None,
    shard: Shard | None = None,
    workers: Workers | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """Add what is new, update what has changed, remove what is gone; safe to kill at any moment.

    With `checksum`, the bytes of a file tell whether it has changed, not its size and time.
    `vanished` are the paths that are known to be gone, where the scan is not of everything.
    `fields_of` tells what a path's row shall have of the user's own fields, and is asked once for
    each; where it is None or says None, a row keeps what it has. With a `shard`, nothing is done
    about other files and rows. `workers` do the work in place of this process. `on_progress` is
    called in this thread after every commit, and while unchanged files pass by.
    """
    started = time.perf_counter()
    tally = _Tally()
    report_progress = on_progress or (lambda progress: None)
    job = Job(
        database=store.database,
        collection=store.collection,
        tenant=store.tenant,
        settings=settings,
        checksum=checksum,
        may_be_known=store.count() > 0,
    )

    def to_work_on() -> Iterator[Chunk]:
        for found in chunks(scan, shard):
            files = [item for item in found if isinstance(item, ImageFile)]
            tally.skipped += [item for item in found if isinstance(item, Skipped)]
            yield Chunk(files, given_fields(files, fields_of))

    def tell(committed: Committed) -> None:
        tally.count(committed)
        report_progress(tally.progress())

    if workers is None:
        work.work(to_work_on(), job, tell, store=store, embedder=embedder, exists=scan.exists)
    else:
        workers.work(to_work_on(), job, tell)
        store.others_wrote(tally.added + tally.updated)
    if vanished is not None:
        tally.remove(rows_of(vanished, scan, store), scan, store, shard)
    elif store.count(shard) != tally.rows or tally.has_others(shard):
        tally.remove(gone(scan, store, moved_from=tally.sources), scan, store, shard)
        tally.skipped += suspended(scan, store, shard)
    store.flush()
    return IndexReport(
        added=tally.added - tally.moved,
        updated=tally.updated,
        moved=tally.moved,
        removed=tally.removed - tally.moved,
        unchanged=tally.unchanged,
        skipped=tuple(tally.skipped),
        total=store.count(),
        seconds=time.perf_counter() - started,
        others=dict(scan.others),
    )


def given_fields(
    files: Sequence[ImageFile], fields_of: Callable[[str], Fields | None] | None
) -> dict[str, Fields]:
    """Paths -> the fields that `fields_of` has for these files."""
    if fields_of is None:
        return {}
    answers = ((file.path, fields_of(file.path)) for file in files)
    return {path: fields for path, fields in answers if fields is not None}


def gone(
    scan: Scan, store: Store, *, moved_from: Collection[str]
) -> Iterator[list[tuple[str, str]]]:
    """Pages of (id, path) of rows below the scanned folders whose files are gone or left out now.

    Of a folder without any picture only those in `moved_from`: see `suspended`.
    """
    for folder in scan.walked:
        all_of_them = folder in scan.fruitful
        for page in store.paths_under(folder):
            yield [
                (key, path)
                for key, path in page
                if scan.leaves_out(path)
                or ((all_of_them or key in moved_from) and _is_gone(path, scan))
            ]


def rows_of(vanished: Collection[str], scan: Scan, store: Store) -> Iterator[list[tuple[str, str]]]:
    """Pages of (id, path) of the rows at and below these paths that are really gone.

    Of a source folder in which nothing is left at all, none: it may be a drive without its disk.
    """
    alive = [f"{folder.rstrip('/')}/" for folder in scan.folders if _has_anything(folder)]
    paths = {path for path in vanished if path.startswith(tuple(alive)) and not scan.exists(path)}
    ids = {row_id(path): path for path in paths}
    pictures = store.stamps(list(ids))
    yield [(key, ids[key]) for key in pictures]
    below: list[str] = []
    for path in sorted(paths.difference(ids[key] for key in pictures)):
        if not below or not path.startswith(f"{below[-1]}/"):
            below.append(path)
    roots = [root for root in scan.listed if root.endswith("!")]
    for folder in itertools.chain(below, (f"{path}!" for path in below), roots):
        for page in store.paths_under(folder):
            yield [(key, path) for key, path in page if not scan.exists(path)]


def _has_anything(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return False


def suspended(scan: Scan, store: Store, shard: Shard | None = None) -> Iterator[Skipped]:
    """Folders that have lost all pictures at once: a drive that is not plugged in leaves such."""
    for folder in scan.walked:
        if folder in scan.fruitful:
            continue
        paths = (
            path
            for page in store.paths_under(folder)
            for key, path in page
            if shard is None or shard.has(key)
        )
        if kept := sum(_is_gone(path, scan) and not scan.leaves_out(path) for path in paths):
            reason = (
                f"there is no picture in it any more, but {kept} from it are in the index and stay "
                f"there: if they are really gone, run: lookalike remove {folder}"
            )
            yield Skipped(folder, reason)


def _is_gone(path: str, scan: Scan) -> bool:
    return is_gone(path, listed=scan.listed, repeated=scan.repeated, exists=scan.exists)


def chunks(scan: Scan, shard: Shard | None = None) -> Iterator[list[ImageFile | Skipped]]:
    """What was found, in parts that are compared with the store at once."""
    items = (item for item in scan if shard is None or shard.has(row_id(item.path)))
    while chunk := list(_at_once(items)):
        yield chunk


def _at_once(items: Iterator[ImageFile | Skipped]) -> Iterator[ImageFile | Skipped]:
    began = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        if number == PLANNED_FILES or time.monotonic() - began > PLANNED_AFTER_S:
            return
