"""The way to a server that has a database open."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path

from lookalike.errors import IndexServed, OwnerLost
from lookalike.owner import note as notes
from lookalike.owner.messages import END, ERROR, HEAD, error_of
from lookalike.owner.note import Note, proof_of
from lookalike.version import __version__

PLACE = "/api/v1/owner"
SECRET_HEADER = "X-Lookalike-Owner"  # noqa: S105 - its name
ALIVE_S = 5.0
ANSWER_S = 300.0  # loading a large model, or looking for the nearest of many rows


class Owner:
    """A server that has a database open. Methods may be called from several threads."""

    def __init__(self, note: Note, database: str) -> None:
        self.note, self.database, self.address = note, database, note.address
        self._idle: list[HTTPConnection] = []

    def ask(self, call: str, body: bytes = b"") -> bytes:
        """The one item of an answer.

        Raises:
            OwnerLost: the server has stopped.
            LookalikeError: what the server has raised.
        """
        (answer,) = self.stream(call, body)
        return answer

    def stream(self, call: str, body: bytes = b"") -> Iterator[bytes]:
        """The items of an answer as they come; raises what `ask` raises."""
        try:
            connection, response = self._posted(call, body)
            with contextlib.ExitStack() as undo:
                undo.callback(connection.close)
                while True:
                    kind, size = HEAD.unpack(_exactly(response, HEAD.size))
                    payload = _exactly(response, size)
                    if kind == END:
                        break
                    if kind == ERROR:
                        raise error_of(payload)
                    yield payload
                response.read()
                undo.pop_all()
                self._idle.append(connection)
        except (OSError, HTTPException) as error:
            raise OwnerLost(self.database, self.address) from error

    def check(self) -> None:
        """Raise `OSError` or `HTTPException` where nobody with the secret answers."""
        self._idle.append(self._connected())

    def close(self) -> None:
        """Let go of all connections."""
        while self._idle:
            self._idle.pop().close()

    def _posted(self, call: str, body: bytes) -> tuple[HTTPConnection, HTTPResponse]:
        while True:
            known = self._taken()
            connection = known or self._connected()
            try:
                headers = {SECRET_HEADER: self.note.secret}
                connection.request("POST", f"{PLACE}/{call}", body, headers)
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                connection.close()
                # The server closes those that were idle for a while. All calls may be repeated.
                if known is None or isinstance(error, TimeoutError):
                    raise
                continue
            if response.status != 200:  # noqa: PLR2004
                connection.close()
                raise ConnectionError(f"{call}: status {response.status}")
            return connection, response

    def _taken(self) -> HTTPConnection | None:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return None

    def _connected(self) -> HTTPConnection:
        connection = HTTPConnection(self.note.host, self.note.port, timeout=ALIVE_S)
        nonce = secrets.token_hex(16)
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            connection.request("GET", f"{PLACE}/alive?nonce={nonce}")
            response = connection.getresponse()
            proof = proof_of(self.note.secret, nonce).encode()
            if not hmac.compare_digest(response.read(1000), proof):
                raise ConnectionError("another program has its port")
            undo.pop_all()
        connection.sock.settimeout(ANSWER_S)
        return connection


def find(database: str) -> Owner | None:
    """The server that has a local database open, if one has.

    Raises:
        IndexServed: it is of another version.
    """
    note = notes.read(Path(database))
    if note is None or not _is_here(note.host):
        return None
    owner = Owner(note, database)
    try:
        owner.check()
    except (OSError, HTTPException):
        return None  # it was killed; if not, opening the database will tell
    if note.version != __version__:
        owner.close()
        raise IndexServed(
            database, note.address, f"which is of another version of lookalike ({note.version})"
        )
    return owner


def _is_here(host: str) -> bool:
    """Whether it is an address of this machine: pictures are sent to no other."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.bind((host, 0))
    except (OSError, TypeError):
        return False
    return True


def _exactly(response: HTTPResponse, size: int) -> bytes:
    data = response.read(size) if size else b""
    if len(data) != size:
        raise IncompleteRead(data, size - len(data))
    return data
