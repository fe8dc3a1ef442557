"""The rows of a database that a server has open, reached through that server.

The methods are those of `MilvusStore`, and their signatures say what goes over the wire: each calls
the method of the same name there. Nothing else can be called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from lookalike.errors import IndexServed
from lookalike.owner.connection import Owner
from lookalike.owner.messages import decode, encode
from lookalike.records import Fields, Hit, ImageRecord, Stamp, Twin, Vector
from lookalike.store.design import CollectionDesign
from lookalike.store.nearest import FIRST_HITS
from lookalike.store.sampling import Background
from lookalike.store.schema import CollectionModel
from lookalike.store.shard import Shard


@dataclass(frozen=True)
class Call:
    """What goes over the wire for a method: the types of its arguments and of what it answers."""

    arguments: Mapping[str, Any]
    answer: Any
    streamed: bool


@dataclass(frozen=True)
class Served:
    """What a server has open: `collection` is what is behind `name`."""

    name: str
    collection: str
    model: CollectionModel


class ServedStore:
    """The rows that a server has open. Methods may be called from several threads.

    Its errors are those of `MilvusStore`, and `OwnerLost` where the server has stopped.
    """

    def __init__(self, owner: Owner, collection: str) -> None:
        """Ask the server what it has open.

        Raises:
            IndexServed: another collection of the database.
        """
        self.owner, self.database, self.name = owner, owner.database, collection
        self.served_by: str | None = owner.address
        self.changes = 0
        self.design, self.curve = CollectionDesign(), None
        self.level: float | None = None
        self.tenant: str | None = None
        served: Served = decode(owner.ask("served"), Served)
        self.model, self.collection = served.model, served.collection
        if collection not in (served.name, served.collection):
            reason = f"which has its collection {served.name!r} open, not {collection!r}"
            raise IndexServed(self.database, owner.address, reason)

    def _ask(self, method: str, **arguments: Any) -> Any:
        answer = self.owner.ask(f"store/{method}", encode(arguments))
        return decode(answer, call_of(method).answer)

    def _stream(self, method: str, **arguments: Any) -> Iterator[Any]:
        kind = call_of(method).answer
        for item in self.owner.stream(f"store/{method}", encode(arguments)):
            yield decode(item, kind)

    def count(self, shard: Shard | None = None) -> int:
        """See `MilvusStore`, as for all that follow."""
        return self._ask("count", shard=shard)  # type: ignore[no-any-return]

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]:
        """Of rows."""
        return self._ask("stamps", ids=ids)  # type: ignore[no-any-return]

    def of_size(self, stamps: Sequence[Stamp]) -> dict[int, list[Twin]]:
        """Rows of files with as many bytes."""
        return self._ask("of_size", stamps=stamps)  # type: ignore[no-any-return]

    def places(self, ids: Sequence[str]) -> dict[str, Twin]:
        """Paths and contents of rows."""
        return self._ask("places", ids=ids)  # type: ignore[no-any-return]

    def metadata(self, ids: Sequence[str]) -> dict[str, Fields]:
        """Of rows."""
        return self._ask("metadata", ids=ids)  # type: ignore[no-any-return]

    def records(self, ids: Sequence[str]) -> list[ImageRecord]:
        """Whole rows."""
        return self._ask("records", ids=ids)  # type: ignore[no-any-return]

    def facts(self, ids: Sequence[str]) -> list[ImageRecord]:
        """Rows with empty vectors."""
        return self._ask("facts", ids=ids)  # type: ignore[no-any-return]

    def upsert(self, records: Sequence[ImageRecord]) -> None:
        """Write whole rows."""
        self.changes += 1
        self._ask("upsert", records=records)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        self.changes += 1
        self._ask("delete", ids=ids)

    def others_wrote(self, rows: int) -> None:
        """Other processes have changed rows."""
        self.changes += 1
        self._ask("others_wrote", rows=rows)

    def flush(self) -> None:
        """Make what was written outlive a power cut, too."""
        self._ask("flush")

    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]:
        """Pages of (id, path)."""
        return self._stream("paths_under", folder=folder)

    def vectors(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Pages of paths and vectors."""
        return self._stream("vectors")

    def scan(self, condition: str = "") -> Iterator[list[ImageRecord]]:
        """Pages of whole rows."""
        return self._stream("scan", condition=condition)

    def neighbours(
        self, vectors: npt.NDArray[np.float32], *, limit: int, condition: str = ""
    ) -> list[list[tuple[str, float]]]:
        """(id, score) of the rows nearest to each of the vectors."""
        return self._ask("neighbours", vectors=vectors, limit=limit, condition=condition)  # type: ignore[no-any-return]

    def search(
        self, vector: Vector, *, limit: int, offset: int = 0, condition: str = ""
    ) -> list[Hit]:
        """The nearest rows."""
        return self._ask(  # type: ignore[no-any-return]
            "search", vector=vector, limit=limit, offset=offset, condition=condition
        )

    def search_batch(
        self,
        vectors: npt.NDArray[np.float32],
        *,
        limit: int,
        offset: int = 0,
        condition: str = "",
    ) -> list[list[Hit]]:
        """The rows nearest to each of the vectors."""
        return self._ask(  # type: ignore[no-any-return]
            "search_batch", vectors=vectors, limit=limit, offset=offset, condition=condition
        )

    def hits(self, vector: Vector, *, condition: str = "") -> Iterator[Hit]:
        """All rows, nearest first; the server runs ahead, so it is not asked for all at first."""
        first = self.search(vector, limit=FIRST_HITS, condition=condition)
        yield from first
        if len(first) == FIRST_HITS:
            given = {hit.id for hit in first}
            rest: Iterator[Hit] = self._stream("hits", vector=vector, condition=condition)
            yield from (hit for hit in rest if hit.id not in given)

    def ranking(
        self, vector: Vector, *, condition: str = "", best: int | None = None
    ) -> list[tuple[str, float]]:
        """Ids and scores of all rows."""
        return self._ask("ranking", vector=vector, condition=condition, best=best)  # type: ignore[no-any-return]

    def any(self, condition: str) -> bool:
        """Whether any row meets a condition."""
        return self._ask("any", condition=condition)  # type: ignore[no-any-return]

    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vector]:
        """Of rows."""
        return self._ask("vectors_of", ids=ids)  # type: ignore[no-any-return]

    def background(self) -> Background:
        """Some rows by chance."""
        return self._ask("background")  # type: ignore[no-any-return]

    def kinds(self) -> Mapping[str, frozenset[type]]:
        """The user's own fields, and the types of their values."""
        return self._ask("kinds")  # type: ignore[no-any-return]

    def size_bytes(self) -> int | None:
        """Bytes on disk."""
        return self._ask("size_bytes")  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let go of the server; it keeps the database open."""
        self.owner.close()


METHODS = frozenset(
    name
    for name, method in vars(ServedStore).items()
    if inspect.isfunction(method) and not name.startswith("_") and name != "close"
)
"""What can be called."""


@functools.cache
def call_of(method: str) -> Call:
    """What goes over the wire for one of the `METHODS`."""
    function: Callable[..., Any] = getattr(ServedStore, method)
    hints = get_type_hints(function)
    answer = hints.pop("return")
    streamed = get_origin(answer) is Iterator
    return Call(hints, get_args(answer)[0] if streamed else answer, streamed)
