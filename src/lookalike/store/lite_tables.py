"""Milvus Lite's own tables of rows, and which of their rows count.

- Segments are what lies in files and never change; newer rows are in tables in memory, some hundred
  at most.
- A row that was replaced is still there, with a smaller number; so is one that was deleted, whose
  deletion has a larger number.
- Milvus Lite empties its memory before the rows that were in it are in a file.

What counts in a file is told once, and again only for what is new.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from milvus_lite.server_manager import server_manager_instance as lite_servers

from lookalike.store.schema import VECTOR_FIELD

_NEEDED = (
    "_segments_snapshot", "_memtable", "_read_snapshot", "_compile_filter",
    "resolve_search_metric",
)  # fmt: skip
_UNIT = 1e-6  # the length of a float32 unit vector is not nearer to 1

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is remembered of a file: which rows count, and their lengths where they are not 1."""

    of: weakref.ref[Any]  # the file's array of numbers, which tells this file from others
    alive: Flags
    lengths: Matrix | None


@dataclass(frozen=True, slots=True)
class Part:
    """An Arrow table, the (n, dim) vectors of its rows, and which of these count.

    `lengths` are those of the vectors, None where all are 1.
    """

    table: Any
    vectors: Matrix
    alive: Flags
    lengths: Matrix | None


def own_object(database: str, name: str) -> Any:
    """Milvus Lite's own object of a loaded collection; None where this version has another kind."""
    entry = getattr(lite_servers, "_servers", {}).get(database)
    rows = entry[1].get_collection(name) if entry else None
    return rows if all(hasattr(rows, needed) for needed in _NEEDED) else None


class LiteTables:
    """The tables of a loaded collection, `rows`. Methods may be called from several threads.

    There is one for all who have opened a collection in this process.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._updating = threading.Lock()
        self._known: dict[int, _Counted] = {}
        self._deletions: Mapping[str, int] = {}
        self._leaving: list[Any] = []

    @contextlib.contextmanager
    def keeping_memory(self) -> Iterator[None]:
        """Let what is in memory now be found while it is moved into files.

        Milvus Lite empties its memory first, and adds the files after that.
        """
        memory = self.rows._memtable
        with self._updating:
            self._leaving = [*self._leaving, memory]
        try:
            yield
        finally:
            with self._updating:
                leaving = list(self._leaving)
                leaving.remove(memory)
                self._leaving = leaving

    def memory(self) -> list[Any]:
        """The tables in memory, newest first; to be asked before the files.

        What goes into a file meanwhile is there twice; the other way round it would be nowhere.
        """
        now = self.rows._memtable
        return [now, *(each for each in self._leaving if each is not now)]

    def meeting(self, condition: str) -> list[Part]:
        """The tables with those rows that count and meet an expression of Milvus's, or all."""
        parts = list(self._parts())
        if not condition:
            return parts
        # Imported here: few questions need it.
        from milvus_lite.search.filter import evaluate_mask  # noqa: PLC0415

        compiled = self.rows._compile_filter(condition)
        return [
            replace(part, alive=part.alive & np.asarray(evaluate_mask(compiled, part.table), bool))
            for part in parts
        ]

    def _parts(self) -> Iterator[Part]:
        memory = self.memory()
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
            yield Part(segment.table, segment.vectors, alive, known.lengths)
        for pks, numbers, _, _, recent in tables:
            if recent is not None and pks:
                alive = np.array(
                    [newest[pk] == at for pk, at in zip(pks, numbers.tolist(), strict=True)]
                )
                vectors = matrix_of(recent[VECTOR_FIELD])
                yield Part(recent, vectors, alive, lengths_of(vectors))

    def _counted(self) -> tuple[Sequence[Any], list[_Counted]]:
        """The files, and what counts in each of them; only what is new is looked at."""
        with self._updating:
            # Here, so that no search has older files than what counts in them was told from.
            segments, deletions = self.rows._read_snapshot()
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
            else lengths_of(segment.vectors),
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


def matrix_of(column: Any) -> Matrix:
    """A column of vectors as (n, dim) float32."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(len(column), column.type.list_size)


def lengths_of(vectors: Matrix) -> Matrix | None:
    """(n,) the lengths of vectors; None where all are 1."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return None if np.all(np.abs(lengths - 1) < _UNIT) else lengths
