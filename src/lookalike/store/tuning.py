"""What recall an approximate index has, by how much of it searches look at.

Some rows are asked for the nearest of all others, and the answers compared with the exact ones,
which NumPy finds in all vectors: these are read once, so it takes time as there are rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lookalike.errors import DesignUnavailable, StoreError
from lookalike.records import row_id
from lookalike.store import filters, making
from lookalike.store.design import PROPERTY as DESIGN
from lookalike.store.design import CollectionDesign
from lookalike.store.effort import LEVEL, MEASURED_HITS, Curve, Point, effort_of
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import VECTOR_FIELD

STALLED_S = 3600.0  # how long is waited while the index does not grow
PAUSE_S = 0.5
LEAST_ROWS = 1024  # as many as a server makes an index of
SAME = 1e-5  # what float32 does to equal scores

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Exact:
    """Questions, and the score of the tenth nearest of the other rows of each."""

    ids: list[str]
    vectors: Vectors
    tenth: npt.NDArray[np.float32]
    rows: int


def tune(
    store: MilvusStore, *, questions: int, on_wait: Callable[[int], None] | None = None
) -> Curve | None:
    """Measure the curve of a collection and keep it in its properties; None of an exact one.

    Args:
        store: the collection, which stays as it is.
        questions: how many rows are asked for.
        on_wait: is called now and then with how many rows the index still lacks.

    Raises:
        StoreError: the server failed, or its index has not grown for an hour.
    """
    effort = store.effort
    if not effort.parameter:
        return None
    wait_for_index(store, on_wait)
    exact = _exact(store, questions)
    points: list[Point] = []
    for value in effort.ladder():
        store.effort = effort.with_value(value)
        try:
            point = _measured(store, exact, value)
        finally:
            store.effort = effort
        points.append(point)
        if point.recall >= 1:
            break
    curve = Curve(
        index_type=store.design.index_type,
        parameter=effort.parameter,
        rows=exact.rows,
        questions=len(exact.ids),
        points=tuple(points),
    )
    # Of few rows the server makes no index, and of one tenant's the others may have more.
    known = store.curve if store.tenant is not None else None
    if exact.rows >= LEAST_ROWS and (known is None or exact.rows >= known.rows):
        _keep(store, curve.to_properties())
    store.curve = curve
    store.effort = effort_of(store.design, curve, store.level)
    return curve


def keep_level(store: MilvusStore, recall: float) -> None:
    """Let searches of the collection have that recall from now on, where they say no other."""
    _keep(store, {LEVEL: str(recall)})
    store.level = recall
    store.effort = effort_of(store.design, store.curve, recall)


def wait_for_index(store: MilvusStore, on_wait: Callable[[int], None] | None = None) -> None:
    """Let the server seal what is young, and wait until the index has all rows."""
    store.raw.ask("flush", store.collection)
    if store.design.exact:  # Milvus makes nothing of it
        return
    before, deadline = float("inf"), 0.0
    while (lacking := store.raw.rows_without_index(store.collection)) > 0:
        if lacking < before:
            deadline = time.monotonic() + STALLED_S
        before = lacking
        if time.monotonic() > deadline:
            raise StoreError(
                f"{store.database} made no progress with the {store.design.index_type} index of "
                f"{store.collection!r} within {STALLED_S:.0f} s; {lacking} rows are searched "
                "without it. See the server's log."
            )
        if on_wait:
            on_wait(lacking)
        time.sleep(PAUSE_S)


def redesign(store: MilvusStore, design: CollectionDesign) -> None:
    """Make the index of a collection again, as another profile; meanwhile it cannot be searched.

    Raises:
        DesignUnavailable: the server has no such index; the collection is as it was.
    """
    database, collection, before = store.raw, store.collection, store.design
    wanted = replace(
        before,
        profile=design.profile,
        index_type=design.index_type,
        index_params=design.index_params,
    )
    database.ask("release_collection", collection)
    database.ask("drop_index", collection, VECTOR_FIELD)
    try:
        store.design = making.create_index(database, collection, store.model, wanted)
    except DesignUnavailable:
        making.create_index(database, collection, store.model, before)
        raise
    finally:
        database.load(collection, store.design)
    _keep(store, {DESIGN: "", **store.design.to_properties(), **Curve.forgotten()})
    store.curve = None
    store.effort = effort_of(store.design, None, store.level)


def _keep(store: MilvusStore, properties: dict[str, str]) -> None:
    store.raw.ask("alter_collection_properties", store.collection, properties)


def _sample(store: MilvusStore, rows: int) -> tuple[list[str], Vectors]:
    """So many rows by chance: their ids, and (n, dim) float32 unit vectors."""
    parts = max(1, store.count() // (2 * rows))  # so that any range has enough
    found = store.raw.query(
        store.collection,
        filter=filters.id_range(0, parts),
        output_fields=["id", VECTOR_FIELD],
        limit=rows,
    )
    vectors = np.array([row[VECTOR_FIELD] for row in found], np.float32)
    return [row["id"] for row in found], vectors.reshape(len(found), store.model.dim)


def _exact(store: MilvusStore, questions: int) -> Exact:
    ids, vectors = _sample(store, questions)
    best = np.full((len(ids), MEASURED_HITS), -2, np.float32)
    number = {key: at for at, key in enumerate(ids)}
    rows = 0
    for paths, page in store.vectors():
        rows += len(paths)
        scores = vectors @ page.T  # (questions, rows of the page)
        for at, path in enumerate(paths):
            if (question := number.get(row_id(path))) is not None:
                scores[question, at] = -2
        best = np.sort(np.concatenate([best, scores], axis=1), axis=1)[:, -MEASURED_HITS:]
    return Exact(ids, vectors, best[:, 0], rows)


def _measured(store: MilvusStore, exact: Exact, value: int) -> Point:
    times, found = [], []
    for vector in exact.vectors:
        started = time.perf_counter()
        (hits,) = store.neighbours(vector[np.newaxis], limit=MEASURED_HITS + 1)
        times.append(1000 * (time.perf_counter() - started))
        found.append([key for key, _ in hits])
    vectors = store.vectors_of(sorted({key for keys in found for key in keys}))
    wanted = min(MEASURED_HITS, max(exact.rows - 1, 1))
    recalls = [
        min(wanted, sum(
            float(vectors[key] @ vector) >= tenth - SAME
            for key in keys if key != own and key in vectors
        )) / wanted
        for keys, own, vector, tenth in zip(
            found, exact.ids, exact.vectors, exact.tenth, strict=True
        )
    ]  # fmt: skip
    return Point(value, round(float(np.mean(recalls)), 4), round(float(np.median(times)), 3))
