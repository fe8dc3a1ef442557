"""The address of a Milvus server: what may be shown of it, and what is secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from lookalike.errors import IndexIncompatible

DEFAULT_PORTS = {"http": 19530, "https": 443}  # as pymilvus has them


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. `uri` is without user and password, and has been typed like that."""

    uri: str
    host: str
    port: int
    secure: bool
    db_name: str
    token: str = field(default="", repr=False)


def address_of(database: str, token: str | None = None) -> Address | None:
    """The address that `database` is; None where it is a path.

    Args:
        database: ``http(s)://HOST[:PORT][/DATABASE]``, or a path.
        token: ``USER:PASSWORD`` or an API key; goes before what stands in front of an ``@``.

    Raises:
        IndexIncompatible: there is no such kind of address.
    """
    scheme, separator, rest = database.partition("://")
    if not separator:
        return None
    user, _, place = rest.rpartition("@")
    uri = f"{scheme}://{place}"
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    default_port = DEFAULT_PORTS.get(scheme.lower())
    known = re.fullmatch(r"[^/?#]+(/\w*)?", place)
    if not (host and default_port and known):
        raise IndexIncompatible(
            f"{uri} is not the address of a Milvus server, which is http://HOST:PORT or https://…, "
            "and no path that ends in .db."
        )
    return Address(
        uri=uri,
        host=host,
        port=port or default_port,
        secure=scheme.lower() == "https",
        db_name=parts.path.strip("/"),
        token=token or unquote(user),
    )
