"""The user's own fields: what they may be, and the rows that have others than are given."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from lookalike.errors import InvalidMetadata, InvalidSetting
from lookalike.records import Fields, ImageRecord, Metadata, row_id
from lookalike.sources.names import absolute, storable
from lookalike.store.schema import METADATA_BYTES, RESERVED_FIELDS

REWRITTEN_ROWS = 500  # With the largest fields about half of the largest message, 64 MB.

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUES = "text, finite numbers, whole ones of at most 64 bits, booleans, None, lists, dictionaries"


class Rows(Protocol):
    """What is needed of a store to write rows again."""

    def metadata(self, ids: Sequence[str]) -> dict[str, Fields]: ...  # noqa: D102
    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102


def lookup(metadata: Metadata) -> Callable[[str], Fields | None]:
    """From a path as stored to its fields as they are stored; a mapping is checked here and now.

    Raises:
        InvalidMetadata: fields cannot be stored; for those of a function, when it is called.
    """
    if not isinstance(metadata, Mapping):
        if not callable(metadata):
            kind = type(metadata).__name__
            raise InvalidSetting("metadata", kind, "a mapping from paths, or a function of them")
        return lambda path: None if (found := metadata(path)) is None else checked(path, found)
    known: dict[str, Fields] = {}
    for written, fields in metadata.items():
        path = absolute(written)
        own = checked(path, fields)
        if path in known and not same(known[path], own):
            raise InvalidMetadata(path, "it is named twice, with different fields")
        known[path] = own
    return known.get


def checked(path: str, fields: Fields) -> dict[str, Any]:
    """The fields of a picture in the types that come back from the database.

    Raises:
        InvalidMetadata: they cannot be stored.
    """
    if not isinstance(fields, Mapping):
        reason = f"its fields are a {type(fields).__name__}, but must be a mapping from names"
        raise InvalidMetadata(path, reason)
    for name in fields:
        if reason := wrong_name(name):
            raise InvalidMetadata(path, reason)
    plain = {name: _checked_value(path, name, value) for name, value in fields.items()}
    size = len(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode())
    if size > METADATA_BYTES:
        reason = f"its fields take {size} bytes as JSON, and at most {METADATA_BYTES} can be stored"
        raise InvalidMetadata(path, reason)
    return plain


def wrong_name(name: object) -> str | None:
    """Why no field may be called so: filters could not name it, or every row has such a field."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        return f"the field name {name!r} must be of letters a-z, digits and _, with no digit first"
    if name.lower() == "not":
        return f"a field {name!r} could not be named in a filter; give it another name"
    if name in RESERVED_FIELDS:
        return f"a field {name!r} is in every row already; give yours another name"
    return None


def same(one: Fields, other: Fields) -> bool:
    """Whether two pictures' checked fields are the same; 1, 1.0 and true are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def outdated(given: Mapping[str, Fields], store: Rows) -> list[str]:
    """The ids of these paths' rows that have other fields."""
    wanted = {row_id(path): fields for path, fields in given.items()}
    stored = store.metadata(list(wanted))
    return [key for key, has in stored.items() if not same(has, wanted[key])]


def rewrite(given: Mapping[str, Fields], store: Rows) -> int:
    """Write the rows of these paths again where their fields differ, and nothing else of them.

    Returns:
        How many rows were written.
    """
    keys = iter(outdated(given, store))
    written = 0
    while ids := list(itertools.islice(keys, REWRITTEN_ROWS)):
        records = [replace(record, metadata=given[record.path]) for record in store.records(ids)]
        store.upsert(records)
        written += len(records)
    return written


def hand_on(moved: Mapping[str, str], store: Rows) -> None:
    """Give the fields of rows to those that take their places, where these have none yet.

    Args:
        moved: ids of rows -> ids of the rows that take their places.
        store: has both.
    """
    had = {key: fields for key, fields in store.metadata(list(moved)).items() if fields}
    heirs = store.metadata([moved[key] for key in had])
    bare = {moved[key]: fields for key, fields in had.items() if heirs.get(moved[key]) == {}}
    records = store.records(list(bare))
    store.upsert([replace(record, metadata=bare[row_id(record.path)]) for record in records])


def _checked_value(path: str, name: str, value: object) -> Any:
    try:
        return _plain(value)
    except ValueError as error:
        raise InvalidMetadata(path, f"its field {name!r} has {error}; use {_VALUES}") from None
    except RecursionError:
        raise InvalidMetadata(path, f"its field {name!r} is nested too deeply") from None


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and storable(key) for key in value):
            raise ValueError("a key that is no text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str) and not storable(value):
        raise ValueError("text that is not valid UTF-8")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("a number beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"the number {value}")
    if value is not None and not isinstance(value, (str, int, float)):  # a bool is an int
        raise ValueError(f"a {type(value).__name__}")
    return value
