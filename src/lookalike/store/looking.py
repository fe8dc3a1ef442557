"""What a Milvus server has, seen without changing anything, nor waiting for long."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from pymilvus.client.types import LoadState

from lookalike.store import schema
from lookalike.store.address import Address
from lookalike.store.schema import CollectionModel
from lookalike.store.server import ServerDatabase
from lookalike.store.versions import behind


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A server, and a collection of it.

    `exists` says whether the collection does, and the rest is about it; `model` is None where
    lookalike has not made it. Of one that is not `loaded` into memory, `rows` counts rows that were
    replaced, too. `index` is the type of its vectors' index, empty where there is none.
    """

    version: str
    exists: bool = False
    model: CollectionModel | None = None
    loaded: bool = False
    rows: int = 0
    index: str = ""


def look(address: Address, collection: str) -> Seen:
    """What can be seen of a server and the collection that is behind a name.

    Raises:
        StoreError: it cannot be asked.
    """
    with contextlib.closing(ServerDatabase(address, wait_s=0)) as server:
        version = str(server.ask("get_server_version"))
        if not server.ask("has_collection", collection):
            return Seen(version=version)
        described = server.ask("describe_collection", collection)
        if (found := behind(described)) != described["collection_name"]:
            if not server.ask("has_collection", found):
                return Seen(version=version)
            described = server.ask("describe_collection", found)
        collection = found
        loaded = server.ask("get_load_state", collection)["state"] == LoadState.Loaded
        if loaded:
            rows = server.count(collection)
        else:
            rows = int(server.ask("get_collection_stats", collection)["row_count"])
        indexes = server.ask("list_indexes", collection, schema.VECTOR_FIELD)
        index = server.ask("describe_index", collection, indexes[0]) if indexes else {}
        return Seen(
            version=version,
            exists=True,
            model=CollectionModel.from_properties(described["properties"]),
            loaded=loaded,
            rows=rows,
            index=str(index.get("index_type", "")),
        )
