"""Indexing is killed again and again, while the folder changes; nothing may ever be lost.

One database lives through all kills. What a process acknowledged, it told through a pipe as soon as
the store had said that it was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import Index
from lookalike.records import ImageRecord, Vector, row_id
from lookalike.store.milvus import MilvusStore
from tests.conftest import Place

SEED = 20261127
KILLS = {"lite": 40, "server": 14}
COMPLETED_EVERY = 4

# Files of rows every 16 rows, not 512, so that kills come while they are written, too. What is
# killed are forks of a process that has imported what they need, which takes longer than the rest.
WORKER = """
import json, os, sys
import milvus_lite, openvino
from lookalike import Index, Settings
from lookalike.store import lite
from lookalike.store.milvus import MilvusStore

lite.FLUSH_ROWS = 16
upsert, delete = MilvusStore.upsert, MilvusStore.delete

def tell(what):
    os.write(1, json.dumps(what).encode() + b"\\n")

# Also before it: a kill may come when something has been written and nobody has been told.
def upsert_and_tell(self, records):
    rows = {row.path: row.content for row in records}
    tell({"writing": rows})
    upsert(self, records)
    tell({"written": rows})

def tell_and_delete(self, ids):
    tell({"deleting": list(ids)})
    delete(self, ids)

MilvusStore.upsert, MilvusStore.delete = upsert_and_tell, tell_and_delete
for line in sys.stdin:
    if not (child := os.fork()):
        break
    tell({"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})
else:
    sys.exit()
tell({"pid": os.getpid()})
folder, database, collection, token = json.loads(line)
with Index.open(
    database, token=token or None, collection=collection, settings=Settings(batch_size=4, threads=1)
) as index:
    tell("open")
    index.add(folder)
os._exit(0)
"""


class Life:
    """A folder that changes, the index of it, and what is known about its rows."""

    def __init__(
        self,
        place: Place,
        folder: Path,
        pictures: list[Path],
        moments: random.Random,
        worker: subprocess.Popen[bytes],
    ) -> None:
        self.place, self.folder, self.moments, self._worker = place, folder, moments, worker
        self._pictures = pictures
        self._number = 0
        self.acknowledged: dict[str, str] = {}  # id -> content of rows that must be there
        self.begun: dict[str, str] = {}  # id -> content that it may have instead
        self.possible: set[str] = set()  # paths that may have a row
        folder.mkdir()
        self.add(60)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.*"))

    def add(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            picture = self.moments.choice(self._pictures)
            target = self.folder / str(self._number % 7) / f"{self._number}{picture.suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(picture, target)

    def change(self) -> None:
        """New, changed, renamed and deleted files, and a renamed folder."""
        some = self.moments.sample(self.files, 18)
        for file in some[:6]:
            file.unlink()
        for file in some[6:12]:
            self._number += 1
            file.rename(file.with_name(f"{self._number}{file.suffix}"))
        for file in some[12:]:
            shutil.copy(self.moments.choice(self._pictures), file)
        folder = self.moments.choice(some).parent
        self._number += 1
        folder.rename(folder.with_name(f"renamed{self._number}"))
        self.add(6)

    def killed(self) -> bool:
        """Start indexing and kill it at some moment; False where it was done before that."""
        self.possible |= {file.as_posix() for file in self.files}
        place, worker = self.place, self._worker
        assert worker.stdin
        asked = [str(self.folder), place.database, place.collection, place.token]
        worker.stdin.write(json.dumps(asked).encode() + b"\n")
        self._has_ended = False
        pid = next(self._lines())["pid"]
        if self.moments.random() < 0.2:
            told: list[Any] = []
            time.sleep(self.moments.uniform(0, 1.5))
        else:
            # After "open" and so many batches, and then at any point of the next one.
            told = list(itertools.islice(self._lines(), 1 + self.moments.randrange(12)))
            time.sleep(self.moments.uniform(0, 0.1))
        with contextlib.suppress(ProcessLookupError):  # where it has ended
            os.kill(pid, signal.SIGKILL)
        *told, end = *told, *self._lines()
        self.begun = {}
        for what in told:
            self._acknowledge(what)
        assert end["ended"] in (0, -signal.SIGKILL)
        return bool(end["ended"])

    def _lines(self) -> Iterator[Any]:
        """What is told, up to its end, which may have been told before."""
        while not self._has_ended:
            assert self._worker.stdout
            what = json.loads(self._worker.stdout.readline())
            self._has_ended = "ended" in what
            yield what

    def _acknowledge(self, what: object) -> None:
        if not isinstance(what, dict):
            return
        for key in what.get("deleting", []):
            self.acknowledged.pop(key, None)
        self.begun = {row_id(path): content for path, content in what.get("writing", {}).items()}
        written = what.get("written", {})
        self.acknowledged |= {row_id(path): content for path, content in written.items()}

    def rows(self) -> dict[str, ImageRecord]:
        """id -> row; there is one row of each path."""
        store = self.place.open(None)
        try:
            found = [row for page in store.paths_under("/") for row in page]
            rows = {row_id(record.path): record for record in store.records([k for k, _ in found])}
            assert len({path for _, path in found}) == len(found) == len(rows) == store.count()
            assert all(key == row_id(path) for key, path in found)
            hits = store.search(next(iter(rows.values())).vector, limit=10_000) if rows else []
            assert sorted(hit.id for hit in hits) == sorted(rows)
        finally:
            store.close()
        return rows

    def check_kept(self) -> None:
        """What was acknowledged is there, and nothing that never was a file."""
        if not self.acknowledged:
            return
        rows = self.rows()
        for key, content in self.acknowledged.items():
            assert rows[key].content in (content, self.begun.get(key))
        self.acknowledged = {key: rows[key].content for key in self.acknowledged}
        assert {row.path for row in rows.values()} <= self.possible

    def complete(self, vectors: dict[str, Vector]) -> None:
        """Let indexing come to its end; the rows are those of the files then."""
        place = self.place
        with Index.open(place.database, token=place.token, collection=place.collection) as index:
            report = index.add(self.folder)
        rows = self.rows()
        expected = {file.as_posix(): content_of(file) for file in self.files}
        assert {row.path: row.content for row in rows.values()} == expected
        for row in rows.values():
            status = Path(row.path).stat()
            assert (row.stamp.size_bytes, row.stamp.mtime_ns) == (
                status.st_size,
                status.st_mtime_ns,
            )
            # Batches may be cut differently, which changes bf16 sums a little.
            assert row.vector @ vectors[row.content] > 0.999
        assert (report.total, report.skipped) == (len(expected), ())
        self.acknowledged = {key: row.content for key, row in rows.items()}
        self.possible = set(expected)


def content_of(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()


@pytest.fixture(scope="module")
def vectors(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vector]:
    """content -> vector, from a run that nothing disturbed."""
    database = tmp_path_factory.mktemp("undisturbed") / "photos.db"
    with Index.open(database) as index:
        index.add(samples)
    store = MilvusStore(database.as_posix(), "images", create=None)
    rows = [
        row for page in store.paths_under("/") for row in store.records([key for key, _ in page])
    ]
    store.close()
    return {row.content: np.asarray(row.vector) for row in rows}


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """What starts the processes that are killed."""
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        yield process


@pytest.mark.timeout(900)
def test_no_kill_loses_or_doubles_a_row(
    place: Place,
    samples: Path,
    vectors: dict[str, Vector],
    tmp_path: Path,
    worker: subprocess.Popen[bytes],
    say: Callable[[str], None],
) -> None:
    kind = "server" if place.token else "lite"
    pictures = sorted(file for file in samples.glob("*/*.*") if content_of(file) in vectors)
    life = Life(place, tmp_path / "photos", pictures, random.Random(SEED), worker)
    kills = runs = checked = 0
    while kills < KILLS[kind]:
        kills += life.killed()
        runs += 1
        life.check_kept()
        checked += len(life.acknowledged)
        if runs % COMPLETED_EVERY == 0:
            life.complete(vectors)
        life.change()
    life.complete(vectors)
    say(
        f"{kind}: seed {SEED}, {kills} kills in {runs} runs, {checked} acknowledged rows "
        f"found again, {len(life.acknowledged)} rows at the end"
    )
