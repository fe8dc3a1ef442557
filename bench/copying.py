"""How many rows a second `lookalike copy` takes from Milvus Lite to a real Milvus server.

The bare client is given the same rows, ready in memory, and writes them with ``upsert``, 1,000 at a
time. The copy also reads them out of Milvus Lite, and counts and compares at the end. Copying again
finds nothing to write. Each copy runs in a fresh process, whose peak of memory is told.

    python bench/copying.py --rows 20000 60000
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import arguments, in_fresh_process, peak_rss_mb, publish
from pymilvus import MilvusClient

from lookalike import Index
from lookalike.records import ImageRecord, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel, to_row

sys.path.append(str(Path(__file__).parents[1]))
from tests.milvus_server import TOKEN, MilvusServer

DIM = 384
AT_ONCE = 1000
MODEL = CollectionModel(model="synthetic", fingerprint="f" * 32, dim=DIM)


def synthetic(count: int) -> list[ImageRecord]:
    """Rows around 100 centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((100, DIM)).astype(np.float32)
    found = []
    for number in range(count):
        vector = centres[number % 100] + random.standard_normal(DIM).astype(np.float32)
        found.append(
            ImageRecord(
                path=f"/photos/{number % 1000}/{number:09d}.jpg",
                content=f"{number:032x}",
                stamp=Stamp(100_000 + number, 1_700_000_000_000_000_000 + number),
                width=640,
                height=480,
                taken_at=1_700_000_000,
                format="jpeg",
                vector=vector / np.linalg.norm(vector),
                phash=f"{number:016x}",
                metadata={"label": f"class{number % 100}"},
            )
        )
    return found


def fill(database: str, count: int) -> None:
    """Put rows into Milvus Lite."""
    store = MilvusStore(database, "images", create=MODEL)
    store.upsert(synthetic(count))
    store.flush()
    store.close()


def bare(uri: str, count: int) -> float:
    """Rows a second that the client alone writes."""
    MilvusStore(uri, "bare", create=MODEL, token=TOKEN).close()
    rows = [to_row(record) for record in synthetic(count)]
    client = MilvusClient(uri, token=TOKEN, dedicated=True)
    started = time.perf_counter()
    for start in range(0, count, AT_ONCE):
        client.upsert("bare", rows[start : start + AT_ONCE])
    rate = count / (time.perf_counter() - started)
    client.drop_collection("bare")
    client.close()
    return rate


def copied(database: str, uri: str, count: int) -> tuple[float, float]:
    """Rows a second of a copy, and the peak of memory in MB."""
    report = Index.copy(database, uri, to_token=TOKEN, to_collection=f"rows_{count}")
    if (report.rows, report.total) != (count, count):
        raise SystemExit(f"{report.rows} rows were read, {report.total} are there, not {count}")
    return report.rows_per_second, peak_rss_mb()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 60_000])
    args = parser.parse_args()
    table: list[tuple[str | float, ...]] = []
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        (Path(folder) / "milvus").mkdir()
        server = MilvusServer(Path(folder) / "milvus")
        if not server.start():
            parser.error("this machine does not allow network namespaces")
        try:
            in_fresh_process(bare, server.uri, 5000)  # warms the server
            for count in args.rows:
                database = f"{folder}/rows_{count}.db"
                in_fresh_process(fill, database, count)
                alone = in_fresh_process(bare, server.uri, count)
                first, memory = in_fresh_process(copied, database, server.uri, count)
                again, _ = in_fresh_process(copied, database, server.uri, count)
                table.append((f"{count:,}", alone, first, first / alone, again, memory))
        finally:
            server.kill()
    heads = ("rows", "bare client", "copy", "copy / bare", "copy again", "peak MB")
    publish(
        "From Milvus Lite to a server, rows a second",
        [heads, *table],
        figures={str(row[0]): dict(zip(heads[1:], row[1:], strict=True)) for row in table},
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
