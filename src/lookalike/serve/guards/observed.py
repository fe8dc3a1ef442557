"""What is counted and noted of every request: nothing that says what was asked, or by whom."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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

        with self._metrics.under_way():
            try:
                await self._app(scope, receive, noting)
            finally:
                seconds = time.perf_counter() - began
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = route_of(scope)
                self._metrics.request(method, route, status, seconds=seconds)
                _log.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)


def route_of(scope: Scope) -> str:
    """The template of a route, `/images/{id}`: there are few, whatever clients ask for."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        prefixed = path.startswith(API) or not scope["path"].startswith(API)
        return str(path) if prefixed else f"{API}{path}"
    return STATIC.rstrip("/") if scope["path"].startswith(STATIC) else "other"
