"""``lookalike index --metrics-file``: figures about runs for Prometheus's textfile collector."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lookalike.errors import ExtraMissing, InvalidSetting
from lookalike.records import IndexReport, Progress

SECONDS_BETWEEN_WRITES = 10.0
_log = logging.getLogger("lookalike")

MetricsFile = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file",
        metavar="FILE",
        help="Keep figures about the run in it, for Prometheus's textfile collector; .prom.",
        show_default=False,
    ),
]


class RunMetrics:
    """A file that says how the run stands, and how the last one has ended.

    The file is replaced as a whole, so whoever reads it finds all figures or none.
    """

    def __init__(self, file: Path) -> None:
        """Write nothing yet.

        Raises:
            InvalidSetting: the collector would not read it, or it cannot be written.
            ExtraMissing: the library of Prometheus is not installed.
        """
        if file.suffix != ".prom":
            raise InvalidSetting("--metrics-file", str(file), "a file that ends in .prom")
        if not file.absolute().parent.is_dir():
            raise InvalidSetting("--metrics-file", str(file), "in a folder that is there")
        try:
            # Imported here, and below: an extra, and hardly anybody asks for it.
            from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

            from lookalike.serve.indexing import IndexingFigures  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("--metrics-file", extra="telemetry") from error
        self._file, self._wrote_at, self._failed = file, 0.0, False
        registry = self._registry = CollectorRegistry()
        self._figures = IndexingFigures(registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, registry=registry)

        self._running = gauge("lookalike_index_running", "1 while a run goes on.")
        self._success = gauge("lookalike_index_success", "1 if the last run came to its end.")
        self._ended = gauge("lookalike_index_end_timestamp_seconds", "When the last run ended.")
        self._seconds = gauge("lookalike_index_seconds", "How long the last run took.")
        self._pictures = gauge("lookalike_pictures", "Pictures in the index.")

    @contextlib.contextmanager
    def run(self) -> Iterator[RunMetrics]:
        """Within it a run goes on."""
        began = time.monotonic()
        self._figures.start()
        self._running.set(1)
        self._success.set(0)
        self._write()
        try:
            yield self
            self._success.set(1)
        finally:
            self._running.set(0)
            self._ended.set(time.time())
            self._seconds.set(time.monotonic() - began)
            self._write()

    def progress(self, now: Progress) -> None:
        """Count, and write that now and then."""
        self._figures.progress(now)
        if time.monotonic() - self._wrote_at >= SECONDS_BETWEEN_WRITES:
            self._write()

    def done(self, report: IndexReport) -> None:
        """Count what is known at the end."""
        self._figures.done(report)
        self._pictures.set(report.total)

    def _write(self) -> None:
        from prometheus_client import write_to_textfile  # noqa: PLC0415

        self._wrote_at = time.monotonic()
        try:
            write_to_textfile(str(self._file), self._registry)
        except OSError as error:
            # A run must not fail for want of what only watches it.
            if not self._failed:
                _log.warning("%s cannot be written (%s).", self._file, error.strerror or error)
            self._failed = True
