"""What do a million, a hundred million and a billion pictures cost?

Measured here, with the packaged model: the processor time of indexing a picture, all of it, in a
process of its own (which a busy machine changes less than the time by the clock); what a row takes
on the disk of Milvus Lite, where its vector is also in the search index; and what its fields but
the vector take in memory, as Arrow has them. Measured elsewhere, if it is given with --store: the
JSON of ``bench/store.py``, a search's time, recall, and the server's memory and disk by profile and
number of rows.

Extrapolated from these: everything else, by the formulas in ``sizing.py``. With --indexing, the
JSON of ``bench/indexing.py``, embedding is extrapolated from that.

A query node also holds the other fields of its rows. It is filled to --usable of its memory.
"""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    write_random_rows,
)
from pyarrow import parquet
from sizing import (
    embedding_rows,
    growth_rows,
    latency_rows,
    measured_searches,
    memory_rows,
    slope_rows,
)

from lookalike import Index, Settings, load_embedder
from lookalike.records import ImageFile, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel

DIM = 384
WARM_UP_PICTURES = 16
PATH = "/mnt/pictures/2024/holidays in Italy/{:08d}.jpg"  # 48 characters


@dataclass(frozen=True)
class Work:
    """Of a picture: processor time of indexing it, and bytes of its fields but the vector."""

    core_seconds: float
    field_bytes: float
    pictures: int
    precision: str


def indexing_work(folder: Path, files: int) -> Work:
    """Of `Index.add` of pictures under several names, after the model was loaded and tried."""
    settings = Settings.from_environment()
    embedder = load_embedder(settings=settings)
    embedder.embed_files(pictures_in(folder)[:WARM_UP_PICTURES])
    from lookalike.embed.openvino_engine import capabilities  # noqa: PLC0415 - loaded by now

    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary) / "pictures"
        pictures.mkdir()
        multiply(pictures_in(folder), files, into=pictures)
        with Index.open(Path(temporary) / "index.db", model=embedder, settings=settings) as index:
            before = resource.getrusage(resource.RUSAGE_SELF)
            report = index.add(pictures)
            after = resource.getrusage(resource.RUSAGE_SELF)
            index.export(Path(temporary) / "rows.parquet")
        rows = parquet.read_table(Path(temporary) / "rows.parquet").drop_columns(["vector"])
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    bf16 = "BF16" in capabilities() and settings.precision in ("auto", "bf16")
    precision = "bf16" if bf16 else "fp32"
    return Work(seconds / report.added, rows.nbytes / rows.num_rows, report.added, precision)


def row_bytes(rows: Sequence[int]) -> float:
    """What one more row takes in Milvus Lite: the difference between two databases."""
    model = CollectionModel(model="random", fingerprint="0" * 32, dim=DIM)
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in rows:
            path = str(Path(temporary) / f"{count}.db")
            store = MilvusStore(path, "images", create=model)
            files = [ImageFile(PATH.format(n), Stamp(100_000 + n, n)) for n in range(count)]
            write_random_rows(store, files)
            sizes.append(store.size_bytes() or 0)
            store.close()
    return (sizes[1] - sizes[0]) / (rows[1] - rows[0])


def by_the_clock(indexing: dict[str, Any]) -> float:
    """Core-seconds for a picture by `bench/indexing.py`: all cores, for as long as it took."""
    turns = indexing["figures"]["turns"]["lookalike"]
    rate = statistics.median(turn["images_per_second"] for turn in turns)
    return float(indexing["machine"]["cores"] / rate)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLES, help="else the samples")
    parser.add_argument("--files", type=int, default=2000, help="names to index (default 2,000)")
    parser.add_argument("--rows", type=int, default=20_000, help="rows on disk (default 20,000)")
    parser.add_argument("--indexing", type=Path, help="the JSON of bench/indexing.py")
    parser.add_argument("--store", type=Path, help="the JSON of bench/store.py")
    parser.add_argument("--node-gb", type=float, default=64, help="of a query node (default 64)")
    parser.add_argument("--usable", type=float, default=0.7, help="part of it (default 0.7)")
    parser.add_argument("--worker-cores", type=int, default=16, help="of a worker (default 16)")
    args = parser.parse_args()

    work = in_fresh_process(indexing_work, args.folder, args.files)
    on_disk = in_fresh_process(row_bytes, (args.rows // 4, args.rows))
    other = work.field_bytes
    core_seconds = work.core_seconds
    if args.indexing:
        core_seconds = by_the_clock(json.loads(args.indexing.read_text(encoding="utf-8")))
    searches = []
    if args.store:
        searches = list(measured_searches(json.loads(args.store.read_text(encoding="utf-8"))))
    figures: dict[str, Any] = {
        "core_seconds_per_picture": work.core_seconds,
        "core_hours_per_million": core_seconds / 3600 * 1e6,
        "precision": work.precision,
        "lite_row_bytes": on_disk,
        "field_bytes_without_vector": other,
        "searches": searches,
    }
    publish(
        f"Measured: a picture and a row ({work.pictures:,} pictures, {args.rows:,} rows)",
        [
            ("", "measured"),
            ("core-ms to index a picture", f"{work.core_seconds * 1e3:.2f}"),
            ("with the model in", work.precision),
            (f"bytes of a row in Milvus Lite, {DIM} numbers", f"{on_disk:,.0f}"),
            ("bytes of a row's fields but the vector", f"{other:,.0f}"),
        ],
        figures=figures,
        json_file=args.json,
    )
    tables = [
        (
            f"Extrapolated from {core_seconds * 1e3:.2f} core-ms for a picture: embedding",
            embedding_rows(core_seconds, cores=args.worker_cores, days=(1, 7)),
        ),
        (
            f"Extrapolated from the formulas and the bytes of the other fields: {DIM} numbers, "
            f"nodes of {args.node_gb:g} GB filled to {args.usable:.0%}, one replica",
            memory_rows(other, dim=DIM, node_bytes=args.node_gb * 1e9 * args.usable),
        ),
    ]
    if searches:
        tables += [
            ("Measured by bench/store.py: a search", growth_rows(searches)),
            ("From these, the slope over the sizes", slope_rows(searches)),
            ("Extrapolated from the growth of p50 between the sizes", latency_rows(searches)),
        ]
    for title, table in tables:
        print()
        publish(title, table, figures={}, json_file=None)


if __name__ == "__main__":
    main()
