"""What does each profile cost on a real Milvus server, and what does it find?

Synthetic unit vectors around some thousand centres, as pictures have them, go into a collection on
the server of the package `milvus`. Measured are rows/s of `MilvusStore.upsert` against pymilvus's
`upsert` of the same rows in the same batches, in turns; then, for each profile, the time to make
the index again as `lookalike tune --profile` does, once the server has put the rows into large
segments; a search for 10 of vectors that are not stored, with the effort that `lookalike tune`
chose for recall 0.95; recall@10 against NumPy; the server's memory, when it was started again and
has nothing else to keep, and the disk that rows and index take. With the first number of rows also
filtered searches, with and without indexes of the fields.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from filled_server import PAUSE_S, FilledServer
from measure import Row, arguments, publish
from pymilvus import MilvusClient
from synthetic import DIM, Rows, exact_last, vectors_of

from lookalike.errors import StoreError
from lookalike.store import tuning
from lookalike.store.milvus import MilvusStore

QUESTIONS, LIMIT = 200, 10
SETTLE_S = 5.0
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
    found = {"without": without, "with": all_filters()}
    store.raw.ask("release_collection", store.collection)
    for field in SCALARS:
        store.raw.ask("drop_index", store.collection, field)
    store.raw.load(store.collection, store.design)
    return found


def measure(
    server: FilledServer, profile: str, vectors: Rows, questions: Rows, tenth: Rows
) -> dict[str, Any]:
    figures = server.become(profile)
    started = time.perf_counter()
    curve = tuning.tune(server.store, questions=100)
    figures["tune_s"] = time.perf_counter() - started
    server.restart()
    store = server.store
    figures["curve"] = curve and [(p.value, p.recall, p.ms) for p in curve.points]
    figures["effort"] = store.effort.value
    search(store, vectors, questions[:20], tenth[:20])
    figures |= search(store, vectors, questions, tenth)
    figures["memory_mb"] = server.memory_mb()
    return figures


HEADS: Row = ("", "build s", "tune s", "effort", "p50 ms", "p95 ms", "recall@10", "memory MB",
              "index MB", "disk MB")  # fmt: skip


def line(label: str, found: dict[str, Any]) -> Row:
    return (
        f"{label} ({found['type']})",
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


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    questions = vectors_of(QUESTIONS, seed=2)
    inserts: list[Row] = [("rows", "rows/s", "of raw", "merged after s", "segments")]
    lines, figures, filters = [HEADS], [], {}
    for rows in args.rows:
        vectors = vectors_of(rows, seed=1)
        tenth = exact_last(vectors, questions, LIMIT)
        with tempfile.TemporaryDirectory() as folder, FilledServer(Path(folder)) as server:
            whole = server.fill(vectors)
            print(f"{rows:,}", whole, file=sys.stderr)
            inserts.append((f"{rows:,}", f"{whole['rows_per_s']:,.0f}", f"{whole['of_raw']:.2f}",
                            f"{whole['merged_s']:.0f}", f"{whole['segments']}"))  # fmt: skip
            for profile in args.profiles:
                label = f"{rows:,} {profile}"
                found = {"profile": profile, "rows": rows, **whole}
                try:
                    found |= measure(server, profile, vectors, questions, tenth)
                    if rows == args.rows[0] and profile in FILTERED:
                        found["filters"] = filters[label] = filtered(server.store, questions)
                except StoreError as error:
                    print(f"{label}: {error}", file=sys.stderr)
                    continue
                print(label, found, file=sys.stderr)
                figures.append(found)
                lines.append(line(label, found))
    publish("Rows written", inserts, figures={}, json_file=None)
    print()
    publish(
        f"{DIM} numbers a vector, {QUESTIONS} questions, hits with all their fields",
        lines,
        figures={"searches": figures},
        json_file=args.json,
    )
    for label, found in filters.items():
        for how, times in found.items():
            print(f"{label}, filters {how} indexes of fields, p50 ms:", times)


if __name__ == "__main__":
    main()
