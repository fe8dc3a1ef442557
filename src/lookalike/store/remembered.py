"""What a database says about its model, without opening it."""

from __future__ import annotations

import json
from pathlib import Path

from lookalike.store.schema import CollectionModel


def peek(database: str, collection: str) -> CollectionModel | None:
    """The model that a Milvus Lite collection was made with; None where that cannot be seen.

    It is read from a file of Milvus Lite's, so that the model can be loaded while the database is
    opened, which takes as long. What the opened database says is what counts.
    """
    schema = Path(database) / "collections" / collection / "schema.json"
    try:
        properties = json.loads(schema.read_text(encoding="utf-8"))["properties"]
        return CollectionModel.from_properties(properties)
    except (OSError, ValueError, TypeError, KeyError):
        return None
