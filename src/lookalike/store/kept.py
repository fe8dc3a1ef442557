"""What a collection says about itself, and whether that goes with what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.errors import DesignMismatch, IndexIncompatible, TenantMismatch
from lookalike.store import schema
from lookalike.store.design import CollectionDesign
from lookalike.store.effort import LEVEL, Curve
from lookalike.store.schema import CollectionModel


@dataclass(frozen=True, slots=True)
class Kept:
    """The properties of a collection; `level` is the recall that its searches shall have."""

    model: CollectionModel
    design: CollectionDesign
    curve: Curve | None
    level: float | None


def kept_in(
    properties: Mapping[str, str],
    database: str,
    collection: str,
    *,
    asked: CollectionDesign | None,
    tenant: str | None,
) -> Kept:
    """Read the properties of a collection.

    Args:
        properties: as Milvus has them.
        database: is named in errors, as `collection`.
        collection: its name.
        asked: how it shall be kept; None is however it is.
        tenant: whose rows are meant.

    Raises:
        IndexIncompatible: it was not made by this version of lookalike.
        TenantMismatch: it has tenants and none is named, or the other way round.
        DesignMismatch: it is kept in another way.
    """
    model = _known_model(properties, database, collection)
    design = CollectionDesign.from_properties(properties)
    if design.tenants != (tenant is not None):
        raise TenantMismatch(database, collection, shared=design.tenants)
    if asked and (other := asked.differs(design)):
        part, was, wanted = other
        raise DesignMismatch(database, collection, part=part, kept=was, asked=wanted)
    try:
        level = float(properties[LEVEL])
    except (KeyError, ValueError):
        level = None
    return Kept(model, design, Curve.from_properties(properties), level)


def _known_model(properties: Mapping[str, str], database: str, collection: str) -> CollectionModel:
    model = CollectionModel.from_properties(properties)
    if model is None:
        raise IndexIncompatible(
            f"The collection {collection!r} in {database} was not made by lookalike. Name another "
            "with --collection."
        )
    if model.version != schema.SCHEMA_VERSION or model.metric not in schema.METRICS:
        raise IndexIncompatible(
            f"The collection {collection!r} in {database} has version {model.version} and metric "
            f"{model.metric}, which this version of lookalike does not know."
        )
    return model
