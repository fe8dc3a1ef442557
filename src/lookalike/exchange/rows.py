"""A row as it stands in an export; whatever comes from a file is checked before it is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from lookalike.errors import InvalidMetadata
from lookalike.ingest.metadata import checked
from lookalike.records import ImageRecord, Stamp, Vector, row_id
from lookalike.sources.names import fault_of
from lookalike.store.schema import (
    ANIMATED_FIELD,
    FACT_FIELDS,
    FORMAT_BYTES,
    INTEGER_FIELDS,
    METRICS,
    SCHEMA_VERSION,
    CollectionModel,
)

PHASH_COLUMN = "phash"
COLUMNS = ("id", *FACT_FIELDS, ANIMATED_FIELD, PHASH_COLUMN, "metadata")
"""All of a row but its vector."""

LARGEST_DIM = 32_768  # Milvus's limit
# Lengths of what embedders give differ from 1 by less than 1e-6.
_TOLERANCE = 1e-3
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/|[a-z][a-z0-9+.-]*://")
_HASHES = {"content": re.compile(r"[0-9a-f]{32}"), PHASH_COLUMN: re.compile(r"([0-9a-f]{16})?")}
_MAY_BE_NEGATIVE = {"mtime_ns", "taken_at"}


class Unusable(ValueError):
    """What is wrong with an export, without its name."""


def facts_of(record: ImageRecord) -> dict[str, Any]:
    """All of a row but its vector, in the order of `COLUMNS`."""
    return {
        "id": row_id(record.path),
        "path": record.path,
        "content": record.content,
        "size_bytes": record.stamp.size_bytes,
        "mtime_ns": record.stamp.mtime_ns,
        "width": record.width,
        "height": record.height,
        "taken_at": record.taken_at,
        "format": record.format,
        ANIMATED_FIELD: record.animated,
        PHASH_COLUMN: record.phash,
        "metadata": dict(record.metadata),
    }


def record_of(facts: Mapping[str, Any], vector: Vector) -> ImageRecord:
    """The row that these facts and this (dim,) float32 vector are.

    Raises:
        Unusable: they are none that `facts_of` could have come from.
    """
    if facts.keys() != set(COLUMNS):
        raise Unusable(f"a row has the fields {', '.join(facts)}, not {', '.join(COLUMNS)}")
    path = facts["path"]
    if not isinstance(path, str) or not _ABSOLUTE.match(path):
        raise Unusable(f"the path {path!r} is not absolute")
    if fault := fault_of(path):
        raise Unusable(f"the path {path!r} cannot be stored: {fault}")
    if reason := _fault_of_facts(facts):
        raise Unusable(f"the row of {path!r} {reason}")
    # Not `<=`, which is false for NaN, too.
    if not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < _TOLERANCE:
        raise Unusable(f"the vector of {path!r} does not have the length 1")
    try:
        metadata = checked(path, facts["metadata"])
    except InvalidMetadata as error:
        raise Unusable(f"the row of {path!r}: {error.reason}") from error
    return ImageRecord(
        path=path,
        content=facts["content"],
        stamp=Stamp(facts["size_bytes"], facts["mtime_ns"]),
        width=facts["width"],
        height=facts["height"],
        taken_at=facts["taken_at"],
        format=facts["format"],
        vector=vector,
        animated=facts[ANIMATED_FIELD],
        phash=facts[PHASH_COLUMN],
        metadata=metadata,
    )


def _fault_of_facts(facts: Mapping[str, Any]) -> str | None:
    if facts["id"] != row_id(facts["path"]):
        return f"has the id {facts['id']!r}, which is not that of its path"
    for name, form in _HASHES.items():
        if not (isinstance(facts[name], str) and form.fullmatch(facts[name])):
            return f"has the {name} {facts[name]!r}"
    for name in INTEGER_FIELDS:
        value = facts[name]
        least = -(1 << 63) if name in _MAY_BE_NEGATIVE else 0
        if type(value) is not int or not least <= value < 1 << 63:
            return f"has the {name} {value!r}"
    kind = facts["format"]
    if not (isinstance(kind, str) and kind.isascii() and len(kind) <= FORMAT_BYTES):
        return f"has the format {kind!r}"
    if type(facts[ANIMATED_FIELD]) is not bool:
        return f"has the value {facts[ANIMATED_FIELD]!r} for {ANIMATED_FIELD}"
    return None


def model_of(properties: Mapping[str, str]) -> CollectionModel:
    """The model that the vectors of an export are from.

    Raises:
        Unusable: it says none, or one of a version that is not known here.
    """
    model = CollectionModel.from_properties(properties)
    if model is None:
        raise Unusable("it was not made by: lookalike export")
    if model.version != SCHEMA_VERSION or model.metric not in METRICS:
        raise Unusable(f"it has version {model.version} and metric {model.metric}, unknown here")
    if not 1 <= model.dim <= LARGEST_DIM:
        raise Unusable(f"it says that vectors have {model.dim} numbers")
    return model
