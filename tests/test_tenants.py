"""Tenants share a collection on a server, and none sees or changes another's rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from lookalike import Index, InvalidQuestion, InvalidSetting
from lookalike.errors import TenantMismatch, TenantsShareIt
from lookalike.records import row_id
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Outcome
from tests.milvus_server import TOKEN, ServerAddress
from tests.test_store import record, unit_rows

MODEL = CollectionModel(model="test", fingerprint="f", dim=5)


@pytest.fixture
def collection() -> str:
    return f"images_{uuid.uuid4().hex}"


def test_no_tenant_sees_or_changes_the_rows_of_another(
    milvus_server: ServerAddress, collection: str, photos: Path, tmp_path: Path
) -> None:
    """The same folder belongs to both: every path, every vector and every id is the same."""

    def opened(tenant: str | None) -> Index:
        return Index.open(milvus_server.uri, token=TOKEN, collection=collection, tenant=tenant)

    crow, mallory = photos / "birds" / "crow.jpg", "mallory"
    with opened("anna") as anna, opened(mallory) as other:
        assert anna.add(photos, metadata=lambda path: {"owner": "anna"}).added == 30
        # Without a row of their own they find nothing, by whatever way they ask.
        assert (len(other), other.search(crow), list(other.hits(crow))) == (0, [], [])
        assert other.browse(limit=100) == []
        assert other.own_fields() == []
        (key,) = (hit.id for hit in anna.search(crow, limit=1))
        assert key == row_id(crow.as_posix())
        assert (other.record(key), other.place(key), other.forget([key])) == (None, None, [])
        with pytest.raises(InvalidQuestion):
            other.similar(key)
        for where in ('path != ""', 'id != ""', f'id = "{key}"', 'not path = "x"', "width > 0"):
            assert other.search(crow, where=where) == []
        for where in (f'id = "{key}"', f'id in ["{key}"]', f'path = "x" or id = "{key}"'):
            assert [hit.id for hit in anna.search(crow, where=where)] == [key]
        assert key not in {hit.id for hit in anna.search(crow, where=f'id != "{key}"', limit=99)}
        assert other.duplicates(level="similar", min_score=0.1) == []
        assert other.export(tmp_path / "other.parquet") == 0
        assert other.remove(photos) == 0
        assert other.prune() == []
        assert len(anna) == 30

        # What they do with the same paths is done to their own.
        assert other.add(photos / "birds").added == 12
        assert other.add(photos / "birds").unchanged == 12
        for picture in sorted((photos / "birds").iterdir())[:6]:
            picture.unlink()
        assert other.add(photos / "birds").removed == 6
        assert other.relocate(photos / "birds", photos / "trees") == 6
        tree = next((photos / "trees").iterdir())
        assert {Path(hit.path).parent.name for hit in other.search(tree, limit=100)} == {"trees"}
        assert other.remove(photos) == 6
        assert (len(other), len(anna)) == (0, 30)
        assert {hit.metadata["owner"] for hit in anna.hits(tree)} == {"anna"}
        assert anna.add(photos).removed == 6

    with pytest.raises(TenantMismatch, match="belongs to several tenants"):
        opened(None)
    with pytest.raises(TenantsShareIt, match="cannot get another model"):
        Index.reindex(milvus_server.uri, model="resnet18", token=TOKEN, collection=collection)


def test_ids_that_are_made_up_reach_no_row_of_another_tenant(
    milvus_server: ServerAddress, collection: str
) -> None:
    """Who knows how ids are made can name any row of the collection; that must not be enough."""
    vectors = unit_rows(40)

    def opened(tenant: str) -> MilvusStore:
        return MilvusStore(milvus_server.uri, collection, create=MODEL, token=TOKEN, tenant=tenant)

    anna, other = opened("anna"), opened("mallory")
    anna.upsert([record(f"/{n}", vector, n=n) for n, vector in enumerate(vectors)])
    raw = MilvusClient(milvus_server.uri, token=TOKEN, dedicated=True)
    stored = raw.query(collection, filter='id != ""', output_fields=["id", "_tenant"], limit=100,
                       consistency_level="Strong")  # fmt: skip
    assert {row["_tenant"] for row in stored} == {"anna"}
    assert {row["id"] for row in stored}.isdisjoint(row_id(f"/{n}") for n in range(40))
    crafted = [other.raw.stored_id(row["id"]) for row in stored]  # type: ignore[attr-defined]
    for read in (other.stamps, other.places, other.metadata):
        assert read(crafted) == {}
    assert other.records(crafted) == []
    assert other.vectors_of(crafted) == {}
    other.delete(crafted)
    everything = 'path >= "" or path < ""'
    assert list(other.neighbours(vectors[:2], limit=9, condition=everything)) == [[], []]
    assert not other.any(everything)
    assert anna.count() == 40

    other.upsert([replace(record("/0", vectors[1]), width=77)])
    assert [row.width for row in other.records([row_id("/0")])] == [77]
    assert [row.width for row in anna.records([row_id("/0")])] == [3]
    assert [len(list(page)) for page in other.scan()] == [1]
    assert [hit.path for hit in other.search(vectors[0], limit=100)] == ["/0"]
    found = {hit.path for hit in anna.search(vectors[0], limit=100)}
    assert found == {f"/{n}" for n in range(40)}
    np.testing.assert_array_equal(anna.vectors_of([row_id("/7")])[row_id("/7")], vectors[7])
    # Rows are replaced, and none is lost, though this server puts them into other partitions.
    anna.upsert([record(f"/{n}", vector) for n, vector in enumerate(vectors)])
    assert (anna.count(), other.count()) == (40, 1)
    for store in (anna, other):
        store.close()
    raw.close()


def test_a_tenant_must_be_named_where_there_are_some_and_only_there(
    milvus_server: ServerAddress, collection: str, cli: Callable[..., Outcome], photos: Path
) -> None:
    def run(*args: str | Path, **environment: str) -> Outcome:
        variables = {"LOOKALIKE_DB": milvus_server.uri, "LOOKALIKE_TOKEN": TOKEN, **environment}
        return cli(*args, "--collection", collection, **variables)

    assert run("index", photos / "birds", "--tenant", "anna").code == 0
    for command in (("info",), ("search", photos / "birds" / "crow.jpg"), ("remove", photos)):
        refused = run(*command)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert "belongs to several tenants. Say whose rows are meant: --tenant" in refused.err
    told = run("info", "--format", "json", LOOKALIKE_TENANT="anna").json
    assert told["pictures"] == 12
    assert "tenant is 'a b', but must be" in run("info", "--tenant", "a b").err


@pytest.mark.parametrize("tenant", ["", "a b", 'a"', "-a", "x" * 65, "ä", "a\n"])
def test_what_is_no_name_of_a_tenant(tenant: str) -> None:
    with pytest.raises(InvalidSetting, match="tenant is"):
        Index.open("http://127.0.0.1:1", tenant=tenant)
