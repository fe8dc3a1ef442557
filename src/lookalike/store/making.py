"""How a collection is made in Milvus, by its design."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pymilvus import DataType, MilvusClient

from lookalike.errors import DesignUnavailable, StoreError
from lookalike.store import schema
from lookalike.store.database import Database
from lookalike.store.design import TENANT_BYTES, CollectionDesign
from lookalike.store.schema import CollectionModel
from lookalike.store.server_errors import said

# Milvus's default from 2.4 on; each has segments of its own, also where few tenants are.
TENANT_PARTITIONS = 16
_KEEPS_FLOAT16 = (2, 4)  # 2.3 takes such rows, too, and stops
_PLACES_RIGHT = (2, 3, 10)  # https://github.com/milvus-io/milvus/pull/30773
_VECTOR_TYPES = {"float32": DataType.FLOAT_VECTOR, "float16": DataType.FLOAT16_VECTOR}


def make(
    database: Database, collection: str, model: CollectionModel, design: CollectionDesign
) -> CollectionDesign:
    """Make a collection and its index; returns its design with what the server has chosen.

    Raises:
        DesignUnavailable: the server cannot keep it so; nothing is left of it.
    """
    runs = str(database.ask("get_server_version"))
    version = tuple(map(int, re.findall(r"\d+", runs)[:3]))
    if design.vectors == "float16" and version < _KEEPS_FLOAT16:
        raise DesignUnavailable(
            database.shown, f"runs Milvus {runs}; float16 vectors need 2.4 or newer."
        )
    rows = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    rows.add_field("id", DataType.VARCHAR, is_primary=True, max_length=schema.ID_LENGTH)
    rows.add_field("path", DataType.VARCHAR, max_length=schema.PATH_BYTES)
    rows.add_field("content", DataType.VARCHAR, max_length=schema.ID_LENGTH)
    for name in schema.INTEGER_FIELDS:
        rows.add_field(name, DataType.INT64)
    rows.add_field("format", DataType.VARCHAR, max_length=schema.FORMAT_BYTES)
    rows.add_field(schema.VECTOR_FIELD, _VECTOR_TYPES[design.vectors], dim=model.dim)
    options: dict[str, Any] = {}
    if design.tenants:
        rows.add_field(
            schema.TENANT_FIELD, DataType.VARCHAR, max_length=TENANT_BYTES, is_partition_key=True
        )
        options["num_partitions"] = TENANT_PARTITIONS
        design = replace(design, placed=version >= _PLACES_RIGHT)
    mapped = {"mmap.enabled": "true"} if design.mmap else {}
    database.ask(
        "create_collection",
        collection,
        schema=rows,
        properties={**model.to_properties(), **design.to_properties(), **mapped},
        consistency_level=design.consistency.capitalize(),
        **options,
    )
    try:
        return create_index(database, collection, model, design)
    except DesignUnavailable:
        # Another process may have made it just now, with an index and rows.
        if not database.ask("list_indexes", collection):
            database.ask("drop_collection", collection)
        raise


def create_index(
    database: Database, collection: str, model: CollectionModel, design: CollectionDesign
) -> CollectionDesign:
    """Make the index of the vectors: of the first type that the server has."""
    refused: list[str] = []
    for kind, params in design.candidates(model.dim):
        index = MilvusClient.prepare_index_params()
        index.add_index(
            schema.VECTOR_FIELD, index_type=kind, metric_type=model.metric, params=params
        )
        try:
            # Else pymilvus waits until it is made, and half a second at least.
            database.ask("create_index", collection, index, sync=False)
        except StoreError as error:
            if not _is_refusal(error):
                raise
            refused.append(f"{kind}: {said(error)}")
        else:
            chosen = replace(design, index_type=kind, index_params=params)
            if chosen != design:
                database.ask("alter_collection_properties", collection, chosen.to_properties())
            return chosen
    wanted = "" if design.profile == "explicit" else f" the profile {design.profile},"
    raise DesignUnavailable(
        database.shown,
        f"has no index for{wanted or ' this,'} {'; '.join(refused)}. Servers from 2.3 on have the "
        "profiles small (FLAT), balanced (HNSW) and compact (IVF_SQ8).",
    )


def _is_refusal(error: StoreError) -> bool:
    """Whether the server does not know such an index, or not with these parameters."""
    text = str(error)
    return type(error) is StoreError and bool(
        re.search(r"invalid index type|out of range|not support|invalid parameter|should be", text)
    )
