"""Clients that send too much, too slowly or nonsense, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from lookalike.serve import running
from lookalike.serve.guards import crowds
from lookalike.serve.guards.bodies import MAX_JSON_BYTES, BodyLimits
from lookalike.serve.guards.crowds import Crowd
from tests.serve_process import answering

MOST = 2 * MAX_JSON_BYTES
SECONDS = 0.6
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


async def measures(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads all that is sent and says how much that was; makes 400 of errors, as FastAPI does."""
    if scope["type"] != "http":
        return
    answer = PlainTextResponse("ok")
    if scope["path"] != "/ignores":
        try:
            answer = PlainTextResponse(str(len(await Request(scope, receive).body())))
        except Exception:  # noqa: BLE001 - what is tested
            answer = PlainTextResponse("another error", 400)
    await answer(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "HEAD_S", SECONDS)
        limited = BodyLimits(measures, max_bytes=MOST, max_seconds=SECONDS)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            inner = limited if scope["type"] == "http" else measures
            await inner(scope, receive, send)

        with answering(app) as number:
            yield number


def post(port: int, content: Any, headers: dict[str, str] = FORM) -> httpx.Response:
    address = f"http://127.0.0.1:{port}/"
    return httpx.post(address, content=content, headers=headers, timeout=20)


def lives(port: int) -> bool:
    return post(port, b"12345").text == "5"


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_what_is_within_the_limit_comes_whole(port: int) -> None:
    assert post(port, bytes(MOST)).text == str(MOST)
    assert post(port, pieces(MOST)).text == str(MOST)
    assert post(port, bytes(MAX_JSON_BYTES), {}).text == str(MAX_JSON_BYTES)


def test_who_says_that_too_much_comes_is_told_so_and_can_read_it(port: int) -> None:
    assert refusal(post(port, bytes(MOST + 1))) == (413, "too_large")
    assert refusal(post(port, bytes(2 * MOST))) == (413, "too_large")
    assert lives(port)


def test_who_does_not_say_how_much_comes_is_told_so_once_it_is_too_much(port: int) -> None:
    assert refusal(post(port, pieces(2 * MOST))) == (413, "too_large")
    assert lives(port)


def test_only_forms_with_pictures_may_be_large(port: int) -> None:
    json_type = {"Content-Type": "application/json"}
    assert refusal(post(port, bytes(MAX_JSON_BYTES + 1), json_type)) == (413, "too_large")
    assert refusal(post(port, pieces(2 * MAX_JSON_BYTES), {})) == (413, "too_large")


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    text = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            text += part
    return text


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_who_would_send_for_ever_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/x\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        sent, began = 0, time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 8:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536
        assert sent < 6 * MOST
    assert lives(port)


@pytest.mark.parametrize("path", [b"/", b"/ignores"])
def test_who_sends_too_slowly_is_told_so_and_left(port: int, path: bytes) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        connection.sendall(b"ab")
        connection.settimeout(0.2)
        text = b""
        while time.monotonic() - began < 8:  # a byte now and then changes nothing
            try:
                part = connection.recv(65536)
            except TimeoutError:
                part = None
            except ConnectionError:
                break
            if part == b"":
                break
            text += part or b""
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"c")
        assert time.monotonic() - began < 4 * SECONDS + 1
    if path == b"/":
        assert text.startswith(b"HTTP/1.1 408 ")
        assert json.loads(text.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_slow"
    else:
        assert text.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("head", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
def test_a_connection_on_which_no_request_comes_is_closed(port: int, head: bytes) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        connection.sendall(head)
        text = said(connection)
        assert SECONDS / 2 < time.monotonic() - began < 4 * SECONDS
        assert text.startswith(b"HTTP/1.1 408 ")
    assert lives(port)


def test_a_head_without_end_is_refused(port: int) -> None:
    with connected(port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + bytes(1 << 20))
        text = said(connection)
        assert text[:13] in (b"HTTP/1.1 400 ", b"")
    assert lives(port)


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / FTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_is_refused(port: int, nonsense: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(nonsense)
        assert said(connection).startswith(b"HTTP/1.1 400 ")
    assert lives(port)


def test_a_body_of_two_lengths_is_refused(port: int) -> None:
    with connected(port) as connection:
        lengths = b"Content-Length: 3\r\nContent-Length: 4\r\n"
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\nabcd")
        assert said(connection).startswith(b"HTTP/1.1 400 ")


def test_a_connection_serves_many_requests_and_is_then_kept_for_a_while(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as kept:
        began = time.monotonic()
        while time.monotonic() - began < 3 * SECONDS:  # longer than one head may take
            assert kept.post("/", content=b"123").text == "3"


def test_only_so_many_connections_are_held(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(running, "HEAD_S", 5)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(port))
        time.sleep(0.1)
        began = time.monotonic()
        assert said(stack.enter_context(connected(port))) == b""
        assert time.monotonic() - began < 2
    time.sleep(0.1)
    assert lives(port)


def test_who_does_not_read_the_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "SEND_S", SECONDS)
    ended = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        async def zeros() -> object:
            while True:
                yield bytes(1 << 20)
                await asyncio.sleep(0)

        try:
            await StreamingResponse(zeros())(scope, receive, send)  # type: ignore[arg-type]
        finally:
            ended.append(time.monotonic())

    crowd = Crowd(endless, most=1, most_streams=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (crowd if scope["type"] == "http" else measures)(scope, receive, send)

    with answering(app) as number, connected(number) as connection:
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not ended and time.monotonic() - began < 10:
            time.sleep(0.05)
        assert ended
        assert ended[0] - began < 6 * SECONDS
