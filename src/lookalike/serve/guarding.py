"""The application behind its guards, from the outside in."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.serve.guards.bodies import BodyLimits
from lookalike.serve.guards.crowds import Crowd
from lookalike.serve.guards.headers import SafeHeaders
from lookalike.serve.guards.observed import Observed
from lookalike.serve.guards.origins import HostCheck, OriginCheck
from lookalike.serve.guards.rates import RateLimit
from lookalike.serve.guards.tokens import TokenCheck
from lookalike.serve.service import Service


def guarded(app: ASGIApp, service: Service) -> ASGIApp:
    """The application behind everything that protects it."""
    settings, options = service.settings, service.options
    inner: ASGIApp = Crowd(
        app, most=settings.concurrent_requests, most_streams=settings.concurrent_requests
    )
    inner = BodyLimits(
        inner, max_bytes=settings.max_upload_bytes, max_seconds=settings.max_upload_seconds
    )
    inner = TokenCheck(inner, sessions=service.sessions)
    inner = RateLimit(inner, per_minute=settings.requests_per_minute)
    inner = OriginCheck(inner)
    inner = HostCheck(inner, options=options)
    inner = SafeHeaders(inner)
    guard = Observed(inner, metrics=service.metrics)

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        await (guard if scope["type"] == "http" else app)(scope, receive, send)

    return entrance
