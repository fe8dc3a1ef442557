"""How much of an approximate index a search looks at, and what recall that gives.

Each index type has one number that trades time for recall: nodes of a graph that are kept while
searching (``ef``, ``search_list``, ``itopk_size``), or lists that are looked into (``nprobe``).
A curve measured with a collection's own vectors says which is enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.errors import InvalidSetting
from lookalike.store.design import CollectionDesign

PROPERTY = "lookalike.curve"
LEVEL = "lookalike.recall"
MEASURED_HITS = 10  # recall@10
MOST = 32_768  # of nodes kept, in Milvus
USUAL_LEVEL = 0.95
OUTGROWN = 4  # times as many rows as a curve was measured with

_GRAPHS = {
    "HNSW": "ef", "HNSW_SQ": "ef", "HNSW_PQ": "ef", "HNSW_PRQ": "ef",
    "DISKANN": "search_list", "GPU_CAGRA": "itopk_size",
}  # fmt: skip
_LISTS = "nprobe"
_NODES = (16, 32, 64, 128, 256, 512, 1024)
# Where nothing was measured: 64 nodes, a sixteenth of the lists.
_USUAL_NODES, _USUAL_PART = 64, 16
_USUAL_LISTS = 128  # Milvus's own number of lists, where none is given


@dataclass(frozen=True, slots=True)
class Point:
    """What one amount of effort gave: mean recall@10, and the median milliseconds of a question."""

    value: int
    recall: float
    ms: float


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured: `points` in growing effort, with so many questions, at so many rows."""

    index_type: str
    parameter: str
    rows: int
    questions: int
    points: tuple[Point, ...]

    def enough(self, recall: float) -> Point:
        """The least effort with that recall; the one of the best recall where none has it."""
        reached = [point for point in self.points if point.recall >= recall]
        return reached[0] if reached else max(self.points, key=lambda point: point.recall)

    def holds(self, rows: int) -> bool:
        """Whether it still tells something, with so many rows."""
        return rows <= OUTGROWN * self.rows

    def to_properties(self) -> dict[str, str]:
        """As Milvus keeps it."""
        return {PROPERTY: json.dumps(asdict(self))}

    @staticmethod
    def forgotten() -> dict[str, str]:
        """What is kept in place of a curve that holds no more."""
        return {PROPERTY: ""}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> Curve | None:
        """None where none was measured, or the note cannot be read."""
        try:
            said = json.loads(properties[PROPERTY])
            points = tuple(Point(**point) for point in said.pop("points"))
            return cls(points=points, **said) if points else None
        except (KeyError, ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Effort:
    """The effort of a collection's searches; no `parameter` where every vector is compared."""

    parameter: str = ""
    value: int = 0
    most: int = 0

    def params(self, limit: int) -> dict[str, Any]:
        """Milvus's search parameters for so many hits.

        A graph must keep as many nodes as there are hits. That number grows in powers of two, so
        that pages are of one and the same list as long as they end below the next.
        """
        if not self.parameter:
            return {}
        if self.parameter == _LISTS:
            return {_LISTS: self.value}
        return {self.parameter: min(max(self.value, 1 << (limit - 1).bit_length()), MOST)}

    def with_value(self, value: int) -> Effort:
        """The same index, looked at more or less."""
        return Effort(self.parameter, max(1, min(value, self.most)), self.most)

    @property
    def whole(self) -> Effort:
        """As much as there is."""
        return self.with_value(self.most)

    def ladder(self) -> tuple[int, ...]:
        """What is worth measuring, in growing effort."""
        if self.parameter != _LISTS:
            return _NODES
        return tuple(
            1 << power for power in range(self.most.bit_length()) if 1 << power <= self.most
        )


def effort_of(design: CollectionDesign, curve: Curve | None, recall: float | None) -> Effort:
    """What searches of a collection look at.

    Args:
        design: how it is kept.
        curve: what was measured in it.
        recall: the level that is wanted; 0.95 where a curve is there and none is said.
    """
    kind = design.index_type
    if design.exact or kind == "AUTOINDEX":  # which chooses by itself
        return Effort()
    if kind in _GRAPHS:
        usual = Effort(_GRAPHS[kind], _USUAL_NODES, MOST)
    else:
        lists = int(design.index_params.get("nlist", _USUAL_LISTS))
        usual = Effort(_LISTS, max(1, lists // _USUAL_PART), lists)
    if curve is None or (curve.index_type, curve.parameter) != (kind, usual.parameter):
        return usual
    return usual.with_value(curve.enough(USUAL_LEVEL if recall is None else recall).value)


def known_level(recall: float | None) -> float | None:
    """A level of recall, if it can be one.

    Raises:
        InvalidSetting: it cannot.
    """
    if recall is not None and not 0 < recall <= 1:
        raise InvalidSetting("recall", recall, "above 0 and at most 1")
    return recall
