"""Exact search in Milvus Lite's own tables of rows.

For each search Milvus Lite walks in Python through all rows to see which of them count, and
measures the length of each vector. Files never change, so here both is done once for each of them,
and a search is a product of matrices.

- A row is outdone by one of the same id with a larger number, and by a deletion with a larger one.
- What waits in memory is some hundred rows at most, and looked at for each search.
"""

from __future__ import annotations

import contextlib
import json
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike.store.database import Row
from lookalike.store.schema import VECTOR_FIELD

SCORES_AT_ONCE = 16_000_000  # 64 MB
EXACT_AT_ONCE = 4096
_UNIT = 1e-6  # the length of a float32 unit vector is not nearer to 1

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is remembered of a file: which rows count, and their lengths where they are not 1."""

    of: weakref.ref[Any]  # the file's array of numbers, which tells this file from others
    alive: Flags
    lengths: Matrix | None


@dataclass(frozen=True, slots=True)
class _Part:
    """A table, the (n, dim) vectors of its rows, and which of these count."""

    table: Any
    vectors: Matrix
    alive: Flags
    lengths: Matrix | None


class LiteSearch:
    """Searches a loaded collection of Milvus Lite. Methods may be called from several threads."""

    def __init__(self, rows: Any) -> None:
        self.rows = self._rows = rows
        self._metric = rows.resolve_search_metric(VECTOR_FIELD, None)
        self._updating = threading.Lock()
        self._known: dict[int, _Counted] = {}
        self._deletions: Mapping[str, int] = {}
        self._leaving: list[Any] = []

    def search(
        self, vectors: Matrix, *, limit: int, condition: str, fields: Sequence[str]
    ) -> list[list[Row]]:
        """The rows nearest to each of the (n, dim) vectors, as ``MilvusClient.search`` has them.

        Args:
            vectors: float32; for COSINE their lengths do not matter.
            limit: how many at most for each.
            condition: an expression of Milvus's, or empty.
            fields: what is wanted of the rows; ``$meta`` is all fields without a column.
        """
        parts = list(self._parts())
        if condition:
            parts = self._meeting(condition, parts)
        parts = [part for part in parts if part.alive.any()]
        rows = sum(len(part.alive) for part in parts)
        step = max(1, SCORES_AT_ONCE // max(rows, 1))
        found = []
        for start in range(0, len(vectors), step):
            some = vectors[start : start + step]
            nearest = [self._nearest(part, some, limit) for part in parts]
            found += [
                self._hits(parts, [at[number] for at in nearest], vector, limit, fields)
                for number, vector in enumerate(some)
            ]
        return found

    def _nearest(self, part: _Part, vectors: Matrix, limit: int) -> Places:
        """(n, k) the numbers of those rows of a part that are nearest, in no order."""
        closeness = vectors @ part.vectors.T  # (n, rows) float32
        if self._metric == "L2":
            closeness -= 0.5 if part.lengths is None else part.lengths**2 / 2
        elif self._metric == "COSINE" and part.lengths is not None:
            closeness /= np.where(part.lengths == 0, 1, part.lengths)
        count = int(part.alive.sum())
        if count < len(part.alive):
            closeness[:, ~part.alive] = -np.inf
        first = len(part.alive) - min(limit, count)
        if not first:
            return np.broadcast_to(np.arange(count), closeness.shape)
        return np.argpartition(closeness, first, axis=1)[:, first:]

    def _hits(
        self,
        parts: Sequence[_Part],
        nearest: Sequence[Places],
        vector: npt.NDArray[np.float32],
        limit: int,
        fields: Sequence[str],
    ) -> list[Row]:
        """The nearest of the nearest rows of each part, best first."""
        if not parts:
            return []
        # Exactly, so that it does not matter with how many others a question is asked.
        scores = np.concatenate(
            [
                self._scores(part.vectors, at, vector)
                for part, at in zip(parts, nearest, strict=True)
            ]
        )
        where = np.repeat(np.arange(len(parts)), [len(at) for at in nearest])
        rows = np.concatenate(nearest)
        order = np.argsort(scores if self._metric == "L2" else -scores, kind="stable")[:limit]
        return _as_hits(parts, where[order], rows[order], scores[order], fields)

    def _scores(
        self, vectors: Matrix, at: Places, vector: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Those of some rows, in the metric of the collection."""
        question = vector.astype(np.float64)
        scores = np.empty(len(at))
        for start in range(0, len(at), EXACT_AT_ONCE):
            rows = vectors[at[start : start + EXACT_AT_ONCE]].astype(np.float64)
            if self._metric == "L2":
                found = np.square(rows - question).sum(axis=1)
            else:
                found = rows @ question
            if self._metric == "COSINE":
                lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(question)
                found /= np.where(lengths == 0, 1, lengths)
            scores[start : start + EXACT_AT_ONCE] = found
        return scores

    def _meeting(self, condition: str, parts: Iterable[_Part]) -> list[_Part]:
        # Imported here: few questions need it.
        from milvus_lite.search.filter import evaluate_mask  # noqa: PLC0415

        compiled = self._rows._compile_filter(condition)
        found = []
        for part in parts:
            meets = np.asarray(evaluate_mask(compiled, part.table), bool)
            found.append(_Part(part.table, part.vectors, part.alive & meets, part.lengths))
        return found

    @contextlib.contextmanager
    def keeping_memory(self) -> Iterator[None]:
        """Let what is in memory now be found while it is moved into files.

        Milvus Lite empties its memory first, and adds the files after that.
        """
        memory = self._rows._memtable
        with self._updating:
            self._leaving = [*self._leaving, memory]
        try:
            yield
        finally:
            with self._updating:
                leaving = list(self._leaving)
                leaving.remove(memory)
                self._leaving = leaving

    def _parts(self) -> Iterator[_Part]:
        """All tables; memory is asked first, so that what goes into files meanwhile is there twice.

        The other way round it would be nowhere.
        """
        memory = [self._rows._memtable]
        memory += [each for each in self._leaving if each is not memory[0]]
        # Deletions first: of a row that comes back meanwhile, the old one must not.
        gone = [
            (pk, entry[0]) for each in memory for pk, entry in each.delete_index_snapshot().items()
        ]
        tables = [each.to_search_snapshot(None, include_table=True) for each in memory]
        newest: dict[str, int] = {}
        for pk, number in gone:
            newest[pk] = max(number, newest.get(pk, -1))
        for pks, numbers, *_ in tables:
            for pk, number in zip(pks, numbers.tolist(), strict=True):
                newest[pk] = max(number, newest.get(pk, -1))
        segments, counted = self._counted()
        for segment, known in zip(segments, counted, strict=True):
            alive = known.alive
            # Keys are compared as sets, which is done in C.
            for key in newest.keys() & segment.pk_to_row.keys():
                at = segment.pk_to_row[key]
                if segment.seqs[at] <= newest[key]:
                    alive = alive.copy() if alive is known.alive else alive
                    alive[at] = False
                else:
                    newest[key] = int(segment.seqs[at])
            yield _Part(segment.table, segment.vectors, alive, known.lengths)
        for pks, numbers, _, _, recent in tables:
            if recent is not None and pks:
                alive = np.array(
                    [newest[pk] == at for pk, at in zip(pks, numbers.tolist(), strict=True)]
                )
                vectors = _matrix(recent[VECTOR_FIELD])
                yield _Part(recent, vectors, alive, _lengths(vectors))

    def _counted(self) -> tuple[Sequence[Any], list[_Counted]]:
        """The files, and what counts in each of them; only what is new is looked at."""
        with self._updating:
            # Here, so that no search has older files than what counts in them was told from.
            segments, deletions = self._rows._read_snapshot()
            known = {
                id(segment.seqs): self._known[id(segment.seqs)]
                for segment in segments
                if id(segment.seqs) in self._known
                and self._known[id(segment.seqs)].of() is segment.seqs
            }
            new = [segment for segment in segments if id(segment.seqs) not in known]
            later: dict[str, int] = {}
            if deletions._map != self._deletions:
                later = {
                    key: number
                    for key, number in deletions._map.items()
                    if self._deletions.get(key) != number
                }
            if new or later:
                known = _recounted(segments, known, new, later, deletions._map)
            self._known, self._deletions = known, deletions._map
            return segments, [known[id(segment.seqs)] for segment in segments]


def _recounted(
    segments: Sequence[Any],
    known: Mapping[int, _Counted],
    new: Sequence[Any],
    later: Mapping[str, int],
    deletions: Mapping[str, int],
) -> dict[int, _Counted]:
    """What counts in all files, with new ones among them and later deletions."""
    alive = {
        id(segment.seqs): known[id(segment.seqs)].alive.copy()
        if id(segment.seqs) in known
        else np.ones(len(segment.seqs), bool)
        for segment in segments
    }
    seen = [segment for segment in segments if id(segment.seqs) in known]
    for segment in new:
        _outdo(segment, seen, alive)
        _delete(segment, deletions, alive)
        seen.append(segment)
    for segment in segments:
        _delete(segment, later, alive)
    return {
        id(segment.seqs): _Counted(
            weakref.ref(segment.seqs),
            alive[id(segment.seqs)],
            known[id(segment.seqs)].lengths
            if id(segment.seqs) in known
            else _lengths(segment.vectors),
        )
        for segment in segments
    }


def _outdo(segment: Any, others: Sequence[Any], alive: Mapping[int, Flags]) -> None:
    """Let of the rows with one id only the newest count, in a new file and in the others."""
    own = alive[id(segment.seqs)]
    for other in others:
        # Keys are compared as sets, which is done in C.
        for key in segment.pk_to_row.keys() & other.pk_to_row.keys():
            mine, theirs = segment.pk_to_row[key], other.pk_to_row[key]
            if segment.seqs[mine] < other.seqs[theirs]:
                own[mine] = False
            else:
                alive[id(other.seqs)][theirs] = False


def _delete(segment: Any, deletions: Mapping[str, int], alive: Mapping[int, Flags]) -> None:
    for key in deletions.keys() & segment.pk_to_row.keys():
        at = segment.pk_to_row[key]
        if segment.seqs[at] < deletions[key]:
            alive[id(segment.seqs)][at] = False


def _matrix(column: Any) -> Matrix:
    """A column of vectors as (n, dim) float32."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(len(column), -1)


def _lengths(vectors: Matrix) -> Matrix | None:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return None if np.all(np.abs(lengths - 1) < _UNIT) else lengths


def _as_hits(
    parts: Sequence[_Part],
    where: Places,
    at: Places,
    scores: npt.NDArray[np.float64],
    fields: Sequence[str],
) -> list[Row]:
    hits: list[Row] = [{} for _ in scores]
    for number, part in enumerate(parts):
        (places,) = np.nonzero(where == number)
        if not len(places):
            continue
        names = [name for name in dict.fromkeys(["id", *fields]) if name in part.table.schema.names]
        entities = part.table.select(names).take(at[places]).to_pylist()
        for place, entity in zip(places.tolist(), entities, strict=True):
            entity.update(json.loads(entity.pop("$meta", None) or "{}"))
            score = float(scores[place])
            hits[place] = {"id": entity["id"], "distance": score, "entity": entity}
    return hits
