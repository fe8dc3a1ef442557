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
from lookalike.records import Progress
from lookalike.reports import IndexReport

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
            # Imported here: an extra, and hardly anybody asks for it.
            from lookalike.serve.indexing import RunFigures  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("--metrics-file", extra="telemetry") from error
        self._file, self._wrote_at, self._failed = file, 0.0, False
        self._figures = RunFigures()

    @contextlib.contextmanager
    def run(self) -> Iterator[RunMetrics]:
        """Within it a run goes on."""
        began = time.monotonic()
        self._figures.start()
        self._write()
        try:
            yield self
        finally:
            self._figures.end(at=time.time(), seconds=time.monotonic() - began)
            self._write()

    def progress(self, now: Progress) -> None:
        """Count, and write that now and then."""
        self._figures.indexing.progress(now)
        if time.monotonic() - self._wrote_at >= SECONDS_BETWEEN_WRITES:
            self._write()

    def done(self, report: IndexReport) -> None:
        """Count what is known at the end."""
        self._figures.done(report)

    def _write(self) -> None:
        self._wrote_at = time.monotonic()
        try:
            self._figures.write(self._file)
        except OSError as error:
            # A run must not fail for want of what only watches it.
            if not self._failed:
                _log.warning("%s cannot be written (%s).", self._file, error.strerror or error)
            self._failed = True
