"""What does each profile cost on a real Milvus server, and what does it find?

Synthetic unit vectors around some thousand centres, as pictures have them, go into a new collection
of each profile, on the server of the package `milvus` in a process of its own. Measured are rows/s
of `MilvusStore.upsert` against pymilvus's `upsert` of the same rows in the same batches, in
turns; the time until the index is made and in memory; a search for 10 of vectors that are not
stored, with the effort that `lookalike tune` chose for recall 0.95; recall@10 against
NumPy; the server's memory and disk with this collection alone. With the first number of rows also
filtered searches, with and without indexes of the fields.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measure import arguments, publish
from pymilvus import MilvusClient

sys.path.insert(0, str(Path(__file__).parent.parent))  # the server that the tests use

from tests.milvus_server import TOKEN, MilvusServer

from lookalike.errors import StoreError
from lookalike.records import ImageRecord, Stamp
from lookalike.store import making, schema, tuning
from lookalike.store.design import CollectionDesign
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel

DIM, CENTRES, SPREAD = 384, 2000, 0.7
BATCH = 512
QUESTIONS, LIMIT = 200, 10
PAUSE_S, SETTLE_S = 0.5, 5.0
TURNS = 20  # batches of each kind that are compared
MODEL = CollectionModel(model="bench", fingerprint="f", dim=DIM)
PROFILES, FILTERED = ("small", "balanced", "compact"), ("small", "balanced")
SCALARS = {
    "taken_at": "STL_SORT", "width": "STL_SORT", "height": "STL_SORT", "size_bytes": "STL_SORT",
    "format": "Trie", "path": "Trie",
}  # fmt: skip
FILTERS = {
    "1 %": "width < 410",
    "50 %": "width < 2400",
    "path": '(path >= "/photos/00/" and path < "/photos/000")',
}

Rows = npt.NDArray[np.float32]


def vectors_of(count: int, seed: int) -> Rows:
    """Unit rows; other seeds give other rows around the same centres."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIM), np.float32)
    random = np.random.default_rng(seed)
    rows = centres[random.integers(CENTRES, size=count)]
    rows += SPREAD * random.standard_normal((count, DIM), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def record_of(number: int, vector: Rows) -> ImageRecord:
    return ImageRecord(
        path=f"/photos/{number % 100:02d}/{number:08d}.jpg",
        content=f"{number:032x}",
        stamp=Stamp(size_bytes=100_000 + number, mtime_ns=number),
        width=400 + number * 7919 % 4000,
        height=300 + number * 104_729 % 3000,
        taken_at=1_500_000_000 + number * 60,
        format=("jpeg", "png", "webp", "heif")[number % 4],
        vector=vector,
        phash=hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest(),
    )


def batches(vectors: Rows) -> Iterator[list[ImageRecord]]:
    for start in range(0, len(vectors), BATCH):
        part = vectors[start : start + BATCH]
        yield [record_of(start + at, vector) for at, vector in enumerate(part)]


def insert(store: MilvusStore, client: MilvusClient, vectors: Rows) -> dict[str, float]:
    """Write all rows; the first batches also by pymilvus alone, into a collection like it."""
    plain = f"{store.collection}_plain"
    making.make(store.raw, plain, MODEL, store.design)
    times: dict[str, list[float]] = {"store": [], "raw": []}
    started = time.perf_counter()
    beside = 0.0
    for number, records in enumerate(batches(vectors)):
        begun = time.perf_counter()
        store.upsert(records)
        times["store"].append(time.perf_counter() - begun)
        if number < TURNS:
            rows = [schema.to_row(record) for record in records]
            begun = time.perf_counter()
            client.upsert(plain, rows)
            times["raw"].append(time.perf_counter() - begun)
            beside += time.perf_counter() - begun
    whole = time.perf_counter() - started - beside
    client.drop_collection(plain)
    compared = min(TURNS, len(times["raw"]))
    ours, theirs = (float(np.median(times[name][:compared])) for name in ("store", "raw"))
    return {"rows_per_s": len(vectors) / whole, "of_raw": theirs / ours}


def exact_tenth(vectors: Rows, questions: Rows) -> Rows:
    """(n,) the score of the tenth nearest row of each question."""
    best = np.full((len(questions), LIMIT), -2, np.float32)
    for start in range(0, len(vectors), 65_536):
        scores = questions @ vectors[start : start + 65_536].T
        top = np.partition(scores, -LIMIT, axis=1)[:, -LIMIT:]
        best = np.sort(np.concatenate([best, top], axis=1), axis=1)[:, -LIMIT:]
    return best[:, 0]


def search(
    store: MilvusStore, vectors: Rows, questions: Rows, tenth: Rows, condition: str = ""
) -> dict[str, float]:
    times, found = [], []
    for vector in questions:
        started = time.perf_counter()
        hits = store.search(vector, limit=LIMIT, condition=condition)
        times.append(1000 * (time.perf_counter() - started))
        rows = [int(hit.content, 16) for hit in hits]
        found.append(rows)
    figures = {"p50_ms": float(np.median(times)), "p95_ms": float(np.quantile(times, 0.95))}
    if not condition:
        figures["recall"] = float(
            np.mean(
                [
                    np.sum(vectors[rows] @ vector >= least - 1e-5) / LIMIT
                    for rows, vector, least in zip(found, questions, tenth, strict=True)
                ]
            )
        )
    return figures


def filtered(store: MilvusStore, questions: Rows) -> dict[str, Any]:
    """Searches with filters, and how long the indexes of the fields take to make."""
    some = questions[:50]

    def all_filters() -> dict[str, float]:
        return {
            name: search(store, some, some, some[:, 0], condition)["p50_ms"]
            for name, condition in FILTERS.items()
        }

    without = all_filters()
    store.raw.ask("release_collection", store.collection)
    for field, kind in SCALARS.items():
        index = MilvusClient.prepare_index_params()
        index.add_index(field, index_type=kind)
        store.raw.ask("create_index", store.collection, index)
    for field in SCALARS:
        while store.raw.ask("describe_index", store.collection, field)["pending_index_rows"]:
            time.sleep(PAUSE_S)
    store.raw.load(store.collection, store.design)
    tuning.wait_for_index(store)
    time.sleep(SETTLE_S)
    return {"without": without, "with": all_filters()}


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


def measure(
    profile: str, vectors: Rows, questions: Rows, tenth: Rows, *, filters: bool
) -> dict[str, Any]:
    """One profile on a server of its own, which has nothing else to keep."""
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusServer(Path(folder))
        if not server.start():
            raise SystemExit("This machine does not allow network namespaces.")
        try:
            client = MilvusClient(server.uri, token=TOKEN, dedicated=True)
            idle = memory_mb(server.pid)
            store = MilvusStore(
                server.uri, "bench", create=MODEL, token=TOKEN, design=CollectionDesign.of(profile)
            )
            figures: dict[str, Any] = {
                "profile": profile,
                "rows": len(vectors),
                "type": store.design.index_type,
            }
            figures |= insert(store, client, vectors)
            started = time.perf_counter()
            tuning.wait_for_index(store)
            figures["build_s"] = time.perf_counter() - started
            started = time.perf_counter()
            curve = tuning.tune(store, questions=100)
            figures["tune_s"] = time.perf_counter() - started
            figures["curve"] = curve and [(p.value, p.recall, p.ms) for p in curve.points]
            figures["effort"] = store.effort.value
            search(store, vectors, questions[:20], tenth[:20])
            figures |= search(store, vectors, questions, tenth)
            figures["memory_mb"] = memory_mb(server.pid) - idle
            index_files = Path(folder) / "data" / "index_files"
            figures["disk_mb"] = disk_mb(Path(folder) / "data")
            figures["index_mb"] = disk_mb(index_files) if index_files.is_dir() else 0.0
            if filters:
                figures["filters"] = filtered(store, questions)
            store.close()
            client.close()
        finally:
            server.kill()
    return figures


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    questions = vectors_of(QUESTIONS, seed=2)
    heads = ("", "rows/s", "of raw", "build s", "tune s", "effort", "p50 ms", "p95 ms",
             "recall@10", "memory MB", "index MB", "disk MB")  # fmt: skip
    lines: list[tuple[str, ...]] = [heads]
    all_figures: dict[str, Any] = {}
    for rows in args.rows:
        vectors = vectors_of(rows, seed=1)
        tenth = exact_tenth(vectors, questions)
        for profile in args.profiles:
            label = f"{rows:,} {profile}"
            try:
                found = measure(
                    profile,
                    vectors,
                    questions,
                    tenth,
                    filters=rows == args.rows[0] and profile in FILTERED,
                )
            except StoreError as error:
                print(f"{label}: {error}", file=sys.stderr)
                continue
            all_figures[label] = found
            print(label, found, file=sys.stderr)
            lines.append(
                (
                    f"{label} ({found['type']})",
                    f"{found['rows_per_s']:,.0f}",
                    f"{found['of_raw']:.2f}",
                    f"{found['build_s']:.0f}",
                    f"{found['tune_s']:.0f}",
                    str(found["effort"] or "all"),
                    f"{found['p50_ms']:.1f}",
                    f"{found['p95_ms']:.1f}",
                    f"{found['recall']:.3f}",
                    f"{found['memory_mb']:,.0f}",
                    f"{found['index_mb']:,.0f}",
                    f"{found['disk_mb']:,.0f}",
                )
            )
    publish(
        f"{DIM} numbers a vector, {QUESTIONS} questions, hits with all their fields",
        lines,
        figures=all_figures,
        json_file=args.json,
    )
    for label, found in all_figures.items():
        for how, times in found.get("filters", {}).items():
            print(f"{label}, filters {how} indexes of fields, p50 ms:", times)


if __name__ == "__main__":
    main()
