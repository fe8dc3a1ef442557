"""One run of ``lookalike index``: what was asked for, and what is done with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lookalike.cli import progress
from lookalike.cli.index_metrics import RunMetrics
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.embed.embedder import Embedder
from lookalike.index import Index
from lookalike.ingest.name_list import names_in
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.ingest.work import Workers
from lookalike.records import Burst, Change, Fields, Progress
from lookalike.reports import IndexReport
from lookalike.settings import Settings
from lookalike.store.design import CollectionDesign


@dataclass(frozen=True, kw_only=True)
class IndexRun:
    """What was asked for. `fields` are the user's own by path; those that were used are left out.

    The others have the meaning that they have for `Index.open` and `Index.add`.
    """

    sources: Sequence[str]
    from_file: BinaryIO | None
    options: ScanOptions
    checksum: bool
    fields: dict[str, Fields] | None = field(default=None)
    db: str | None
    token: str | None
    collection: str
    tenant: str | None
    design: CollectionDesign | None
    model: str | None
    weights: Path | None
    metric: str | None
    metrics: RunMetrics | None = None
    settings: Settings
    shard: tuple[int, int] | None = None
    workers: Workers | None = None

    def scan(self) -> Scan:
        """What lies in the sources."""
        return Scan(self.sources, options=self.options, more=self._more(), settings=self.settings)

    def measured(self) -> AbstractContextManager[object]:
        """Within it the run goes on, for whoever reads its figures; opening the index is part."""
        return self.metrics.run() if self.metrics else contextlib.nullcontext()

    def open(self, known: Embedder | None = None) -> Index:
        """The index, made if need be; `known` is its model where that is loaded already."""
        return Index.open(
            self.db,
            token=self.token,
            model=known or self.model,
            weights=None if known else self.weights,
            calibration=self.sources,
            collection=self.collection,
            metric=self.metric,
            design=self.design,
            tenant=self.tenant,
            settings=self.settings,
        )

    def open_existing(self) -> Index:
        """The index; raises `IndexNotFound` where there is none."""
        return Index.open(
            self.db,
            token=self.token,
            collection=self.collection,
            tenant=self.tenant,
            create=False,
            settings=self.settings,
        )

    def plan(self, index: Index) -> Iterator[Change]:
        """What would be done."""
        return index.plan(
            *self.sources,
            more=self._more(),
            exclude=self.options.exclude,
            all_files=self.options.all_files,
            one_file_system=self.options.one_file_system,
            metadata=self.fields,
            checksum=self.checksum,
        )

    def add(self, index: Index, terminal: Terminal, changes: Burst | None = None) -> IndexReport:
        """Do it, for everything or for what has changed, and show how far it has come."""
        startup_done()
        counted = None if self.from_file or changes or self.shard else self.sources
        with progress.shown(counted, terminal, options=self.options) as show:
            if self.workers:
                # Which tell only now and then what they have written.
                terminal.on_interrupt = (
                    "Stopped. What the workers have written is in the index and stays there; run "
                    "the same command again to go on."
                )

            def on_progress(now: Progress) -> None:
                show(now)
                if self.metrics:
                    self.metrics.progress(now)
                if not self.workers:
                    terminal.on_interrupt = (
                        f"Stopped. {now.added + now.updated} pictures of this run are in the index "
                        "and stay there; run the same command again to go on."
                    )

            report = index.add(
                *self.sources,
                more=self._more(),
                exclude=self.options.exclude,
                all_files=self.options.all_files,
                one_file_system=self.options.one_file_system,
                metadata=None if self.fields is None else self._take_fields,
                checksum=self.checksum,
                changes=changes,
                shard=self.shard,
                workers=self.workers,
                on_progress=on_progress,
            )
            if self.metrics:
                self.metrics.done(report)
            return report

    def _take_fields(self, path: str) -> Fields | None:
        return self.fields.pop(path, None) if self.fields else None

    def _more(self) -> Iterator[str] | None:
        return names_in(self.from_file) if self.from_file else None
