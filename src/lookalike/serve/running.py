"""How the server listens, is told to stop, and stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from anyio import to_thread
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lookalike.errors import AddressUnusable, reason_of
from lookalike.serve.options import ServeOptions

GRACE_S = 5
HEAD_S = 10
MOST_CONNECTIONS = 512
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; nobody is answered before the server runs.

    Raises:
        AddressUnusable: there is no such host, another program listens there, or it is forbidden.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnusable(host, port, error.strerror or reason_of(error)) from error
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # elsewhere it means something else
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # or two could bind, and find out later
    except OSError as error:
        listener.close()
        raise AddressUnusable(host, port, error.strerror or reason_of(error)) from error
    return listener


def address_of(listener: socket.socket, options: ServeOptions) -> str:
    """Where a browser on this machine finds the server, also when it listens everywhere."""
    everywhere = options.host in ("", "0.0.0.0", "::")  # noqa: S104 - compared
    host = "127.0.0.1" if everywhere else options.host
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


class Server(uvicorn.Server):
    """Answers until it is told to stop, then finishes what is under way, for `GRACE_S` at most.

    Args:
        app: what answers.
        threads: how many requests work at the same time.
        on_started: called when it answers.
        on_stop: called with the signal, each time that it is told to stop.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        threads: int,
        on_started: Callable[[], None],
        on_stop: Callable[[signal.Signals], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._threads = threads
        self._on_started, self._on_stop = on_started, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        to_thread.current_default_thread_limiter().total_tokens = self._threads
        await super().startup(sockets=sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        self._on_stop(signal.Signals(sig))
        super().handle_exit(sig, frame)


class PatientProtocol(H11Protocol):
    """Closes connections that do not bring a whole head of a request within `HEAD_S`.

    uvicorn itself waits for ever, also for the rest of a body after its answer.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It sends something."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """It has its answer."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self._give_up)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            if self.cycle is None:
                self.transport.write(_TOO_SLOW)
            self.transport.close()
