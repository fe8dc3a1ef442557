"""Every call to Milvus; what Milvus Lite and servers do differently is in `lite` and `server`.

- Servers refuse messages above 64 MB, so whole rows are read and written by some hundreds.
- Rows are paged by ranges of their ids: in Milvus Lite ``query_iterator`` costs a whole scan for
  each page.
- A kill may have come between the making of a collection and that of its index.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike.errors import DesignUnavailable, IndexNotFound, StoreError
from lookalike.records import Fields, ImageRecord, Stamp, Twin
from lookalike.store import filters, making, schema
from lookalike.store.database import Database
from lookalike.store.design import CollectionDesign, known_tenant
from lookalike.store.designed import DesignedDatabase
from lookalike.store.effort import effort_of
from lookalike.store.kept import kept_in
from lookalike.store.nearest import MAX_WINDOW, Nearest
from lookalike.store.opened import opened
from lookalike.store.schema import CollectionModel
from lookalike.store.shard import Shard
from lookalike.store.versions import Versions, behind

PAGE_ROWS = 4096
MESSAGE_BYTES = 32_000_000  # half of what servers take
HIT_BYTES = 128  # an id, a score and what is between them


class MilvusStore(Nearest):
    """The rows of one collection. Methods may be called from several threads.

    `database` is its path or its address, without anything secret; `name` is what the collection
    was called, and `collection` the one that was behind that name then.
    """

    served_by: str | None = None

    def __init__(
        self,
        database: str,
        collection: str,
        *,
        create: CollectionModel | None,
        token: str | None = None,
        wait_s: float = 60.0,
        follow: bool = True,
        design: CollectionDesign | None = None,
        tenant: str | None = None,
        recall: float | None = None,
    ) -> None:
        """Open a collection, and make it first where `create` describes it.

        Args:
            database: path of a Milvus Lite database, ending in ``.db``, or ``http(s)://HOST:PORT``.
            collection: its name.
            create: what a new collection is for; None opens an existing one only.
            token: ``USER:PASSWORD`` or an API key, for a server.
            wait_s: how long a server is waited for that has gone away.
            follow: open the one that has taken its place, where one has.
            design: how it is kept; None is whatever it is, and exact for a new one.
            tenant: whose rows these are, in a collection of several tenants; a new one is made for
                tenants where this is given.
            recall: the level that its searches shall have, in an approximate index; None is what
                the collection remembers.

        Raises:
            StoreError: one of its kinds.
            InvalidSetting: no tenant has such a name.
        """
        super().__init__()
        self.tenant = tenant = known_tenant(tenant)
        self._database = opened(
            database,
            collection,
            create=create is not None,
            token=token,
            wait_s=wait_s,
            for_lite=tenant is None and (design is None or design.plain),
        )
        self.database = self._database.shown
        self.name = self.collection = collection
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            is_there = self._database.ask("has_collection", collection)
            if not is_there:
                if create is None:
                    raise IndexNotFound(self.database, collection)
                self._make(create, design or CollectionDesign(), tenant)
            self.collection, properties = self._behind(collection, follow=follow)
            self._know(properties, design, tenant, recall)
            try:
                self._load()
            except DesignUnavailable:
                if not is_there:
                    self._database.ask("drop_collection", collection)
                raise
            undo.pop_all()
        dim_bytes = 4 * self.model.dim
        self._whole_rows = MESSAGE_BYTES // (schema.METADATA_BYTES + schema.PATH_BYTES + dim_bytes)
        self._page_rows = MESSAGE_BYTES // (schema.PATH_BYTES + dim_bytes)
        self._message_hits = MESSAGE_BYTES // HIT_BYTES

    @property
    def versions(self) -> Versions:
        """The collections behind the name."""
        return Versions(self._database.ask, self.name)

    def _behind(self, name: str, *, follow: bool) -> tuple[str, Mapping[str, str]]:
        """The collection behind a name, and its properties."""
        described = self._database.ask("describe_collection", name)
        found = behind(described)
        if follow and found != described["collection_name"]:
            if not self._database.ask("has_collection", found):
                raise IndexNotFound(self.database, found)
            described = self._database.ask("describe_collection", found)
        return described["collection_name"], described["properties"]

    def _make(self, model: CollectionModel, design: CollectionDesign, tenant: str | None) -> None:
        design = replace(design, tenants=tenant is not None)
        making.make(self._database, self.collection, model, design)

    def _know(
        self,
        properties: Mapping[str, str],
        asked: CollectionDesign | None,
        tenant: str | None,
        recall: float | None,
    ) -> None:
        """Take over what the collection says of itself; refuse what does not go with that."""
        kept = kept_in(properties, self.database, self.name, asked=asked, tenant=tenant)
        self.model, self.design, self.curve = kept.model, kept.design, kept.curve
        self.level = kept.level if recall is None else recall
        self.effort = effort_of(kept.design, kept.curve, self.level)
        halves = kept.design.vectors == "float16"
        if tenant is not None or halves:
            self._database = DesignedDatabase(
                self._database, tenant=tenant, placed=kept.design.placed, halves=halves
            )

    def _load(self) -> None:
        collection, database = self.collection, self._database
        try:
            database.load(collection, self.design)
        except DesignUnavailable:
            raise
        except StoreError:
            # Another process may have made it just now.
            if not database.ask("list_indexes", collection):
                self.design = making.create_index(database, collection, self.model, self.design)
            database.load(collection, self.design)
        if self.curve and self.tenant is None and not self.curve.holds(self.count()):
            self.curve = None
            self.effort = effort_of(self.design, None, self.level)

    def count(self, shard: Shard | None = None) -> int:
        """The number of rows, of one shard where that is given."""
        if shard and self.design.tenants:  # whose ids in the collection are not the pictures' own
            return sum(shard.has(key) for page in self.paths_under(None) for key, _ in page)
        return super().count(shard)

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]:
        """The stamps of those `ids` that have a row."""
        rows = self._rows(ids, ["id", "size_bytes", "mtime_ns"])
        return {row["id"]: Stamp(row["size_bytes"], row["mtime_ns"]) for row in rows}

    def of_size(self, stamps: Sequence[Stamp]) -> dict[int, list[Twin]]:
        """Rows of files with as many bytes, by that number; of very many not all.

        Where there are more than a page of them, only those are looked for that have also been
        changed at the same time, as it is with moved files.
        """
        if not stamps:
            return {}
        wanted = {"size_bytes": sorted({stamp.size_bytes for stamp in stamps})}
        rows = self._where(wanted)
        if len(rows) == MAX_WINDOW:
            rows = self._where({**wanted, "mtime_ns": sorted({each.mtime_ns for each in stamps})})
        twins: dict[int, list[Twin]] = {}
        for row in rows:
            twin = Twin(row["id"], row["path"], row["content"])
            twins.setdefault(row["size_bytes"], []).append(twin)
        return twins

    def _where(self, wanted: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
        fields = ["id", "path", "content", "size_bytes"]
        return self._database.where(self.collection, wanted, fields, limit=MAX_WINDOW)

    def places(self, ids: Sequence[str]) -> dict[str, Twin]:
        """The paths and contents of those `ids` that have a row."""
        rows = self._rows(ids, ["id", "path", "content"])
        return {row["id"]: Twin(row["id"], row["path"], row["content"]) for row in rows}

    def metadata(self, ids: Sequence[str]) -> dict[str, Fields]:
        """The user's own fields of those `ids` that have a row."""
        return {row["id"]: schema.to_metadata(row) for row in self._rows(ids, ["id", "$meta"])}

    def records(self, ids: Sequence[str]) -> list[ImageRecord]:
        """The whole rows of those `ids` that have one."""
        return [schema.to_record(row) for row in self._rows(ids, ["*"])]

    def facts(self, ids: Sequence[str]) -> list[ImageRecord]:
        """The rows of those `ids` that have one, with empty vectors."""
        fields = ["id", *schema.FACT_FIELDS, "$meta"]
        return [schema.to_record(row) for row in self._rows(ids, fields)]

    def upsert(self, records: Sequence[ImageRecord]) -> None:
        """Write whole rows; nothing of a row with the same path remains.

        When this returns, a kill of the process no longer loses them.
        """
        for part in schema.messages(records, MESSAGE_BYTES):
            self._database.write(self.collection, [schema.to_row(record) for record in part])
        if records:
            self._forget_samples()

    def delete(self, ids: Sequence[str]) -> None:
        """Remove the rows of `ids`; ids without a row are ignored."""
        if ids:
            self._database.delete(self.collection, list(ids))
            self._forget_samples()

    def others_wrote(self, rows: int) -> None:
        """Other processes have changed rows, and written so many; reads see that from now on."""
        self._database.others_wrote(rows)
        self._forget_samples()

    def flush(self) -> None:
        """Make what was written outlive a power cut, too."""
        self._database.flush(self.collection)

    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]:
        """Pages of (id, path) of all rows below a folder, of all rows where it is None.

        Rows seen may be deleted meanwhile.
        """
        conditions = () if folder is None else (filters.under(folder),)
        for rows in self._pages(["id", "path"], *conditions):
            yield [(row["id"], row["path"]) for row in rows]

    def vectors(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Pages of all rows: n paths and their (n, dim) float32 unit vectors, in no order."""
        for rows in self._pages(["path", schema.VECTOR_FIELD]):
            vectors = np.array([row[schema.VECTOR_FIELD] for row in rows], np.float32)
            yield [row["path"] for row in rows], vectors.reshape(len(rows), self.model.dim)

    def _pages(
        self, fields: list[str], *conditions: str, size: int | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        parts = -(-self.count() // min(PAGE_ROWS, size or self._page_rows))
        for part in range(parts):
            yield self._database.query(
                self.collection,
                filter=" and ".join([*conditions, filters.id_range(part, parts)]),
                output_fields=fields,
                limit=MAX_WINDOW,
            )

    def scan(self, condition: str = "") -> Iterator[list[ImageRecord]]:
        """Pages of whole rows, in no order. `condition` is an expression of Milvus's."""
        pages = self._database.whole_rows(self.collection, condition, size=self._whole_rows)
        if pages is None:
            conditions = (f"({condition})",) if condition else ()
            pages = self._pages(["*"], *conditions, size=self._whole_rows)
        for rows in pages:
            yield [schema.to_record(row) for row in rows]

    def neighbours(
        self, vectors: npt.NDArray[np.float32], *, limit: int, condition: str = ""
    ) -> list[list[tuple[str, float]]]:
        """(id, score) of the rows nearest to each of the (n, dim) unit `vectors`, in one call."""
        found = self._found(vectors, limit, condition, ["id"])
        return [[(hit["entity"]["id"], float(hit["distance"])) for hit in hits] for hits in found]

    @property
    def tunable(self) -> bool:
        """Whether it is on a server, which may have an index that is not exact."""
        return self._database.window is not None and self._database.size_bytes() is None

    @property
    def raw(self) -> Database:
        """What asks about the collection as a whole; of several tenants, too."""
        return self._database

    def size_bytes(self) -> int | None:
        """Bytes that the database takes on disk; None for a server."""
        return self._database.size_bytes()

    def close(self) -> None:
        """Let go of the database, so that another process can open it."""
        self._database.close()
