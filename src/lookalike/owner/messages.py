"""What a server and those who go through it say to each other.

Everything has a type that both sides know beforehand, taken from the signature of the method that
is called: what comes in is data, and is refused if it is of another type. An answer is a sequence
of frames: any number of items, and then the end or an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

import msgspec
import numpy as np

import lookalike.errors as errors_module
from lookalike.errors import LookalikeError, StoreError
from lookalike.errors.base import restored

ITEM, END, ERROR = b"I", b".", b"E"
HEAD = struct.Struct(">cI")  # the kind, and how many bytes follow

_ARRAYS = {"float32", "uint8"}
_KINDS = {kind.__name__: kind for kind in (str, int, float, bool, list, dict)}


def encode(value: Any) -> bytes:
    """A value of one of the known types, as bytes."""
    return msgspec.msgpack.encode(value, enc_hook=_to_plain)


def decode(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """A value of this type; raises `msgspec.ValidationError` where it is of another."""
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_of_plain)


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """A part of an answer."""
    return HEAD.pack(kind, len(payload)) + payload


def frames(items: Iterator[Any]) -> Iterator[bytes]:
    """All parts of an answer."""
    try:
        for item in items:
            yield frame(ITEM, encode(item))
    except LookalikeError as error:
        yield error_frame(error)
    else:
        yield frame(END)


def read_frame(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """The kind and the payload of the next part; None where whoever writes has ended."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, size = HEAD.unpack(head)
    payload = stream.read(size)
    return (kind, payload) if len(payload) == size else None


def error_frame(error: LookalikeError) -> bytes:
    """The end of an answer that cannot be given."""
    return frame(ERROR, encode((type(error).__name__, str(error), vars(error))))


def error_of(payload: bytes) -> LookalikeError:
    """The error that the other side has raised: of the same class, with the same fields."""
    name, message, fields = decode(payload, tuple[str, str, dict[str, Any]])
    kind = getattr(errors_module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, LookalikeError)):
        return StoreError(message)
    return restored(kind, (message,), {name: _with_tuples(each) for name, each in fields.items()})


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, type):
        return value.__name__
    raise NotImplementedError(f"a {type(value).__name__} cannot be sent")


def _of_plain(kind: Any, value: Any) -> Any:
    if kind is type:
        return _KINDS[value]
    dtype, shape, data = value
    if dtype not in _ARRAYS:
        raise ValueError(f"an array of {dtype} cannot be received")
    return np.frombuffer(data, dtype).reshape(shape)
