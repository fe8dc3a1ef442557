"""The nearest of many vectors for each of many: lists that cost n · log n, in any database.

Searches of the database would compare each picture with every other: its index is an exact one. So
the vectors are read once and put into a graph of small worlds (HNSW, by FAISS, which Milvus Lite
brings along), for this question only. Few are compared exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

# Below that many products of vectors an exact comparison is as fast.
EXACT_PRODUCTS = 4096 * 4096
_BLOCK = 1024
# Malkov and Yashunin (2018): links of a node, and how many nodes are looked at to place or find
# one. With half of these, copies are missed among many vectors that have nothing else in common.
_LINKS, _PLACING, _FINDING = 16, 80, 64


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
    # Imported here: it takes 0.1 s, and few commands need it.
    import faiss  # noqa: PLC0415

    graph = faiss.IndexHNSWFlat(among.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _PLACING
    graph.hnsw.efSearch = max(_FINDING, count)
    graph.add(np.ascontiguousarray(among))
    scores, rows = graph.search(np.ascontiguousarray(queries), count)
    return rows, scores


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
