"""Figures about a running server, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from lookalike.serve.indexing import IndexingFigures

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The figures of one server, in a registry of their own.

    `count_jobs` may be set: it gives the number of jobs in each state. `indexing` are those of what
    the jobs do, one after the other.
    """

    def __init__(self) -> None:
        self.count_jobs: Callable[[], Mapping[str, int]] = dict
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "lookalike_requests", "Answers.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "lookalike_request_seconds",
            "How long answers took.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._under_way = Gauge(
            "lookalike_requests_under_way", "Requests that wait for an answer.", registry=registry
        )
        self._batches = Histogram(
            "lookalike_batch_size",
            "Questions that went through the model together.",
            buckets=_SIZES,
            registry=registry,
        )
        self._pictures = Gauge("lookalike_pictures", "Pictures in the index.", registry=registry)
        self.indexing = IndexingFigures(registry)
        self._jobs = Gauge("lookalike_jobs", "Jobs by state.", ["state"], registry=registry)

    def under_way(self) -> AbstractContextManager[object]:
        """Within it a request is counted as waiting for its answer."""
        return self._under_way.track_inprogress()

    def request(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Count an answer; streams of events have no time."""
        self._requests.labels(method, route, str(status)).inc()
        if not route.endswith("/events"):
            self._seconds.labels(method, route).observe(seconds)

    def batch(self, size: int) -> None:
        """Count so many questions that went through the model together."""
        self._batches.observe(size)

    def pictures(self, count: int) -> None:
        """Note how many pictures the index has."""
        self._pictures.set(count)

    def exposition(self) -> bytes:
        """All figures, in the text format of Prometheus."""
        self._jobs.clear()
        for state, count in self.count_jobs().items():
            self._jobs.labels(state).set(count)
        return generate_latest(self._registry)
