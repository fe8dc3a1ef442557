"""How the rows of an index are opened, for which its model need not be on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import (
    IndexServed,
    MetricMismatch,
    ModelMismatch,
    TenantMismatch,
    TenantsShareIt,
)
from lookalike.owner import NOTE
from lookalike.settings import Settings, default_database
from lookalike.sources.names import absolute
from lookalike.store.address import address_of
from lookalike.store.design import CollectionDesign
from lookalike.store.schema import CollectionModel

if TYPE_CHECKING:
    from lookalike.store import Store
    from lookalike.store.milvus import MilvusStore
    from lookalike.store.served import ServedStore


def open_like(
    model: CollectionModel,
    database: str | os.PathLike[str] | None,
    *,
    token: str | None,
    collection: str,
    tenant: str | None,
    export: str,
    settings: Settings,
    design: CollectionDesign | None = None,
    otherwise: str = "import it into another database with --db",
) -> Store:
    """The store of an index that rows of an export can be put into; it is made where there is none.

    Args:
        model: what the vectors of the export are from; it need not be on this machine.
        database: as in `Index.open`.
        token: as in `Index.open`.
        collection: as in `Index.open`.
        tenant: as in `Index.open`.
        export: is named in errors.
        settings: how long a server is waited for.
        design: as in `Index.open`.
        otherwise: what else can be done with vectors of another model.

    Raises:
        ModelMismatch: there is one, and it was made with another model.
        MetricMismatch: or with another metric.
        StoreError: the database cannot be opened.
    """
    path, token = located(database, token)
    lite = tenant is None and (design is None or design.plain)
    store: Store | None = served_store(path, collection) if lite else None
    if store is None:
        from lookalike.store.milvus import MilvusStore  # noqa: PLC0415 - as above

        store = MilvusStore(
            path,
            collection,
            create=model,
            token=token,
            wait_s=settings.server_wait_s,
            design=design,
            tenant=tenant,
        )
    made_with = store.model
    if (made_with.fingerprint, made_with.dim) != (model.fingerprint, model.dim):
        store.close()
        raise ModelMismatch(
            database=path,
            indexed=(made_with.model, made_with.fingerprint),
            requested=(model.model, model.fingerprint),
            export=export,
            otherwise=otherwise,
        )
    if made_with.metric != model.metric:
        store.close()
        raise MetricMismatch(database=path, indexed=made_with.metric, requested=model.metric)
    return store


def open_existing(
    database: str | os.PathLike[str] | None,
    *,
    token: str | None,
    collection: str,
    tenant: str | None,
    settings: Settings,
) -> Store:
    """The store of an index, whose model need not be on this machine.

    Raises:
        IndexNotFound: there is none.
        StoreError: the database cannot be opened.
    """
    path, token = located(database, token)
    if tenant is None and (served := served_store(path, collection)):
        return served
    from lookalike.store.milvus import MilvusStore  # noqa: PLC0415 - as above

    return MilvusStore(
        path,
        collection,
        create=None,
        token=token,
        wait_s=settings.server_wait_s,
        tenant=tenant,
    )


def open_itself(
    database: str | os.PathLike[str] | None,
    *,
    token: str | None,
    collection: str,
    create: CollectionModel | None,
    design: CollectionDesign | None,
    follow: bool,
    settings: Settings,
) -> MilvusStore:
    """The store of a collection, which no server may have open; the rest is as in `MilvusStore`.

    Raises:
        IndexServed: one has.
        TenantsShareIt: it belongs to several tenants.
        IndexNotFound: there is no such collection, and none to be made.
        StoreError: the database cannot be opened.
    """
    path, token = located(database, token)
    if served := served_store(path, collection):
        served.close()
        raise IndexServed(path, served.owner.address, "which would go on with what it has")
    from lookalike.store.milvus import MilvusStore  # noqa: PLC0415 - as above

    try:
        return MilvusStore(
            path,
            collection,
            create=create,
            token=token,
            wait_s=settings.server_wait_s,
            design=design,
            follow=follow,
        )
    except TenantMismatch as error:
        raise TenantsShareIt(error.database, error.collection) from error


def is_same_database(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both name the same place, as far as the names tell."""
    first, second = located(one, None)[0], located(other, None)[0]
    if "://" in first or "://" in second:
        return first.rstrip("/") == second.rstrip("/")
    return Path(first).resolve() == Path(second).resolve()


def located(database: str | os.PathLike[str] | None, token: str | None) -> tuple[str, str | None]:
    """The database's path, or its address without anything secret; and the token for it."""
    if database is None:
        return absolute(default_database()), None
    address = address_of(os.fspath(database), token)
    return (address.uri, address.token) if address else (absolute(database), None)


def served_store(path: str, collection: str) -> ServedStore | None:
    """The store in a server that has the database open, if one has."""
    if "://" in path or not os.path.exists(os.path.join(path, NOTE)):  # noqa: PTH110, PTH118
        return None
    # Imported here: most databases are open nowhere else.
    from lookalike.owner.connection import find  # noqa: PLC0415
    from lookalike.store.served import ServedStore  # noqa: PLC0415

    owner = find(path)
    return ServedStore(owner, collection) if owner else None
