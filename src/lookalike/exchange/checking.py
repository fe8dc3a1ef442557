"""Whether rows have arrived as they were: some of them, by chance, are compared as a whole."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from lookalike.errors import CopyDiffers
from lookalike.exchange.rows import facts_of
from lookalike.ingest.metadata import same
from lookalike.records import ImageRecord, row_id

SAMPLED_ROWS = 1000
# A number of a unit vector in half precision is off by at most 2^-12.
TOLERANCE = 1e-3


class Sample:
    """Rows of a stream, each with the same chance, however long it is (Vitter 1985)."""

    def __init__(self, rows: int = SAMPLED_ROWS, *, seed: int | None = None) -> None:
        self._rows, self._seen = rows, 0
        self._chance = random.Random(seed)  # noqa: S311
        self.records: list[ImageRecord] = []

    def see(self, page: Sequence[ImageRecord]) -> None:
        """Take some of the next rows."""
        for record in page:
            self._seen += 1
            place = len(self.records)
            if place == self._rows:
                place = self._chance.randrange(self._seen)
                if place >= self._rows:
                    continue
            # A vector is a view of its whole page, which would stay with it.
            taken = replace(record, vector=record.vector.copy())
            self.records[place : place + 1] = [taken]

    @property
    def ids(self) -> list[str]:
        """Those of what was taken."""
        return [row_id(record.path) for record in self.records]

    def check(self, found: Iterable[ImageRecord], target: str) -> int:
        """Compare all that was taken with the rows that are in the target.

        Returns:
            How many there were.

        Raises:
            CopyDiffers: one is missing or different; it is named.
        """
        there = {row_id(record.path): record for record in found}
        for record in self.records:
            other = there.get(row_id(record.path))
            if fault := _fault(record, other):
                raise CopyDiffers(record.path, target, fault)
        return len(self.records)


def same_facts(one: ImageRecord, other: ImageRecord) -> bool:
    """Whether all is the same but the vectors, which are not looked at."""
    ours, theirs = facts_of(one), facts_of(other)
    fields, others = ours.pop("metadata"), theirs.pop("metadata")
    return ours == theirs and same(fields, others)


def _fault(record: ImageRecord, other: ImageRecord | None) -> str | None:
    if other is None:
        return "is not there"
    if not same_facts(record, other):
        return "has other facts or fields there"
    if record.vector.shape != other.vector.shape:
        return f"has {len(other.vector)} numbers there, not {len(record.vector)}"
    difference = float(np.abs(record.vector - other.vector).max())
    # Not `>`, which is false for NaN, too.
    return None if difference <= TOLERANCE else f"has a vector there that is {difference:.3g} off"
