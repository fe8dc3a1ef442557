"""How much may be sent, and how slowly."""

from __future__ import annotations

import contextlib
import time

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.serve.paths import OWNER
from lookalike.serve.problems import Refused, answer_to

MAX_JSON_BYTES = 1 << 20
LINGER_S = {413: 5, 408: 1}


class BodyLimits:
    """Refuses bodies that are too large or come too slowly, as soon as that is known.

    `max_bytes` is for forms with pictures, whatever else is sent has at most `MAX_JSON_BYTES`. All
    of it must be there in `max_seconds`. Bytes are counted as they come: what a client says about
    the length is believed only where it says too much.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_seconds: float) -> None:
        self._app, self._max_bytes, self._max_seconds = app, max_bytes, max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["path"].startswith(OWNER):
            # Nothing of it is read before the secret has been seen, and then it may be large.
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sends_files = headers.get("content-type", "").startswith("multipart/")
        most = self._max_bytes
        if not sends_files:
            most = min(most, MAX_JSON_BYTES)
        declared = headers.get("content-length", "")
        body = _Body(receive, send, max_bytes=most, max_seconds=self._max_seconds)
        if declared.isdecimal() and int(declared) > most:
            body.refused = _too_large(most)
        else:
            with contextlib.suppress(Refused):
                await self._app(scope, body.receive, body.send)
        if body.refused and not body.answered:
            await _refuse(body.refused, scope, receive, send, most=most)


class _Body:
    """A body that is being read; `refused` says why it is not read to its end.

    The application may make something else of that error, so its answer is then left out.
    """

    def __init__(self, receive: Receive, send: Send, *, max_bytes: int, max_seconds: float) -> None:
        self._receive, self._send = receive, send
        self._max_bytes, self._max_seconds = max_bytes, max_seconds
        self._ends = time.monotonic() + max_seconds
        self._bytes, self._complete = 0, False
        self.refused: Refused | None = None
        self.answered = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        left = self._ends - time.monotonic()
        try:
            with anyio.fail_after(max(0.0, left)):
                message = await self._receive()
        except TimeoutError:
            reason = f"What was sent was not complete after {self._max_seconds:g} s."
            self.refused = Refused(408, "too_slow", reason, headers={"Connection": "close"})
            raise self.refused from None
        self._bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._bytes > self._max_bytes:
            self.refused = _too_large(self._max_bytes)
            raise self.refused
        return message

    async def send(self, message: Message) -> None:
        if self.refused is None or self.answered:
            self.answered = True
            await self._send(message)


def _too_large(most: int) -> Refused:
    message = f"What was sent is too large; {most:,} bytes are the most."
    return Refused(413, "too_large", message, headers={"Connection": "close"})


async def _refuse(
    refused: Refused, scope: Scope, receive: Receive, send: Send, *, most: int
) -> None:
    """Answer, and let some more of the body come: who is cut off while sending reads no answer."""

    async def lingering(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with anyio.move_on_after(LINGER_S[refused.status]):
            await _drain(receive, most)
        await send({"type": "http.response.body"})

    await answer_to(refused)(scope, receive, lingering)


async def _drain(receive: Receive, most: int) -> None:
    seen = 0
    while seen < most:
        message = await receive()
        seen += len(message.get("body", b""))
        if not message.get("more_body", False):
            return
