"""Indexing on a Ray cluster gives the rows of a local run, whatever happens to its machines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import Index, Progress
from lookalike.cluster import RayWorkers, driver
from lookalike.records import ImageRecord
from tests.milvus_server import TOKEN, MilvusServer

# Ray warns of itself.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


def rows(index: Index) -> dict[str, ImageRecord]:
    return {record.path: record for page in index._store.scan() for record in page}


def assert_same_rows(ours: Index, theirs: Index) -> None:
    """Same ids, contents and fields; vectors as batches of other sizes give them."""
    found, expected = rows(ours), rows(theirs)
    assert found.keys() == expected.keys()
    for path, row in found.items():
        other = expected[path]
        for name in row.__dataclass_fields__.keys() - {"vector"}:
            assert getattr(row, name) == getattr(other, name), (path, name)
        assert np.dot(row.vector, other.vector) > 0.999


def test_a_run_on_three_nodes_of_which_one_is_killed_gives_the_rows_of_a_local_run(
    cluster: Any,
    samples: Path,
    tmp_path: Path,
    milvus_server: MilvusServer,
    collection: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = tmp_path / "photos"
    for number in range(3):
        shutil.copytree(
            samples,
            photos / str(number),
            ignore=lambda _, names: [n for n in names if n.endswith(".md")],
        )
    (photos / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(driver, "CHUNK_FILES", 8)
    killed = []

    def kill_one(progress: Progress) -> None:
        if progress.added > 20 and not killed:
            killed.append(cluster.list_all_nodes()[-1])
            cluster.remove_node(killed[0], allow_graceful=False)

    workers = RayWorkers(cluster.address, token=TOKEN)
    with (
        Index.open(milvus_server.uri, token=TOKEN, collection=collection) as index,
        Index.open(tmp_path / "local.db") as local,
    ):
        ours = index.add(photos, workers=workers, on_progress=kill_one)
        theirs = local.add(photos)
        assert killed
        assert_same_rows(index, local)
        assert ours.total == theirs.total == ours.added + ours.unchanged
        assert ours.skipped == theirs.skipped
