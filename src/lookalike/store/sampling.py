"""Rows by their ids, and what most rows are like; a range of ids is a random sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lookalike.records import Vector
from lookalike.store import filters, schema
from lookalike.store.database import Database, Row
from lookalike.store.design import CollectionDesign
from lookalike.store.schema import CollectionModel
from lookalike.store.shard import Shard

SAMPLE_ROWS = 1500
SAMPLE_LASTS_S = 60.0  # others may write to a server

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Background:
    """Some of the rows: `vectors` is (n, dim) float32, unit rows, of `rows` in all."""

    vectors: npt.NDArray[np.float32]
    rows: int


class Sampling:
    """What `MilvusStore` knows of its rows as such. Methods may be called from several threads."""

    collection: str
    model: CollectionModel
    design: CollectionDesign
    _database: Database
    _whole_rows: int  # so many rows of the largest size fit into a message
    _page_rows: int  # without the user's own fields

    def __init__(self) -> None:
        self._samples: dict[str, tuple[float, Any]] = {}
        self.changes = 0  # how often this process has written

    def count(self, shard: Shard | None = None) -> int:
        """The number of rows, of one shard where that is given."""
        part = filters.id_range(shard.number - 1, shard.of) if shard else ""
        return self._database.count(self.collection, part)

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[Row]:
        heavy = "$meta" in fields or "*" in fields
        size = self._whole_rows if heavy else len(ids) or 1
        return [
            row
            for start in range(0, len(ids), size)
            for row in self._database.get(self.collection, ids[start : start + size], fields)
        ]

    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vector]:
        """The unit vectors of those `ids` that have a row."""
        fields, size = ["id", schema.VECTOR_FIELD], self._page_rows
        return {
            row["id"]: np.array(row[schema.VECTOR_FIELD], np.float32)
            for start in range(0, len(ids), size)
            for row in self._rows(ids[start : start + size], fields)
        }

    def background(self) -> Background:
        """About 1,500 rows by chance; the same ones until this process writes, or for a minute."""

        def ask() -> Background:
            rows = self._some(min(SAMPLE_ROWS, self._page_rows), [schema.VECTOR_FIELD])
            vectors = np.array([row[schema.VECTOR_FIELD] for row in rows], np.float32)
            return Background(vectors.reshape(len(rows), self.model.dim), self.count())

        return self._remembered("background", ask)

    def kinds(self) -> Mapping[str, frozenset[type]]:
        """The user's own fields in some hundred rows, and the types of their values.

        What every row has stands for itself, so that it is empty only where no rows are.
        """

        def ask() -> Mapping[str, frozenset[type]]:
            kinds: dict[str, set[type]] = {}
            for row in self._some(self._whole_rows, ["id", "$meta"]):
                for name, value in row.items():
                    if value is not None:
                        kinds.setdefault(name, set()).add(type(value))
            return {name: frozenset(types) for name, types in kinds.items()}

        return self._remembered("kinds", ask)

    def _some(self, rows: int, fields: list[str]) -> list[Row]:
        # A little fewer on average, for ranges are not all as full.
        parts = -(-self.count() // max(1, rows - 4 * round(rows**0.5)))
        condition = "" if parts <= 1 else filters.id_range(0, parts)
        return self._database.query(
            self.collection, filter=condition, output_fields=fields, limit=rows
        )

    def _remembered(self, name: str, ask: Callable[[], Found]) -> Found:
        now = time.monotonic()
        known = self._samples.get(name)
        if known is None or now - known[0] > SAMPLE_LASTS_S:
            self._samples[name] = known = (now, ask())
        found: Found = known[1]
        return found

    def _forget_samples(self) -> None:
        self.changes += 1
        self._samples.clear()
