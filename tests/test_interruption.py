"""Indexing may be stopped at any moment, in any way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from lookalike import Index
from lookalike.store.lite import FLUSH_ROWS
from lookalike.store.milvus import MilvusStore
from tests.forked import COMMAND, Lookalike

KILLS, CHAINS = 12, 3
COPIES = 7


@pytest.fixture
def many(samples: Path, tmp_path: Path) -> Path:
    """The sample pictures several times under other names: enough for a flush on the way."""
    folder = tmp_path / "many"
    for picture in sorted(samples.rglob("*.*")):
        if picture.suffix in {".md", ".txt"}:
            continue
        for copy in range(COPIES):
            target = folder / str(copy) / picture.parent.name / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(picture, target)
    assert sum(len(files) for *_, files in os.walk(folder)) > FLUSH_ROWS
    return folder


def start(folder: Path, database: Path) -> subprocess.Popen[str]:
    command = [*COMMAND, "index", str(folder), "--db", str(database)]
    return Lookalike(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def rows(database: Path) -> dict[str, tuple[int, str, np.ndarray]]:
    """path -> the rest of its row, read with pymilvus alone; no path may be there twice."""
    client = MilvusClient(str(database), dedicated=True)
    client.load_collection("images")
    fields = ["path", "size_bytes", "content", "vector"]
    found = client.query("images", filter="size_bytes > 0", output_fields=fields, limit=16_384)
    client.close()
    by_path = {
        row["path"]: (row["size_bytes"], row["content"], np.array(row["vector"])) for row in found
    }
    assert len(by_path) == len(found)
    return by_path


def assert_same(found: dict[str, tuple[int, str, np.ndarray]], expected: Path) -> None:
    wanted = rows(expected)
    assert found.keys() == wanted.keys()
    for path, (size, content, vector) in found.items():
        assert (size, content) == wanted[path][:2]
        # Batches may be cut differently, which changes bf16 sums a little.
        assert vector @ wanted[path][2] > 0.999


@pytest.mark.timeout(600)
def test_a_run_killed_at_any_moment_is_completed_by_running_it_again(
    many: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed.db"
    process = start(many, undisturbed)
    began = time.monotonic()
    process.communicate(timeout=120)
    whole_run = time.monotonic() - began

    moments = random.Random(20261123)
    survivors = []
    for chain in range(CHAINS):
        database = tmp_path / f"killed{chain}.db"
        for _ in range(KILLS // CHAINS):
            process = start(many, database)
            time.sleep(moments.uniform(0.25, 0.7) * whole_run)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if (database / "collections" / "images").exists():
                store = MilvusStore(database.as_posix(), "images", create=None)
                survivors.append(store.count())
                store.close()
        with Index.open(database) as index:
            report = index.add(many)
            assert report.skipped == ()
            assert report.added + report.unchanged == report.total == len(index)
        assert_same(rows(database), undisturbed)
    assert any(0 < count < FLUSH_ROWS for count in survivors), survivors


KILLED_IN_A_FLUSH = """
import os, signal, sys
from lookalike import Index
from milvus_lite.storage.wal import WAL
index = Index.open(sys.argv[1])
WAL.close_and_delete = lambda log: os.kill(os.getpid(), signal.SIGKILL)
index.add(sys.argv[2])
"""


def test_rows_are_not_found_twice_after_a_kill_between_their_file_and_the_end_of_their_log(
    samples: Path, tmp_path: Path
) -> None:
    database, birds = tmp_path / "photos.db", samples / "birds"
    logs = database / "collections" / "images" / "wal"
    with Index.open(database) as index:
        index.add(samples / "trees")
    command = [sys.executable, "-c", KILLED_IN_A_FLUSH, str(database), str(birds)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list(logs.iterdir())
    for _ in range(2):
        with Index.open(database) as index:
            assert not list(logs.iterdir())
            hits = index.search(birds / "crow.jpg", limit=100)
            assert len({hit.path for hit in hits}) == len(hits) == len(index) == 18
            assert index.add(birds, samples / "trees").unchanged == 18


def test_half_of_a_search_index_is_built_again(samples: Path, tmp_path: Path) -> None:
    database, crow = tmp_path / "photos.db", samples / "birds" / "crow.jpg"
    with Index.open(database) as index:
        index.add(samples / "birds")
        expected = index.search(crow)
    (part,) = database.glob("collections/images/partitions/*/indexes/*")
    whole = part.read_bytes()
    for size in (0, 60, len(whole) - 1):
        part.write_bytes(whole[:size])
        with Index.open(database) as index:
            assert index.search(crow) == expected
        assert part.read_bytes() == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_within_two_seconds_and_keeps_and_says_what_was_committed(
    many: Path, tmp_path: Path, number: signal.Signals
) -> None:
    database = tmp_path / "photos.db"
    process = start(many, database)
    wal = database / "collections" / "images" / "wal"
    deadline = time.monotonic() + 60
    while not wal.exists() or sum(file.stat().st_size for file in wal.iterdir()) < 50_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(number)
    began = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert said.count("\n") == 1
    kept = int(said.removeprefix("lookalike: Stopped. ").split()[0])
    assert 0 < kept < 86 * COPIES
    with Index.open(database) as index:
        assert len(index) >= kept
        assert index.add(many).total == 86 * COPIES
