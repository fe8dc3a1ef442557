"""Rows go from one index into another, with their vectors; nothing is embedded.

Pages are read in one thread while those before are compared and written in another. What the target
has already, as it is in the source, is not written again, so a copy that was interrupted is
completed by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from lookalike.errors import CopyIncomplete, InvalidSetting
from lookalike.exchange.checking import Sample, same_facts
from lookalike.ingest.ahead import ahead
from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.reports import CopyProgress
from lookalike.store.schema import CollectionModel

PAGES_AHEAD = 3


class Source(Protocol):
    """What rows are copied from."""

    model: CollectionModel

    def count(self) -> int: ...  # noqa: D102
    def scan(self) -> Iterator[list[ImageRecord]]: ...  # noqa: D102


class Stamps(Protocol):
    """What can be asked for single rows."""

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]: ...  # noqa: D102


class Known(Source, Stamps, Protocol):
    """A source that can be asked for single rows."""


class Rows(Protocol):
    """What rows are removed from."""

    def delete(self, ids: list[str]) -> None: ...  # noqa: D102
    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


class Target(Rows, Protocol):
    """What rows are copied into."""

    database: str

    def count(self) -> int: ...  # noqa: D102
    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]: ...  # noqa: D102
    def facts(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows the source had, were written, were removed, and were compared at the end."""

    rows: int
    written: int
    removed: int
    checked: int


@dataclass(frozen=True, slots=True)
class _Page:
    rows: int
    written: int
    new: int


def copy(
    source: Source,
    target: Target,
    *,
    rewrite: bool = False,
    others_from: Known | None = None,
    on_progress: Callable[[CopyProgress], None] | None = None,
) -> Copied:
    """Let the target have all rows of the source, and see that it does.

    Args:
        source: has the rows.
        target: gets them.
        rewrite: write all of them, whatever the target has.
        others_from: the source, if rows shall be removed that it does not have.
        on_progress: is called in this thread after every page.

    Raises:
        InvalidSetting: there is nothing in the source, and others shall be removed.
        CopyIncomplete: the target has fewer rows than it must.
        CopyDiffers: a row is not in the target as it was in the source.
    """
    sample, total = Sample(), source.count()
    before = target.count()
    if others_from and before and not total:
        # An empty source is more often a mistake than a wish.
        raise InvalidSetting("exact", True, "left out where the source has no rows")
    rows = written = new = 0

    def pages() -> Iterator[list[ImageRecord]]:
        for page in source.scan():
            sample.see(page)
            yield page

    def put(page: list[ImageRecord]) -> _Page:
        ids = [row_id(record.path) for record in page]
        if not before:
            wanted, known = page, 0
        elif rewrite:
            wanted, known = page, len(target.stamps(ids))
        else:
            there = {record.path: record for record in target.facts(ids)}
            known = len(there)
            wanted = [
                record
                for record in page
                if record.path not in there or not same_facts(record, there[record.path])
            ]
        target.upsert(wanted)
        return _Page(len(page), len(wanted), len(page) - known)

    writer = ThreadPoolExecutor(1, "lookalike-copy")
    try:
        for done in ahead(writer, put, pages(), PAGES_AHEAD):
            rows += done.rows
            written += done.written
            new += done.new
            if on_progress:
                on_progress(CopyProgress(rows, max(total, rows), written))
    finally:
        writer.shutdown(cancel_futures=True)
        target.flush()
    if rows < min(total, source.count()):
        raise CopyIncomplete(target.database, rows, total)
    removed = remove_others(others_from, target) if others_from else 0
    # Others may write to a server meanwhile, so there may be more.
    there, must = target.count(), before + new - removed
    if there < must:
        raise CopyIncomplete(target.database, there, must)
    checked = sample.check(target.records(sample.ids), target.database)
    return Copied(rows, written, removed, checked)


def remove_others(source: Stamps, target: Rows) -> int:
    """Remove the target's rows that the source does not have; returns how many."""
    removed = 0
    for page in target.paths_under(None):
        ids = [key for key, _ in page]
        known = source.stamps(ids)
        others = [key for key in ids if key not in known]
        target.delete(others)
        removed += len(others)
    target.flush()
    return removed
