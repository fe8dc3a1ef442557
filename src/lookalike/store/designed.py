"""One tenant's rows of a collection that several share, and vectors of half the size.

What goes to the server and comes from it is changed in this one place, so nothing above it knows:

- A row's id in the collection is the picture's own id XOR that of the tenant, both 128-bit hashes:
  of two tenants the same path has two rows, and ids stay uniform.
- Whatever is read or deleted must meet a condition on the field `tenant` too, also what is asked
  for by its id; and whatever is written gets that field.
- ``tenant == "a"`` makes a server look only where it puts that tenant's rows. ``upsert`` before
  Milvus 2.3.10 puts rows somewhere else, where they would never be found nor deleted; a range of
  one name is looked for everywhere.
- float16 vectors come back as bytes. In Python vectors are float32, of unit length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lookalike.records import row_id
from lookalike.store import filters
from lookalike.store.database import Database, Row
from lookalike.store.design import CollectionDesign
from lookalike.store.schema import TENANT_FIELD, VECTOR_FIELD

# In a text that something else is compared with, quotes stand behind a backslash. Ranges of ids
# only cut the rows into parts, so they stay as they are.
_COMPARED_ID = re.compile(r'(?<![\w"])id (?:[!=]= "[0-9a-f]{32}"|(?:not )?in \[[^\]]*\])')
_ID = re.compile(r'(?<!\\)"([0-9a-f]{32})"')


class DesignedDatabase:
    """A `Database` that keeps some of its rows, or their vectors, in a way of their own."""

    def __init__(self, server: Database, *, tenant: str | None, placed: bool, halves: bool) -> None:
        """Stand between the store and its server.

        Args:
            server: where the rows are.
            tenant: whose rows these are; None where they are all of one.
            placed: whether the server finds a tenant's rows where it looks for them.
            halves: whether vectors are stored as float16.
        """
        self._server, self._tenant, self._halves = server, tenant, halves
        self.shown = server.shown
        self._key = int(row_id(f"tenant {tenant}"), 16) if tenant is not None else 0
        self._own = ""
        if tenant is not None:
            name = filters.quote(tenant)
            self._own = (
                f"{TENANT_FIELD} == {name}"
                if placed
                else f"({TENANT_FIELD} >= {name} and {TENANT_FIELD} <= {name})"
            )

    @property
    def window(self) -> int | None:
        """The server's."""
        return self._server.window

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask about the collection as a whole; no rows go this way."""
        return self._server.ask(method, *args, **options)

    def load(self, collection: str, design: CollectionDesign) -> None:
        """Make it searchable."""
        self._server.load(collection, design)

    def stored_id(self, key: str) -> str:
        """The id in the collection of a picture's own, and the other way round."""
        return f"{int(key, 16) ^ self._key:032x}" if self._tenant is not None else key

    def _within(self, condition: str) -> str:
        if self._tenant is not None and condition:
            condition = f"({_COMPARED_ID.sub(self._with_stored_ids, condition)})"
        return " and ".join(part for part in (self._own, condition) if part)

    def _with_stored_ids(self, compared: re.Match[str]) -> str:
        return _ID.sub(lambda found: f'"{self.stored_id(found[1])}"', compared[0])

    def _with_ids(self, ids: Sequence[str]) -> str:
        stored = filters.among("id", [*map(self.stored_id, ids)], negated=False)
        return f"{self._own} and {stored}"

    def get(self, collection: str, ids: Sequence[str], fields: list[str]) -> list[Row]:
        """Look the rows up by their ids."""
        if self._tenant is None:
            return [self._read(row) for row in self._server.get(collection, ids, fields)]
        return [
            self._read(row)
            for row in self._server.query(
                collection, filter=self._with_ids(ids), output_fields=fields
            )
        ]

    def count(self, collection: str, condition: str = "") -> int:
        """Count the tenant's rows."""
        return self._server.count(collection, self._within(condition))

    def query(self, collection: str, **options: Any) -> list[Row]:
        """Filter rows."""
        options["filter"] = self._within(options.get("filter", ""))
        return [self._read(row) for row in self._server.query(collection, **options)]

    def where(
        self,
        collection: str,
        wanted: Mapping[str, Sequence[int]],
        fields: list[str],
        *,
        limit: int,
    ) -> list[Row]:
        """Filter rows by integers."""
        condition = filters.one_of(wanted)
        return self.query(collection, filter=condition, output_fields=fields, limit=limit)

    def whole_rows(
        self, collection: str, condition: str, *, size: int
    ) -> Iterator[list[Row]] | None:
        """A server is asked by ranges of ids."""

    def search(self, collection: str, **options: Any) -> list[list[Row]]:
        """Find the nearest of the tenant's rows."""
        options["filter"] = self._within(options.get("filter", ""))
        if self._halves:
            options["data"] = [vector.astype(np.float16) for vector in options["data"]]
        return [
            [self._found(hit) for hit in hits]
            for hits in self._server.search(collection, **options)
        ]

    def _found(self, hit: Row) -> Row:
        key = self.stored_id(hit["id"])
        return {"id": key, "distance": hit["distance"], "entity": self._read(hit["entity"])}

    def _read(self, row: Mapping[str, Any]) -> Row:
        read = {name: value for name, value in row.items() if name != TENANT_FIELD}
        if "id" in read:
            read["id"] = self.stored_id(read["id"])
        if self._halves and VECTOR_FIELD in read:
            (stored,) = read[VECTOR_FIELD]  # pymilvus puts bytes into a list
            vector = np.frombuffer(stored, np.float16).astype(np.float32)
            read[VECTOR_FIELD] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return read

    def write(self, collection: str, rows: list[Row]) -> None:
        """Write rows as the tenant's."""
        self._server.write(collection, [self._stored(row) for row in rows])

    def _stored(self, row: Row) -> Row:
        stored = {**row, "id": self.stored_id(row["id"])}
        if self._tenant is not None:
            stored[TENANT_FIELD] = self._tenant
        if self._halves:
            stored[VECTOR_FIELD] = np.asarray(row[VECTOR_FIELD]).astype(np.float16)
        return stored

    def delete(self, collection: str, ids: list[str]) -> None:
        """Remove the tenant's own of these rows: only what it can read, by the id of that."""
        if self._tenant is not None:
            ids = [self.stored_id(row["id"]) for row in self.get(collection, ids, ["id"])]
        if ids:
            self._server.delete(collection, ids)

    def others_wrote(self, rows: int) -> None:
        """Let the server's side know."""
        self._server.others_wrote(rows)

    def flush(self, collection: str) -> None:
        """Let the server write out what it has."""
        self._server.flush(collection)

    def rows_without_index(self, collection: str) -> int:
        """The server's."""
        return self._server.rows_without_index(collection)

    def size_bytes(self) -> int | None:
        """The server's."""
        return self._server.size_bytes()

    def close(self) -> None:
        """Close the connection."""
        self._server.close()
