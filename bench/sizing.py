"""Sizes by formulas, and growth from what was measured: the tables of ``scaling.py``.

Bytes of a vector of d numbers in memory:

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
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from measure import Row

SIZES = (1_000_000, 100_000_000, 1_000_000_000)
NODE_ROWS = (1_000_000, 10_000_000, 30_000_000)
LINKS, DISK_LINKS, SECTOR = 16, 56, 4096  # M of HNSW, R of DISKANN, as Milvus has them by default


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
                "–" if each.get(name) is None else f"{each[name] / 1e3:.2f}"
                for name in ("memory_mb", "disk_mb")
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
        for name in ("memory_mb", "disk_mb"):
            points = [
                (each["rows"], 1e6 * each[name])
                for each in searches
                if each["profile"] == profile and each.get(name) is not None
            ]
            found = slope(points) if points else None
            cells.append("–" if found is None else f"{found:,.0f}")
        table.append((str(profile), *cells))
    return table


def latency_rows(searches: Sequence[dict[str, Any]]) -> list[Row]:
    """A search's p50 with more rows on a node, by the growth between the sizes that were measured.

    All nodes search at once, so a collection on many nodes is as fast as one of its nodes.
    """
    head = [f"{_count(rows)} on a node, ms" for rows in NODE_ROWS]
    table: list[Row] = [("profile", "grows as", *head)]
    for profile in dict.fromkeys(each["profile"] for each in searches):
        ours = sorted(
            (each["rows"], each["p50_ms"]) for each in searches if each["profile"] == profile
        )
        (least, fast), (most, slow) = ours[0], ours[-1]
        if least == most:
            continue
        power = math.log(slow / fast) / math.log(most / least)
        times = [f"{slow * (rows / most) ** power:,.1f}" for rows in NODE_ROWS]
        table.append((str(profile), f"rows^{power:.2f}", *times))
    return table


def memory_rows(other_bytes: float, *, dim: int, node_bytes: float) -> list[Row]:
    """Bytes and query nodes by index type and number of pictures; one copy of everything."""
    head = [f"{_count(size)}: {what}" for size in SIZES for what in ("GB", "nodes")]
    table: list[Row] = [("index type", "bytes a row", *head, "disk of 1 B, TB")]
    for shape in shapes(dim):
        row_memory = shape.memory + other_bytes
        cells = []
        for size in SIZES:
            gigabytes = size * row_memory / 1e9
            cells += [f"{gigabytes:,.1f}", f"{math.ceil(size * row_memory / node_bytes):,}"]
        # What is kept for good: the rows with whole vectors, and the index.
        disk = SIZES[-1] * (4 * dim + other_bytes + shape.disk) / 1e12
        table.append((shape.name, f"{row_memory:,.0f}", *cells, f"{disk:.2f}"))
    return table


def embedding_rows(core_seconds: float, *, cores: int, days: Sequence[int]) -> list[Row]:
    """Core-hours, and workers for a number of days."""
    head = [f"{cores}-core workers for {day} d" for day in days]
    table: list[Row] = [("pictures", "core-hours", *head)]
    for size in SIZES:
        hours = size * core_seconds / 3600
        workers = [f"{math.ceil(hours / (24 * day * cores)):,}" for day in days]
        table.append((_count(size), f"{hours:,.1f}", *workers))
    return table


def _count(size: int) -> str:
    return f"{size // 10**9:,} B" if size >= 10**9 else f"{size // 10**6:,} M"
