"""What a Milvus server says when it does not do what it was asked."""

from __future__ import annotations

import re
from typing import Any

import grpc

from lookalike.errors import ServerFull, ServerReadOnly, StoreError, TokenRefused

# What passes by itself while a server starts or moves things between its nodes, by the codes of
# Milvus's package merr: it as a whole, collections, replicas, channels, segments, nodes.
_PASSING = frozenset(
    {2, 4, 8, 12, 101, 103, 106, 202, 400, 401, 500, 501, 503, 600, 601, 602}
    | {901, 902, 903, 904, 905, 906}
)
# Its memory, its disk, what was allowed, and how many collections, partitions and databases there
# are; servers before 2.4 say some of these in words only.
_FULL = frozenset({3, 7, 102, 250, 801})
_SAYS_FULL = re.compile(r"(memory|disk) (quota|limit) (exceeded|exhausted)|no space left", re.I)
_DENIED = frozenset({9})
_SAYS_DENIED = re.compile(r"has been (disabled|denied) by|deny (to )?(write|read)|force deny", re.I)
_NOT_READY = 1  # which is also pymilvus's code for whatever has no other
# Of one that was started again, while its parts still look for each other's former selves.
_SAYS_MOVING = re.compile(r"node not (match|found)|session not found|connection is closing")
_GONE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)
REFUSED = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, 1400, 1401}
)


def code_of(error: BaseException) -> Any:
    """One of gRPC's codes, or a number of Milvus's."""
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def passes(error: Exception) -> bool:
    """Whether it may be over when it is asked again."""
    code = code_of(error)
    if code == _NOT_READY:
        return "not ready" in reason_in(error)
    if code in _GONE or code in _PASSING or getattr(error, "retriable", False):
        return True
    return bool(_SAYS_MOVING.search(_text_of(error)))


def mapped(shown: str, error: Exception) -> StoreError:
    """What a user is told of it."""
    code, reason = code_of(error), reason_in(error)
    if code in REFUSED:
        return TokenRefused(shown)
    if code in _FULL or _SAYS_FULL.search(reason):
        return ServerFull(shown, reason)
    if code in _DENIED or _SAYS_DENIED.search(reason):
        return ServerReadOnly(shown, reason)
    return StoreError(f"{shown} failed: {reason}.")


def reason_in(error: Exception) -> str:
    """Its first line; of several attempts, which come with where in Milvus they were, the last."""
    text = _text_of(error)
    if "stack trace:" in text.partition("\n")[0]:
        text = re.split(r"attempt #\d+: ", text)[-1]
    return text.splitlines()[0].rstrip(".")


def _text_of(error: Exception) -> str:
    text = error.details() if isinstance(error, grpc.RpcError) else getattr(error, "message", "")
    return (text or "").strip() or type(error).__name__


def said(error: StoreError) -> str:
    """What the server said, of what a user is told."""
    return str(error).partition(" failed: ")[2].rstrip(".") or str(error)
