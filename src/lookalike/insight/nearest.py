"""The nearest of many vectors for each of many: lists that cost n · log n, in any database.

Searches of the database would compare each picture with every other: its index is an exact one. So
the vectors are read once, and outlines of them, some main components in 8 bits each, put into a
graph of small worlds (HNSW, by FAISS, which Milvus Lite brings along), for this question only. The
best by their outlines are compared exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

# Below that many products of vectors an exact comparison is as fast.
EXACT_PRODUCTS = 4096 * 4096
_BLOCK = 1024
# Malkov and Yashunin (2018): links of a node, and how many nodes are looked at to place or find
# one. With half of these, copies are missed among many vectors that have nothing else in common.
_LINKS, _PLACING, _FINDING = 16, 80, 64
_AXES, _SAMPLE = 96, 20_000


def nearest(
    queries: Vectors, among: Vectors, *, count: int
) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The `count` nearest of (m, dim) unit rows for each of (n, dim) unit rows, best first.

    Returns:
        (n, k) numbers of rows of `among` and their (n, k) cosines, k = min(count, m); a number is
        -1 where fewer were found.
    """
    count = min(count, len(among))
    if not count or not len(queries):
        return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    if len(queries) * len(among) <= EXACT_PRODUCTS:
        return _exactly(queries, among, count)
    return _rescored(queries, among, _candidates(queries, among, 2 * count), count)


def _candidates(queries: Vectors, among: Vectors, count: int) -> npt.NDArray[np.int64]:
    """(n, count) numbers of rows that are near each query; -1 where fewer were found."""
    # Imported here: it takes 0.1 s, and few commands need it.
    import faiss  # noqa: PLC0415

    axes = _axes(among)
    eight_bits: Any = faiss.ScalarQuantizer.QT_8bit
    graph = faiss.IndexHNSWSQ(axes.shape[1], eight_bits, _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _PLACING
    graph.hnsw.efSearch = max(_FINDING, count)
    outlines = _unit(among @ axes)
    graph.train(outlines)
    graph.add(outlines)
    rows: npt.NDArray[np.int64] = graph.search(_unit(queries @ axes), count)[1]
    return rows


def _axes(vectors: Vectors) -> Vectors:
    """(dim, k) the directions in which rows differ most: what is looked at stays in the cache."""
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(axes[:, -_AXES:], np.float32)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)


def _rescored(
    queries: Vectors, among: Vectors, rows: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The best of some candidates by their whole vectors."""
    best, scores = rows[:, :count].copy(), np.empty((len(rows), count), np.float32)
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        found = np.einsum("nd,nkd->nk", queries[start : start + _BLOCK], among[some])
        found[some < 0] = -np.inf
        order = np.argsort(-found, axis=1, kind="stable")[:, :count]
        best[start : start + _BLOCK] = np.take_along_axis(some, order, axis=1)
        scores[start : start + _BLOCK] = np.take_along_axis(found, order, axis=1)
    return best, scores


def _exactly(queries: Vectors, among: Vectors, count: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    rows = np.empty((len(queries), count), np.int64)
    best = np.empty((len(queries), count), np.float32)
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ among.T
        chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(scores, chosen, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[start : start + _BLOCK] = np.take_along_axis(chosen, order, axis=1)
        best[start : start + _BLOCK] = np.take_along_axis(values, order, axis=1)
    return rows, best
