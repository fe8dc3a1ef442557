"""Addresses of servers: what is one, and that nothing secret of it is shown."""

from __future__ import annotations

import pytest

from lookalike import Index, IndexIncompatible
from lookalike.store.address import address_of


@pytest.mark.parametrize(
    ("typed", "host", "port", "secure", "db_name"),
    [
        ("http://localhost", "localhost", 19530, False, ""),
        ("http://10.0.0.1:8000/", "10.0.0.1", 8000, False, ""),
        ("https://in01.example.com", "in01.example.com", 443, True, ""),
        ("HTTPS://milvus:19530/photos", "milvus", 19530, True, "photos"),
        ("http://server.db", "server.db", 19530, False, ""),
    ],
)
def test_an_address_has_a_host_a_port_and_perhaps_a_database(
    typed: str, host: str, port: int, secure: bool, db_name: str
) -> None:
    address = address_of(typed)
    assert address
    assert address.uri == typed
    assert (address.host, address.port, address.secure) == (host, port, secure)
    assert (address.db_name, address.token) == (db_name, "")


@pytest.mark.parametrize("path", ["photos.db", "/a/b:c.db", "http:/x.db", r"C:\photos.db", ""])
def test_a_path_is_none(path: str) -> None:
    assert address_of(path, "secret") is None


@pytest.mark.parametrize(
    ("typed", "given", "token"),
    [
        ("http://root:secret@host:1", None, "root:secret"),
        ("http://root:se%40c%2Fret@host:1", None, "root:se@c/ret"),
        ("http://root:secret@host:1", "other:secret", "other:secret"),
        ("http://secret@host:1", "", "secret"),
        ("http://host:1", "secret", "secret"),
    ],
)
def test_a_token_is_taken_out_of_the_address(typed: str, given: str | None, token: str) -> None:
    address = address_of(typed, given)
    assert address
    assert (address.uri, address.token) == ("http://host:1", token)
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    "typed",
    [
        "ftp://host", "s3://bucket/photos.db", "file:///photos.db", "http://", "http://:19530",
        "http://host:port", "http://host:99999", "http://host/a/b", "http://host?x=1",
        "http://host/photos.db", "http://[::1", "://host",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_without_what_is_secret(typed: str) -> None:
    scheme, _, place = typed.partition("://")
    for user in ("", "root:secret@", "root:secret#/@", "secret:secret@secret@"):
        with pytest.raises(IndexIncompatible, match="is not the address of a Milvus server") as no:
            Index.open(f"{scheme}://{user}{place}")
        assert str(no.value).startswith(f"{scheme}://{place} is not")
        assert "secret" not in str(no.value)
