"""What other processes of this machine do with the database and the model; not for browsers."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from lookalike.embed.embedder import ModelEmbedder, reads_words
from lookalike.embed.served import Vectors
from lookalike.errors import InvalidQuestion
from lookalike.owner.connection import SECRET_HEADER
from lookalike.owner.messages import decode, frames
from lookalike.owner.note import proof_of
from lookalike.records import Pixels
from lookalike.serve.problems import Refused
from lookalike.serve.service import Served
from lookalike.store.served import METHODS, Call, call_of
from lookalike.store.served import Served as WhatIsServed

CHUNK_BYTES = 1 << 16


def _from_here(request: Request) -> None:
    """Refuse other machines, and browsers."""
    client, server = request.client, request.scope.get("server")
    own = server and client and client.host == server[0]
    if not (own or (client and _is_loopback(client.host))) or "origin" in request.headers:
        raise Refused(403, "forbidden", "This is for programs on the machine of the server alone.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_secret(request: Request, service: Served) -> None:
    shown = request.headers.get(SECRET_HEADER, "")
    if not hmac.compare_digest(shown.encode(), service.lending.secret.encode()):
        raise Refused(401, "unauthorized", "This needs the secret of the database's folder.")


router = APIRouter(prefix="/owner", include_in_schema=False, dependencies=[Depends(_from_here)])
lent = APIRouter(dependencies=[Depends(_with_secret)])


async def _sent(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_sent)]


@router.get("/alive")
def alive(nonce: str, service: Served) -> PlainTextResponse:
    """Show that this is the server that the file in the database's folder is about."""
    return PlainTextResponse(proof_of(service.lending.secret, nonce))


@lent.post("/served")
async def served(service: Served) -> Response:
    """Which rows these are."""
    store = service.index._store
    return await _answer(lambda: WhatIsServed(store.name, store.collection, store.model))


@lent.post("/model")
async def model(service: Served) -> Response:
    """How pictures are prepared for the model; nothing where a program has brought its own."""
    embedder = service.index.embedder
    own = embedder if isinstance(embedder, ModelEmbedder) else None
    return await _answer(lambda: own and (own.description, own.batch_size))


@lent.post("/embed")
async def embed(service: Served, body: Body) -> Response:
    """Prepared pictures become vectors."""
    pictures: Pixels = _received(body, Pixels)
    return await _answer(lambda: service.index.embedder.embed(pictures))


@lent.post("/embed_text")
async def embed_text(service: Served, body: Body) -> Response:
    """Words become vectors."""
    texts: list[str] = _received(body, list[str])

    def vectors() -> Vectors:
        embedder = service.index.embedder
        if not reads_words(embedder):
            raise InvalidQuestion(f"{embedder.name} does not read words.")
        return embedder.embed_text(texts)

    return await _answer(vectors)


@lent.post("/store/{method}")
async def call(method: str, service: Served, body: Body) -> Response:
    """A method of the rows' store."""
    if method not in METHODS:
        raise Refused(404, "not_found", "There is no such method.")
    called = call_of(method)
    arguments = _arguments(called, body)
    function = getattr(service.index._store, method)
    if not called.streamed:
        return await _answer(lambda: function(**arguments))
    # Made there: what is begun in one thread is gone on with in others.
    return StreamingResponse(_chunks(frames(function(**arguments))), media_type=MEDIA_TYPE)


router.include_router(lent)
MEDIA_TYPE = "application/octet-stream"


async def _answer(ask: Callable[[], Any]) -> Response:
    def whole() -> bytes:
        def answer() -> Iterator[Any]:
            yield ask()

        return b"".join(frames(answer()))

    return Response(await run_in_threadpool(whole), media_type=MEDIA_TYPE)


def _arguments(called: Call, body: bytes) -> dict[str, Any]:
    given = _received(body or b"\x80", dict[str, msgspec.Raw])
    if unknown := given.keys() - called.arguments.keys():
        raise Refused(422, "invalid_request", f"There is no argument {min(unknown)}.")
    return {name: _received(raw, called.arguments[name]) for name, raw in given.items()}


def _received(data: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return decode(data, kind)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise Refused(422, "invalid_request", str(error)) from error


def _chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Small parts together: each takes a turn of the loop."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        if len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
