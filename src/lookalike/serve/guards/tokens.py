"""Who may ask: those who know the token, or have shown it at the login page."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.serve.guards.rates import Buckets, client_of, too_many
from lookalike.serve.paths import HEALTH, LOGIN, LOGIN_STYLE, OWNER
from lookalike.serve.problems import Refused, answer_to

COOKIE = "lookalike_session"
SESSION_S = 7 * 24 * 3600
MOST_SESSIONS = 1000
TRIES, TRIES_PER_MINUTE = 10, 6


class Sessions:
    """The token, and the browsers that have shown it. Without a token everybody is let in."""

    def __init__(
        self, token: str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token, self._clock = token, clock
        self._ends: OrderedDict[str, float] = OrderedDict()
        self._tries = Buckets(per_minute=TRIES_PER_MINUTE, burst=TRIES, clock=clock)

    @property
    def needed(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def check(self, token: str, *, client: str) -> None:
        """Raise `Refused` if it is not the token, or if this client has guessed too often."""
        wait = self._tries.wait(client)
        if wait:
            raise too_many(wait, "Too many wrong tokens; wait a little.")
        if not hmac.compare_digest((self._token or "").encode(), token.encode()):
            self._tries.take(client)
            raise _unauthorized("This token is wrong.")

    def begin(self) -> str:
        """A new session: the value of its cookie, which says nothing about the token."""
        value = secrets.token_urlsafe(32)
        self._ends[value] = self._clock() + SESSION_S
        if len(self._ends) > MOST_SESSIONS:
            self._ends.popitem(last=False)
        return value

    def knows(self, value: str | None) -> bool:
        """Whether it is a session that goes on."""
        return self._ends.get(value or "", 0.0) > self._clock()

    def end(self, value: str | None) -> None:
        """Forget a session."""
        self._ends.pop(value or "", None)


class TokenCheck:
    """Lets in who shows the token or a session; sends browsers that ask for a page to log in."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        answer: ASGIApp = self._app
        if self._sessions.needed and not _is_open(scope["path"]):
            try:
                self._let_in(Request(scope))
            except Refused as refused:
                answer = answer_to(refused)
                if refused.status == 401 and _is_page(Request(scope)):  # noqa: PLR2004
                    answer = _to_login(scope)
        await answer(scope, receive, send)

    def _let_in(self, request: Request) -> None:
        """Raise `Refused` for who has shown nothing that is right."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            self._sessions.check(token.strip(), client=client_of(request.scope))
        elif not self._sessions.knows(request.cookies.get(COOKIE)):
            raise _unauthorized("A token is needed: Authorization: Bearer TOKEN.")


def _is_open(path: str) -> bool:
    return path in (*HEALTH, LOGIN, LOGIN_STYLE) or path.startswith(OWNER)


def _is_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _to_login(scope: Scope) -> RedirectResponse:
    wanted = scope["path"]
    if scope["query_string"]:
        wanted += "?" + scope["query_string"].decode("latin-1")
    address = LOGIN if wanted == "/" else f"{LOGIN}?next={quote(wanted, safe='')}"
    return RedirectResponse(address, status_code=303)


def _unauthorized(message: str) -> Refused:
    return Refused(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
