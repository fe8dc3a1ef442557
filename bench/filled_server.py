"""A real Milvus server with synthetic rows, whose index is made as one profile after the other."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient
from synthetic import MODEL, Rows, batches

sys.path.insert(0, str(Path(__file__).parent.parent))  # the server that the tests use

from tests.milvus_server import TOKEN, MilvusServer

from lookalike.store import making, schema, tuning
from lookalike.store.design import CollectionDesign
from lookalike.store.milvus import MilvusStore

COLLECTION = "bench"
PAUSE_S = 0.5
MERGED_S = 90.0  # segments that have not changed for so long have been merged
TURNS = 20  # batches of each kind that are compared


class FilledServer:
    """Use it as a context manager; `store` is its collection, another object after `restart`."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._server = MilvusServer(folder)
        if not self._server.start():
            raise SystemExit("This machine does not allow network namespaces.")
        self._idle_mb = memory_mb(self._server.pid)
        self._client = MilvusClient(self._server.uri, token=TOKEN, dedicated=True)
        design = CollectionDesign.of("small")
        self.store = MilvusStore(
            self._server.uri, COLLECTION, create=MODEL, token=TOKEN, design=design
        )

    def fill(self, vectors: Rows) -> dict[str, float]:
        """Write the rows, and wait until the server has put them into large segments."""
        inserted = insert(self.store, self._client, vectors)
        started = time.perf_counter()
        tuning.wait_for_index(self.store)
        segments, changed = self._segments(), time.perf_counter()
        while time.perf_counter() - changed < MERGED_S:
            time.sleep(PAUSE_S)
            if (now := self._segments()) != segments:
                segments, changed = now, time.perf_counter()
        return {**inserted, "merged_s": changed - started, "segments": len(segments)}

    def become(self, profile: str) -> dict[str, Any]:
        """Make the index of a profile."""
        design = CollectionDesign.of(profile)
        before = self._index_folders()
        started = time.perf_counter()
        if profile != self.store.design.profile:
            tuning.redesign(self.store, design)
            tuning.wait_for_index(self.store)
        seconds = time.perf_counter() - started
        index_mb = sum(map(disk_mb, self._index_folders() - before))
        segments = self._segments()
        rows_mb = sum(disk_mb(path) for path in self._data.glob("insert_log/*/*/*")
                      if int(path.name) in segments)  # fmt: skip
        return {
            "build_s": seconds,
            "index_mb": index_mb,
            "disk_mb": rows_mb + index_mb,
            "type": self.store.design.index_type,
        }

    def memory_mb(self) -> float:
        """What the server has now that it had not when it was new."""
        return memory_mb(self._server.pid) - self._idle_mb

    def __enter__(self) -> FilledServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.kill()
        self.store.close()
        self._client.close()

    def restart(self) -> None:
        """Start the server again, so that it remembers nothing but its collection."""
        self.store.close()
        self._server.kill()
        self._server.start()
        self.store = MilvusStore(self._server.uri, COLLECTION, create=None, token=TOKEN)
        tuning.wait_for_index(self.store)

    def _segments(self) -> set[int]:
        return {each.segment_id for each in self._client.list_loaded_segments(COLLECTION)}

    def _index_folders(self) -> set[Path]:
        return set(self._data.glob("index_files/*"))


def insert(store: MilvusStore, client: MilvusClient, vectors: Rows) -> dict[str, float]:
    """Write all rows; the first batches also by pymilvus alone, into a collection like it."""
    plain = f"{store.collection}_plain"
    making.make(store.raw, plain, MODEL, store.design)
    times: dict[str, list[float]] = {"store": [], "raw": []}
    for number, records in enumerate(batches(vectors)):
        begun = time.perf_counter()
        store.upsert(records)
        times["store"].append(time.perf_counter() - begun)
        if number < TURNS:
            rows = [schema.to_row(record) for record in records]
            begun = time.perf_counter()
            client.upsert(plain, rows)
            times["raw"].append(time.perf_counter() - begun)
    client.drop_collection(plain)
    compared = min(TURNS, len(times["raw"]))
    ours, theirs = (float(np.median(times[name][:compared])) for name in ("store", "raw"))
    return {"rows_per_s": len(vectors) / sum(times["store"]), "of_raw": theirs / ours}


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def disk_mb(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # Milvus tidies up meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total / 1e6
