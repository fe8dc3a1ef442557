"""OpenTelemetry for the commands: on where the standard variables ask for it, and it is installed.

What is recorded is in `lookalike.tracing`; here it is sent to where ``OTEL_EXPORTER_OTLP_ENDPOINT``
says, by OTLP over HTTP.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lookalike.errors import ExtraMissing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_S = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_log = logging.getLogger("lookalike")


def are_asked_for(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the variables of OpenTelemetry say that traces are to be sent."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter == "otlp" or (not exporter and any(map(environ.get, _ENDPOINTS)))


def start() -> TracerProvider | None:
    """Record spans from now on; None where that is not asked for, or impossible, which is logged.

    A run must not fail for want of what only watches it.
    """
    if not are_asked_for():
        return None
    try:
        # Imported here: an extra, and hardly anybody asks for it.
        from opentelemetry import context, propagate, trace  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        missing = ExtraMissing("Sending the traces that OTEL_… ask for", extra="telemetry")
        _log.warning("%s", missing)
        return None
    running = trace.get_tracer_provider()
    if isinstance(running, TracerProvider):  # one command runs another
        return running
    _quieten()
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        os.environ.setdefault("OTEL_SERVICE_NAME", "lookalike")
    provider = TracerProvider(resource=Resource.create(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    # As headers have it for a request: what has started the command may be recording, too.
    carrier = {name.lower(): os.environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
    context.attach(propagate.extract(carrier))
    return provider


def finish(provider: TracerProvider) -> None:
    """Send what was recorded; a collector that does not answer is not waited for."""
    sending = threading.Thread(target=provider.force_flush, name="lookalike-traces", daemon=True)
    sending.start()
    sending.join(FLUSH_S)


class _Once(logging.Filter):
    """Lets one message through: a collector that is away would be told of again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = False

    def filter(self, record: logging.LogRecord) -> bool:
        passes, self._passed = not self._passed, True
        return passes


class _Told(logging.Handler):
    """Tells in one line that traces cannot be sent, whatever the exporter says about it."""

    def emit(self, record: logging.LogRecord) -> None:
        reason = (record.getMessage().strip().splitlines() or ["no reason given"])[0]
        _log.warning("Traces cannot be sent (%s).", reason[:200])


def _quieten() -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.propagate = False
    told = _Told(logging.WARNING)
    told.addFilter(_Once())
    theirs.addHandler(told)
