"""Groups of pictures that look alike; nothing is known of them but their vectors.

- k-means, where the number of groups is given: of unit vectors, so that a picture belongs to the
  centre with the largest cosine.
- HDBSCAN (Campello, Moulavi, Sander 2013, doi:10.1007/978-3-642-37456-2_14) where it is not: groups
  are where pictures lie densest. The vectors are projected onto their first principal components
  before, because in hundreds of dimensions nothing is dense.

Either takes more than linear time, so of a large index groups are found among `SAMPLE` pictures.
Ids are hashes, so those of the smallest ids are a random sample, and always the same one. Every
other picture is put into the group of the nearest centre, with HDBSCAN only where it is as near
as some picture of that group. Memory holds the sample, and the paths of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lookalike.errors import ExtraMissing, InvalidSetting
from lookalike.records import row_id

SAMPLE = 10_000
COMPONENTS = 50
MOST_GROUPS = 1000
NONE = -1

Matrix = npt.NDArray[np.float32]


class Store(Protocol):
    """What is needed of a store."""

    def vectors(self) -> Iterator[tuple[list[str], Matrix]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pictures that look alike.

    `paths` are the most central ones first. `cohesion` is their mean cosine with the centre, 1
    where all are the same. `position` is the centre's place on a map, from (0, 0) to (1, 1), where
    like groups are neighbours as far as two dimensions allow.
    """

    paths: tuple[str, ...]
    cohesion: float
    position: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Clustering:
    """The groups of an index, the largest first.

    `alone` are the paths of pictures in no group, sorted. `sampled` is how many pictures the groups
    were found among.
    """

    clusters: tuple[Cluster, ...]
    alone: tuple[str, ...]
    sampled: int


def clusters(store: Store, *, k: int | None, least: int, seed: int) -> Clustering:
    """Find the groups of all pictures in a store; the arguments are those of `Index.clusters`.

    Raises:
        ExtraMissing: scikit-learn is not installed.
        InvalidSetting: there cannot be so many groups, or groups so small.
    """
    if k is not None and not 1 <= k <= MOST_GROUPS:
        raise InvalidSetting("k", k, f"from 1 to {MOST_GROUPS}")
    if least < 2:  # noqa: PLR2004
        raise InvalidSetting("least", least, "a whole number from 2 up")
    ids, known, vectors, total = _sample(store)
    if k is not None and k > len(ids):
        raise InvalidSetting("k", k, f"at most the number of pictures, {len(ids)}")
    labels = _dense(vectors, least) if k is None else _nearest_of(vectors, k, seed)
    count = int(labels.max(initial=NONE)) + 1
    if not count:
        alone = sorted(path for paths, _ in store.vectors() for path in paths)
        return Clustering((), tuple(alone), len(ids))
    centres = np.stack([_unit(vectors[labels == label].mean(axis=0)) for label in range(count)])
    own = dict(zip(ids, labels.tolist(), strict=True)) if k is None else {}
    reach = _reach(vectors, labels, centres) if k is None else np.full(count, -2, np.float32)

    members: list[list[tuple[float, str]]] = [[] for _ in range(count + 1)]  # the last: of none
    whole = iter([(known, vectors)])  # which spares reading all again
    for paths, page in whole if total == len(ids) else store.vectors():
        scores = page @ centres.T  # (rows of the page, groups)
        nearest = scores.argmax(axis=1)
        for row, path in enumerate(paths):
            near = int(nearest[row])
            found = near if scores[row, near] >= reach[near] else NONE
            label = own.get(row_id(path), found)
            members[label].append((float(scores[row, label]), path))
    return Clustering(
        _sorted(members[:count], _positions(centres)),
        tuple(sorted(path for _, path in members[count])),
        len(ids),
    )


def _sample(store: Store) -> tuple[list[str], list[str], Matrix, int]:
    """The smallest ids, sorted, their paths and vectors; and how many pictures there are."""
    ids: npt.NDArray[np.str_] = np.empty(0, "U32")
    known: list[str] = []
    kept: Matrix | None = None
    total = 0
    for paths, vectors in store.vectors():
        ids = np.concatenate([ids, np.array([row_id(path) for path in paths], "U32")])
        order = np.argsort(ids)[:SAMPLE]
        both = [*known, *paths]
        ids, known = ids[order], [both[row] for row in order]
        kept = (vectors if kept is None else np.concatenate([kept, vectors]))[order]
        total += len(paths)
    return ids.tolist(), known, np.empty((0, 1), np.float32) if kept is None else kept, total


def _nearest_of(vectors: Matrix, k: int, seed: int) -> npt.NDArray[np.intp]:
    """Labels from 0 up, by k-means; fewer than `k` where there are fewer different vectors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of which it warns
        found = _sklearn().KMeans(k, n_init=1, random_state=seed).fit_predict(vectors)
    labels: npt.NDArray[np.intp] = np.unique(found, return_inverse=True)[1]
    return labels


def _dense(vectors: Matrix, least: int) -> npt.NDArray[np.intp]:
    """Labels from 0 up, by HDBSCAN, and `NONE`."""
    sklearn = _sklearn()
    if len(vectors) < least:
        return np.full(len(vectors), NONE)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # the largest eigenvalues are the last ones
    projected = centred @ axes[:, -COMPONENTS:]
    labels: npt.NDArray[np.intp] = sklearn.HDBSCAN(min_cluster_size=least, copy=True).fit_predict(
        projected
    )
    return labels


def _sklearn() -> Any:
    try:
        from sklearn import cluster  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ExtraMissing("Finding groups", extra="groups") from error
    return cluster


def _unit(vector: Matrix) -> Matrix:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def _reach(vectors: Matrix, labels: npt.NDArray[np.intp], centres: Matrix) -> Matrix:
    """For each group the cosine of its farthest picture with its centre."""
    return np.array(
        [(vectors[labels == label] @ centre).min() for label, centre in enumerate(centres)],
        np.float32,
    )


def _sorted(
    members: list[list[tuple[float, str]]], positions: npt.NDArray[np.float64]
) -> tuple[Cluster, ...]:
    found = []
    for group, (x, y) in zip(members, positions, strict=True):
        if group:
            group.sort(key=lambda member: (-member[0], member[1]))
            cohesion = sum(score for score, _ in group) / len(group)
            found.append(Cluster(tuple(path for _, path in group), cohesion, (float(x), float(y))))
    return tuple(sorted(found, key=lambda cluster: (-len(cluster.paths), cluster.paths[0])))


def _positions(centres: Matrix) -> npt.NDArray[np.float64]:
    """The centres' first two principal components, each stretched over 0 … 1."""
    centred = centres.astype(np.float64) - centres.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(centres), 2))
    found = (left * sizes)[:, :2]
    # Which way an axis points is chance; the farthest point shall be at its upper end.
    found = found * np.sign(found[np.abs(found).argmax(axis=0), range(found.shape[1])])
    places[:, : found.shape[1]] = found
    low, spread = places.min(axis=0), np.ptp(places, axis=0)
    return np.where(spread > 0, (places - low) / np.where(spread > 0, spread, 1), 0.5)
