"""What do a million, a hundred million and a billion pictures cost?

Measured here, with the packaged model: the processor time of indexing a picture, all of it, in a
process of its own (which a busy machine changes less than the time by the clock); what a row takes
on the disk of Milvus Lite, where its vector is also in the search index; and what its fields but
the vector take in memory, as Arrow has them. Measured elsewhere, if it is given with --store: the
JSON of ``bench/store.py``, a search's time, recall, and the server's memory and disk by profile and
number of rows.

Extrapolated from these: everything else. Bytes of a vector of d numbers in memory:

    FLAT, FP32          4·d             the numbers
    FLAT, FP16          2·d
    HNSW                4·d + 8·M       and 2·M links of 4 bytes on the lowest level (hnswlib)
    HNSW_SQ             d + 8·M         8 bits for each number
    IVF_SQ8             d + 8           and an id (FAISS, ScalarQuantizer)
    IVF_RABITQ          d/8 + 8 + 8     1 bit, two factors and an id (FAISS; Gao and Long, 2024)
    IVF_RABITQ, refined d/8 + 16 + d    the best compared again by 8 bits
    DISKANN             0.225 · 4·d     Milvus: an eighth for product-quantised codes, a tenth for
                                        the cache; on the disk 4·d and R links of 4 bytes, whole
                                        vectors to sectors of 4096 (DiskANN)

A query node also holds the other fields of its rows. It is filled to --usable of its memory.
"""

from __future__ import annotations

import json
import math
import resource
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import (
    SAMPLES,
    Row,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    write_random_rows,
)
from pyarrow import parquet

from lookalike import Index, Settings, load_embedder
from lookalike.records import ImageFile, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel

SIZES = (1_000_000, 100_000_000, 1_000_000_000)
DIM = 384
LINKS, DISK_LINKS, SECTOR = 16, 56, 4096  # M of HNSW, R of DISKANN, as Milvus has them by default
WARM_UP_PICTURES = 16
PATH = "/mnt/pictures/2024/holidays in Italy/{:08d}.jpg"  # 48 characters


@dataclass(frozen=True)
class Work:
    """Of a picture: processor time of indexing it, and bytes of its fields but the vector."""

    core_seconds: float
    field_bytes: float
    pictures: int
    precision: str


@dataclass(frozen=True)
class Shape:
    """An index type: bytes in memory, and on the disk, of one vector."""

    name: str
    memory: float
    disk: float


def shapes(dim: int) -> list[Shape]:
    per_sector = SECTOR // (4 * dim + 4 * DISK_LINKS + 4)
    on_disk = SECTOR / per_sector if per_sector else math.ceil((4 * dim) / SECTOR) * SECTOR
    in_memory = {
        "FLAT, FP32": 4 * dim,
        "FLAT, FP16": 2 * dim,
        "HNSW": 4 * dim + 8 * LINKS,
        "HNSW_SQ": dim + 8 * LINKS,
        "IVF_SQ8": dim + 8,
        "IVF_RABITQ": dim / 8 + 16,
        "IVF_RABITQ, refined": dim / 8 + 16 + dim,
    }
    known = [Shape(name, bytes_, bytes_) for name, bytes_ in in_memory.items()]
    return [*known, Shape("DISKANN", 0.225 * 4 * dim, on_disk)]


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


def measured_searches(document: object) -> Iterator[dict[str, Any]]:
    """The rows of `bench/store.py`'s JSON, wherever in it they stand."""
    if isinstance(document, dict):
        if {"rows", "profile", "p50_ms"} <= document.keys():
            yield document
        else:
            for value in document.values():
                yield from measured_searches(value)
    elif isinstance(document, list):
        for value in document:
            yield from measured_searches(value)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Of the straight line with the least squares; None for a single point."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def growth_rows(searches: Sequence[dict[str, Any]]) -> list[Row]:
    """What was measured by profile and size, and how it grows."""
    table: list[Row] = [
        ("profile", "rows", "p50, ms", "p95, ms", "recall@10", "memory, GB", "disk, GB", "grows as")
    ]
    for profile in dict.fromkeys(each["profile"] for each in searches):
        ours = sorted(
            (each for each in searches if each["profile"] == profile), key=lambda each: each["rows"]
        )
        for before, each in zip([None, *ours], ours, strict=False):
            power = "–"
            if before and before["p50_ms"] > 0:
                times = math.log(each["rows"] / before["rows"])
                power = f"rows^{math.log(each['p50_ms'] / before['p50_ms']) / times:.2f}"
            sizes = [
                "–" if each.get(name) is None else f"{each[name] / 1e9:.2f}"
                for name in ("rss_bytes", "disk_bytes")
            ]
            table.append(
                (
                    str(profile), f"{each['rows']:,}", f"{each['p50_ms']:.1f}",
                    f"{each.get('p95_ms', float('nan')):.1f}",
                    f"{each.get('recall', float('nan')):.3f}", *sizes, power,
                )
            )  # fmt: skip
    return table


def slope_rows(searches: Sequence[dict[str, Any]]) -> list[Row]:
    """Bytes that a row adds to the server's memory and disk, from several sizes of a profile."""
    table: list[Row] = [("profile", "memory, bytes a row", "disk, bytes a row")]
    for profile in dict.fromkeys(each["profile"] for each in searches):
        cells = []
        for name in ("rss_bytes", "disk_bytes"):
            points = [
                (each["rows"], each[name])
                for each in searches
                if each["profile"] == profile and each.get(name) is not None
            ]
            found = slope(points) if points else None
            cells.append("–" if found is None else f"{found:,.0f}")
        table.append((str(profile), *cells))
    return table


def memory_rows(other_bytes: float, *, node_bytes: float) -> list[Row]:
    """Bytes and query nodes by index type and number of pictures; one copy of everything."""
    head = [f"{_count(size)}: {what}" for size in SIZES for what in ("GB", "nodes")]
    table: list[Row] = [("index type", "bytes a row", *head, "disk of 1 B, TB")]
    for shape in shapes(DIM):
        row_memory = shape.memory + other_bytes
        cells = []
        for size in SIZES:
            gigabytes = size * row_memory / 1e9
            cells += [f"{gigabytes:,.1f}", f"{math.ceil(size * row_memory / node_bytes):,}"]
        # What is kept for good: the rows with whole vectors, and the index.
        disk = SIZES[-1] * (4 * DIM + other_bytes + shape.disk) / 1e12
        table.append((shape.name, f"{row_memory:,.0f}", *cells, f"{disk:.2f}"))
    return table


def embedding_rows(work: Work, *, cores: int, days: Sequence[int]) -> list[Row]:
    """Core-hours, and workers for a number of days."""
    head = [f"{cores}-core workers for {day} d" for day in days]
    table: list[Row] = [("pictures", "core-hours", *head)]
    for size in SIZES:
        hours = size * work.core_seconds / 3600
        workers = [f"{math.ceil(hours / (24 * day * cores)):,}" for day in days]
        table.append((_count(size), f"{hours:,.1f}", *workers))
    return table


def _count(size: int) -> str:
    return f"{size // 10**9:,} B" if size >= 10**9 else f"{size // 10**6:,} M"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLES, help="else the samples")
    parser.add_argument("--files", type=int, default=2000, help="names to index (default 2,000)")
    parser.add_argument("--rows", type=int, default=20_000, help="rows on disk (default 20,000)")
    parser.add_argument("--store", type=Path, help="the JSON of bench/store.py")
    parser.add_argument("--node-gb", type=float, default=64, help="of a query node (default 64)")
    parser.add_argument("--usable", type=float, default=0.7, help="part of it (default 0.7)")
    parser.add_argument("--worker-cores", type=int, default=16, help="of a worker (default 16)")
    args = parser.parse_args()

    work = in_fresh_process(indexing_work, args.folder, args.files)
    on_disk = in_fresh_process(row_bytes, (args.rows // 4, args.rows))
    other = work.field_bytes
    searches = []
    if args.store:
        searches = list(measured_searches(json.loads(args.store.read_text(encoding="utf-8"))))
    figures: dict[str, Any] = {
        "core_seconds_per_picture": work.core_seconds,
        "core_hours_per_million": work.core_seconds / 3600 * 1e6,
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
            "Extrapolated from the core-ms of a picture: embedding",
            embedding_rows(work, cores=args.worker_cores, days=(1, 7)),
        ),
        (
            f"Extrapolated from the formulas and the bytes of the other fields: {DIM} numbers, "
            f"nodes of {args.node_gb:g} GB filled to {args.usable:.0%}, one replica",
            memory_rows(other, node_bytes=args.node_gb * 1e9 * args.usable),
        ),
    ]
    if searches:
        tables += [
            ("Measured by bench/store.py: a search", growth_rows(searches)),
            ("From these, the slope over the sizes", slope_rows(searches)),
        ]
    for title, table in tables:
        print()
        publish(title, table, figures={}, json_file=None)


if __name__ == "__main__":
    main()
