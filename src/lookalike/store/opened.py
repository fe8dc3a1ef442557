"""Which of its two kinds a database is, and how it is opened."""

from __future__ import annotations

from lookalike.errors import DesignUnavailable
from lookalike.store.address import address_of
from lookalike.store.database import Database
from lookalike.store.design import LITE_IS_EXACT


def opened(
    database: str,
    collection: str,
    *,
    create: bool,
    token: str | None,
    wait_s: float,
    for_lite: bool,
) -> Database:
    """The database at a path or an address, before its collection is looked at.

    Args:
        database: its path or address.
        collection: what will be opened in it.
        create: make the folder of a Milvus Lite database where there is none.
        token: ``USER:PASSWORD`` or an API key, for a server.
        wait_s: how long a server is waited for that has gone away.
        for_lite: whether Milvus Lite can keep a collection as it is asked for.

    Raises:
        StoreError: one of its kinds.
    """
    address = address_of(database, token)
    # Imported here: each needs packages that the other does not.
    if address is None:
        if not for_lite:
            raise DesignUnavailable(database, LITE_IS_EXACT)
        from lookalike.store.lite import LiteDatabase  # noqa: PLC0415

        return LiteDatabase(database, collection, create=create)
    from lookalike.store.server import ServerDatabase  # noqa: PLC0415

    return ServerDatabase(address, wait_s=wait_s)
