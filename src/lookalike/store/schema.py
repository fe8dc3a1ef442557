"""The fields of a row, and what a collection remembers about the model that filled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lookalike.records import Hit, ImageRecord, row_id

VECTOR_FIELD = "vector"
ID_LENGTH = 32
PATH_BYTES = 8192
FORMAT_BYTES = 32
INTEGER_FIELDS = ("size_bytes", "mtime_ns", "width", "height", "taken_at")
FACT_FIELDS = ("path", "content", *INTEGER_FIELDS, "format")

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
    }


def to_hit(entity: Mapping[str, Any], score: float) -> Hit:
    """A found row, with its dynamic fields as metadata."""
    return Hit(
        path=entity["path"],
        score=score,
        id=entity["id"],
        width=entity["width"],
        height=entity["height"],
        size_bytes=entity["size_bytes"],
        taken_at=entity["taken_at"] or None,
        format=entity["format"],
        metadata={
            name: value
            for name, value in entity.items()
            if name not in FACT_FIELDS and name not in ("id", VECTOR_FIELD)
        },
    )
