"""Whom a request is addressed to, and which page makes it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.serve.options import ServeOptions
from lookalike.serve.problems import Refused, answer_to

LOOPBACK = ("localhost", "127.0.0.1", "::1")
READING = ("GET", "HEAD")


class HostCheck:
    """Refuses requests for names that are not this server's.

    A page elsewhere can let its own name point to this machine, and is then of the same origin as
    this server for the browser. It cannot do that without a name: so a server that other machines
    reach may be asked for by any address.
    """

    def __init__(self, app: ASGIApp, *, options: ServeOptions) -> None:
        self._app, self._any_address = app, not options.is_private
        names = (*LOOPBACK, options.host, *options.allowed_hosts)
        self._names = {name.lower().strip("[]") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._is_own(_name_of(Headers(scope=scope).get("host", ""))):
            await self._app(scope, receive, send)
            return
        message = (
            "This server is not known by that name; allow it: lookalike serve --allow-host NAME."
        )
        await answer_to(Refused(403, "wrong_host", message))(scope, receive, send)

    def _is_own(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address


class OriginCheck:
    """Refuses what pages of other origins make a browser send, but for links that are followed.

    Programs send none of the headers that it looks at.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        headers = Headers(scope=scope)
        reads = scope["method"] in READING
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        followed = reads and headers.get("sec-fetch-mode") == "navigate"
        origin = headers.get("origin")
        if not reads and origin is not None:
            foreign = foreign or urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        if foreign and not followed:
            message = "A page of another site asks for this; open this server's own page instead."
            await answer_to(Refused(403, "wrong_origin", message))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _name_of(host: str) -> str:
    """The name in a Host header, without its port and brackets; empty if it is none."""
    parts = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d+)?", host.lower(), re.ASCII)
    return (parts[1] or parts[2]) if parts else ""
