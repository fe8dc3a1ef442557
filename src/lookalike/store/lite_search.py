"""Exact search in Milvus Lite's own tables of rows.

For each search Milvus Lite walks in Python through all rows to see which of them count, and
measures the length of each vector. Here a search is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lookalike.store.database import Row
from lookalike.store.lite_rows import rows_at
from lookalike.store.lite_tables import LiteTables, Matrix, Part
from lookalike.store.schema import VECTOR_FIELD

SCORES_AT_ONCE = 16_000_000  # 64 MB
EXACT_AT_ONCE = 4096

Places = npt.NDArray[np.int64]


def search(
    tables: LiteTables, vectors: Matrix, *, limit: int, condition: str, fields: Sequence[str]
) -> list[list[Row]]:
    """The rows nearest to each of the (n, dim) vectors, as ``MilvusClient.search`` has them.

    Args:
        tables: where the rows are.
        vectors: float32; for COSINE their lengths do not matter.
        limit: how many at most for each.
        condition: an expression of Milvus's, or empty.
        fields: what is wanted of the rows; ``$meta`` is all fields without a column.
    """
    metric = tables.rows.resolve_search_metric(VECTOR_FIELD, None)
    parts = [part for part in tables.meeting(condition) if part.alive.any()]
    rows = sum(len(part.alive) for part in parts)
    step = max(1, SCORES_AT_ONCE // max(rows, 1))
    found = []
    for start in range(0, len(vectors), step):
        some = vectors[start : start + step]
        nearest = [_nearest(part, some, limit, metric) for part in parts]
        found += [
            _hits(parts, [at[number] for at in nearest], vector, limit, metric, fields)
            for number, vector in enumerate(some)
        ]
    return found


def _nearest(part: Part, vectors: Matrix, limit: int, metric: str) -> Places:
    """(n, k) the numbers of those rows of a part that are nearest, in no order."""
    closeness = vectors @ part.vectors.T  # (n, rows) float32
    if metric == "L2":
        closeness -= 0.5 if part.lengths is None else part.lengths**2 / 2
    elif metric == "COSINE" and part.lengths is not None:
        closeness /= np.where(part.lengths == 0, 1, part.lengths)
    count = int(part.alive.sum())
    if count < len(part.alive):
        closeness[:, ~part.alive] = -np.inf
    first = len(part.alive) - min(limit, count)
    if not first:
        return np.broadcast_to(np.arange(count), closeness.shape)
    return np.argpartition(closeness, first, axis=1)[:, first:]


def _hits(
    parts: Sequence[Part],
    nearest: Sequence[Places],
    vector: npt.NDArray[np.float32],
    limit: int,
    metric: str,
    fields: Sequence[str],
) -> list[Row]:
    """The nearest of the nearest rows of each part, best first."""
    if not parts:
        return []
    # Exactly, so that it does not matter with how many others a question is asked.
    scores = np.concatenate(
        [_scores(part.vectors, at, vector, metric) for part, at in zip(parts, nearest, strict=True)]
    )
    where = np.repeat(np.arange(len(parts)), [len(at) for at in nearest])
    rows = np.concatenate(nearest)
    order = np.argsort(scores if metric == "L2" else -scores, kind="stable")[:limit]
    return _as_hits(parts, where[order], rows[order], scores[order], fields)


def _scores(
    vectors: Matrix, at: Places, vector: npt.NDArray[np.float32], metric: str
) -> npt.NDArray[np.float64]:
    """Those of some rows, in the metric of the collection."""
    question = vector.astype(np.float64)
    scores = np.empty(len(at))
    for start in range(0, len(at), EXACT_AT_ONCE):
        rows = vectors[at[start : start + EXACT_AT_ONCE]].astype(np.float64)
        found = np.square(rows - question).sum(axis=1) if metric == "L2" else rows @ question
        if metric == "COSINE":
            lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(question)
            found /= np.where(lengths == 0, 1, lengths)
        scores[start : start + EXACT_AT_ONCE] = found
    return scores


def _as_hits(
    parts: Sequence[Part],
    where: Places,
    at: Places,
    scores: npt.NDArray[np.float64],
    fields: Sequence[str],
) -> list[Row]:
    hits: list[Row] = [{} for _ in scores]
    for number, part in enumerate(parts):
        (places,) = np.nonzero(where == number)
        if not len(places):
            continue
        entities = rows_at(part.table, at[places], fields)
        for place, entity in zip(places.tolist(), entities, strict=True):
            score = float(scores[place])
            hits[place] = {"id": entity["id"], "distance": score, "entity": entity}
    return hits
