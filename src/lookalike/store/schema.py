"""The fields of a row, and what a collection remembers about the model that filled it.

A row's id is the hash of its path. In a collection of several tenants it is that XOR the hash of
the tenant's name, so that the same path of two tenants has two rows; above `designed` nobody sees
that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.records import Hit, ImageRecord, Stamp, row_id

VECTOR_FIELD = "vector"
ID_LENGTH = 32
PATH_BYTES = 8192
FORMAT_BYTES = 32
FACT_BYTES = 512  # at most, of the fields that are neither vector, path nor the user's own
INTEGER_FIELDS = ("size_bytes", "mtime_ns", "width", "height", "taken_at")
FACT_FIELDS = ("path", "content", *INTEGER_FIELDS, "format")
ANIMATED_FIELD = "animated"  # dynamic, and only in the rows of animations
PHASH_FIELD = "_phash"  # dynamic, too: 16 hex digits; a name that no user would give a field
TENANT_FIELD = "_tenant"  # only in collections of several tenants; see `designed`
OWN_FIELDS = frozenset(
    {"id", *FACT_FIELDS, VECTOR_FIELD, ANIMATED_FIELD, PHASH_FIELD, TENANT_FIELD}
)
RESERVED_FIELDS = OWN_FIELDS | {"_seq", "_partition"}  # the last two are Milvus Lite's own
# Milvus's limit on the dynamic fields of a row as JSON, less what the own ones take.
METADATA_BYTES = 65_536 - len(f'"{ANIMATED_FIELD}":true,"{PHASH_FIELD}":"{"0" * 16}",')

SCHEMA_VERSION = "1"
METRICS = ("COSINE", "IP", "L2")
_PREFIX = "lookalike."


@dataclass(frozen=True, kw_only=True)
class CollectionModel:
    """The model that a collection's vectors are from, kept in the collection's properties."""

    model: str
    fingerprint: str
    dim: int
    metric: str = "COSINE"
    version: str = SCHEMA_VERSION

    def to_properties(self) -> dict[str, str]:
        """As Milvus keeps it: strings under ``lookalike.`` names."""
        return {f"{_PREFIX}{name}": str(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> CollectionModel | None:
        """None where the collection was not made by lookalike."""
        try:
            values: dict[str, Any] = {
                name: properties[_PREFIX + name] for name in cls.__dataclass_fields__
            }
            return cls(**{**values, "dim": int(values["dim"])})
        except (KeyError, ValueError):
            return None


def to_row(record: ImageRecord) -> dict[str, Any]:
    """A record as Milvus takes it."""
    return {
        **record.metadata,
        "id": row_id(record.path),
        "path": record.path,
        "content": record.content,
        "size_bytes": record.stamp.size_bytes,
        "mtime_ns": record.stamp.mtime_ns,
        "width": record.width,
        "height": record.height,
        "taken_at": record.taken_at,
        "format": record.format,
        VECTOR_FIELD: record.vector,
        **({ANIMATED_FIELD: True} if record.animated else {}),
        **({PHASH_FIELD: record.phash} if record.phash else {}),
    }


def messages(records: Sequence[ImageRecord], limit: int) -> Iterator[list[ImageRecord]]:
    """Parts of the records whose rows take at most `limit` bytes each."""
    part: list[ImageRecord] = []
    size = 0
    for record in records:
        # The most that it can be: to count the bytes of somebody's own fields takes longer.
        row = record.vector.nbytes + 4 * len(record.path) + FACT_BYTES
        row += METADATA_BYTES if record.metadata else 0
        if part and size + row > limit:
            yield part
            part, size = [], 0
        part.append(record)
        size += row
    if part:
        yield part


def to_record(row: Mapping[str, Any]) -> ImageRecord:
    """A stored row as a record; its vector is empty where it was not asked for."""
    return ImageRecord(
        path=row["path"],
        content=row["content"],
        stamp=Stamp(row["size_bytes"], row["mtime_ns"]),
        width=row["width"],
        height=row["height"],
        taken_at=row["taken_at"],
        format=row["format"],
        vector=np.asarray(row.get(VECTOR_FIELD, ()), dtype=np.float32),
        animated=row.get(ANIMATED_FIELD) is True,
        metadata=to_metadata(row),
        phash=_known_hash(row.get(PHASH_FIELD)),
    )


def _known_hash(value: object) -> str:
    """Anybody could have written something else into a dynamic field."""
    return value if isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) else ""


def to_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own fields of a row."""
    return {name: value for name, value in row.items() if name not in OWN_FIELDS}


def to_hit(entity: Mapping[str, Any], score: float) -> Hit:
    """A found row, with the user's own fields as metadata."""
    return Hit(
        path=entity["path"],
        score=score,
        id=entity["id"],
        width=entity["width"],
        height=entity["height"],
        size_bytes=entity["size_bytes"],
        taken_at=entity["taken_at"] or None,
        format=entity["format"],
        animated=entity.get(ANIMATED_FIELD) is True,
        content=entity["content"],
        metadata=to_metadata(entity),
    )
