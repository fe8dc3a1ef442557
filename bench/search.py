"""How much does `Index.search` take over Milvus's own search and the model?

An index with random unit vectors, warm, asked with the same picture: by `Index.search`, and by
pymilvus with the picture's vector and the same fields of the hits, taking turns. What the model
takes, from the bytes to the vector, is measured beside them. Then ten questions at once, by
`Index.search_many` and one by one. Each size in a process of its own; medians and 95th percentiles.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import SAMPLES, arguments, in_fresh_process, pictures_in, publish, write_random_rows
from pymilvus import MilvusClient

from lookalike import Index, load_embedder
from lookalike.records import ImageFile, Stamp
from lookalike.store import schema
from lookalike.store.milvus import MilvusStore

FIELDS = ["id", *schema.FACT_FIELDS, "$meta"]
SETTLE_S = 3.0  # Milvus Lite merges its files in the background
BATCH = 10

Times = dict[str, list[float]]


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def measure(database: str, picture: Path, rows: int, rounds: int) -> Times:
    Index.open(database).close()
    store = MilvusStore(database, "images", create=None)
    write_random_rows(
        store, [ImageFile(f"/p/{n:08d}.jpg", Stamp(size_bytes=n, mtime_ns=n)) for n in range(rows)]
    )
    store.close()
    with Index.open(database) as index:
        time.sleep(SETTLE_S)
        embedder = load_embedder()
        client = MilvusClient(database)
        vector = embedder.embed_files([picture])[0]
        works: dict[str, Callable[[], object]] = {
            "pymilvus": lambda: client.search("images", [vector], limit=10, output_fields=FIELDS),
            "model": lambda: embedder.embed_files([picture]),
            "lookalike": lambda: index.search(picture, limit=10),
            "filtered": lambda: index.search(picture, limit=10, where="width > 100"),
            "auto": lambda: index.search(picture, limit=10, auto=True),
            "ten": lambda: index.search_many([picture] * BATCH, limit=10),
        }
        for work in works.values():
            work()
        times: Times = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                times[name].append(timed(work))
        client.close()
    return times


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=30, help="timed turns (default 30)")
    args = parser.parse_args()
    picture = pictures_in(SAMPLES)[0]
    table = [
        ("", "pymilvus p50", "p95", "model p50", "Index.search p50", "p95", "over both",
         "filtered", "auto", "ten at once"),
    ]  # fmt: skip
    figures: dict[str, Times] = {}
    lines = []
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            database = str(Path(folder) / "photos.db")
            times = in_fresh_process(measure, database, picture, rows, args.rounds)
        figures[str(rows)] = times
        middle = {name: float(np.median(each)) for name, each in times.items()}
        late = {name: float(np.quantile(each, 0.95)) for name, each in times.items()}
        over = middle["lookalike"] - middle["model"]
        lines.append(
            (
                f"{rows:,} rows",
                *(f"{value:.1f}" for value in (middle["pymilvus"], late["pymilvus"])),
                *(f"{value:.1f}" for value in (middle["model"], middle["lookalike"])),
                f"{late['lookalike']:.1f}",
                f"{over / middle['pymilvus'] - 1:+.0%}",
                *(f"{middle[name]:.1f}" for name in ("filtered", "auto", "ten")),
            )
        )
    publish(
        f"A search in a warm index, ms, {args.rounds} turns; over both: without the model's time, "
        "against pymilvus",
        [*table, *lines],
        figures=figures,
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
