"""Figures about indexing, as Prometheus reads them: of a server's jobs, and of a command."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from lookalike.records import IndexReport, Progress

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_NOTHING = Progress(0, 0, 0, 0)


class IndexingFigures:
    """What one run after the other has done, added up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pictures = Counter(
            "lookalike_index_pictures",
            "Pictures by what indexing has done; those that were moved are among the added.",
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
