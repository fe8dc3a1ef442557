"""How much is done at once."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.serve.paths import HEALTH, OWNER
from lookalike.serve.problems import Refused, answer_to

SEND_S = 60
RETRY_S = 1


class Crowd:
    """Refuses requests while `most` others are under way.

    Streams of events stay open, so they are counted apart. A client that does not read what it
    has asked for is left after `SEND_S`.
    """

    def __init__(self, app: ASGIApp, *, most: int, most_streams: int) -> None:
        self._app = app
        self._most = {False: most, True: most_streams}
        self._present = {False: 0, True: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        # A command of the owner's may think for long about each page of rows.
        if scope["path"] in HEALTH or scope["path"].startswith(OWNER):
            await self._app(scope, receive, send)
            return
        streams = scope["path"].endswith("/events")
        if self._present[streams] >= self._most[streams]:
            message = "The server is busy with other requests; ask again in a moment."
            headers = {"Retry-After": str(RETRY_S)}
            await answer_to(Refused(503, "busy", message, headers=headers))(scope, receive, send)
            return

        async def in_time(message: Message) -> None:
            with anyio.fail_after(SEND_S):
                await send(message)

        self._present[streams] += 1
        try:
            await self._app(scope, receive, in_time)
        finally:
            self._present[streams] -= 1
