"""What is counted and noted of every request: nothing that says what was asked, or by whom."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike import tracing
from lookalike.serve.metrics import Metrics
from lookalike.serve.paths import API, STATIC

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = logging.getLogger(__name__)


class Observed:
    """Counts requests, and notes each by its method, route, status and time."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        status, began = 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in _METHODS else "other"
        with self._metrics.under_way(), _span(scope, method) as facts:
            try:
                await self._app(scope, receive, noting)
            finally:
                seconds = time.perf_counter() - began
                route = route_of(scope)
                self._metrics.request(method, route, status, seconds=seconds)
                facts.update({"http.route": route, "http.response.status_code": status})
                fields = {"method": method, "route": route, "status": status}
                _log.info(
                    "%s %s %d %.0f ms", method, route, status, 1000 * seconds,
                    extra={"fields": {"event": "request", **fields, "seconds": round(seconds, 6)}},
                )  # fmt: skip


def _span(scope: Scope, method: str) -> AbstractContextManager[tracing.Facts]:
    """The request, within what its ``traceparent`` names."""
    headers = {}
    if tracing.is_on():
        headers = {key.decode("latin-1"): text.decode("latin-1") for key, text in scope["headers"]}
    parent = tracing.asked_by(headers)
    return tracing.span(method, {"http.request.method": method}, parent=parent, is_request=True)


def route_of(scope: Scope) -> str:
    """The template of a route, `/images/{id}`: there are few, whatever clients ask for."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        prefixed = path.startswith(API) or not scope["path"].startswith(API)
        return str(path) if prefixed else f"{API}{path}"
    return STATIC.rstrip("/") if scope["path"].startswith(STATIC) else "other"
