"""Figures about indexing, as Prometheus reads them: of a server's jobs, and of a command."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile

from lookalike.records import Progress
from lookalike.reports import IndexReport

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_NOTHING = Progress(0, 0, 0, 0)


class IndexingFigures:
    """What one run after the other has done, added up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pictures = Counter(
            "lookalike_index_pictures",
            "Pictures by what became of them; those that were moved are among the added, too.",
            ["outcome"],
            registry=registry,
        )
        self._stages = Counter(
            "lookalike_index_stage_seconds",
            "Seconds that threads were at it, what they wait for others not counted.",
            ["stage"],
            registry=registry,
        )
        self._batches = Histogram(
            "lookalike_index_batch_size",
            "Pictures of a batch that went through the model.",
            buckets=_SIZES,
            registry=registry,
        )
        self._before = _NOTHING

    def start(self) -> None:
        """A run begins: its counts begin at 0."""
        self._before = _NOTHING

    def progress(self, now: Progress) -> None:
        """Count what has been done since the last call."""
        before, self._before = self._before, now
        for outcome in ("added", "updated", "unchanged", "skipped"):
            self._count(outcome, getattr(now, outcome) - getattr(before, outcome))
        for stage in ("decode", "embed", "write"):
            seconds = getattr(now.work, f"{stage}_s") - getattr(before.work, f"{stage}_s")
            self._stages.labels(stage).inc(seconds)
        if now.work.batches > before.work.batches:
            self._batches.observe(now.work.embedded - before.work.embedded)

    def done(self, report: IndexReport) -> None:
        """Count what is known at the end of a run only."""
        self._count("moved", report.moved)
        self._count("removed", report.removed)
        self._count("skipped", len(report.skipped) - self._before.skipped)

    def _count(self, outcome: str, number: int) -> None:
        self._pictures.labels(outcome).inc(max(number, 0))


class RunFigures:
    """The figures of a command's runs: what they have done, and how the last one stands."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.indexing = IndexingFigures(registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, registry=registry)

        self._running = gauge("lookalike_index_running", "1 while a run goes on.")
        self._success = gauge("lookalike_index_success", "1 if the last run came to its end.")
        self._ended = gauge("lookalike_index_end_timestamp_seconds", "When the last run ended.")
        self._seconds = gauge("lookalike_index_seconds", "How long the last run took.")
        self._pictures = gauge("lookalike_pictures", "Pictures in the index.")

    def start(self) -> None:
        """A run begins."""
        self.indexing.start()
        self._running.set(1)
        self._success.set(0)

    def done(self, report: IndexReport) -> None:
        """A run has come to its end."""
        self.indexing.done(report)
        self._pictures.set(report.total)
        self._success.set(1)

    def end(self, *, at: float, seconds: float) -> None:
        """A run has ended, one way or the other, at this time since the epoch."""
        self._running.set(0)
        self._ended.set(at)
        self._seconds.set(seconds)

    def write(self, file: Path) -> None:
        """Put all of them into a file, as a whole; raises `OSError`."""
        write_to_textfile(str(file), self._registry)
