"""What a database says about its model, without opening it."""

from __future__ import annotations

import json
from pathlib import Path

from lookalike.store.address import address_of
from lookalike.store.schema import CollectionModel
from lookalike.store.versions import moved_to


def peek(
    database: str, collection: str, *, token: str | None = None, wait_s: float = 60.0
) -> CollectionModel | None:
    """The model that a collection was made with; None where there is none, or it cannot be seen.

    In Milvus Lite it is read from a file, so that the model can be loaded while the database is
    opened, which takes as long. A server is asked. What the opened database says is what counts.

    Raises:
        StoreError: a server cannot be asked.
    """
    if address := address_of(database, token):
        # Imported here: pymilvus takes 0.5 s, and a local database is not to wait for it.
        from lookalike.store.server import remembered  # noqa: PLC0415

        return remembered(address, collection, wait_s=wait_s)
    try:
        properties = _properties(Path(database), collection)
        if now := moved_to(properties):
            properties = _properties(Path(database), now)
        return CollectionModel.from_properties(properties)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _properties(database: Path, collection: str) -> dict[str, str]:
    """Of a collection of Milvus Lite, or of the one that its alias stands for."""
    folder = database / "collections"
    if not (folder / collection).is_dir():
        aliases = json.loads((database / "aliases.json").read_text(encoding="utf-8"))
        collection = aliases[collection]
    text = (folder / collection / "schema.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)["properties"]
    return found
