"""How often the nearest pictures have the same label: each picture is asked against all others.

For one query, rel(i) is 1 where the i-th nearest of the other pictures has the query's label, else
0, and R is the number of others that have it:

- R@1 = rel(1), Recall@1 as metric learning has it (Oh Song et al. 2016, arXiv:1511.06452, §4).
- P@10 = Σ_{i ≤ 10} rel(i) / 10 (Manning, Raghavan, Schütze: Introduction to Information Retrieval,
  §8.4), so at most R / 10.
- AP = 1/R · Σ_i rel(i) · Σ_{j ≤ i} rel(j) / i over the whole ranking (ibid.); its mean is mAP.
- nDCG@10 = DCG@10 / ideal DCG@10 with DCG@10 = Σ_{i ≤ 10} rel(i) / log2(i + 1), where the ideal has
  min(10, R) right ones in front (Järvelin, Kekäläinen 2002, doi:10.1145/582415.582418).

Similarity is the cosine. Equal ones keep the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lookalike.errors import LabelsUnusable

DEPTH = 10
RESAMPLES = 1000
SEED = 0
CONFIDENCE = 0.95

# 32 MiB of sort keys at a time: 41 queries against 100,000 pictures.
_CHUNK_SCORES = 1 << 22
# Finer than float32 sums differ with the order of their terms, so that copies of a picture tie.
_STEPS_PER_UNIT = 1e6
_COLUMN_BITS = 32


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, and its 95 % percentile bootstrap interval.

    1000 times, as many queries are drawn with replacement and their mean is taken (Efron,
    Tibshirani: An Introduction to the Bootstrap, §13.3).
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How well the neighbours of labelled pictures agree with their labels.

    `left_out` counts the pictures that are the only one of their label: they are among the
    neighbours, but nothing would be right for them as queries. The arrays have a row for each of
    the n pictures: `average_precision` is (n,) float64, NaN where left out; `nearest` is
    (n, min(10, n - 1)) intp, the rows of the nearest others, best first, and `scores` their
    cosines, float32.
    """

    r_at_1: Estimate
    p_at_10: Estimate
    map: Estimate
    ndcg_at_10: Estimate
    queries: int
    left_out: int
    average_precision: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float32]


def check_labels(labels: Sequence[str]) -> None:
    """Raise `LabelsUnusable` where every answer would be right, or none could be."""
    classes = set(labels)
    if not labels:
        raise LabelsUnusable("There is no picture with a label, so nothing can be measured.")
    if len(classes) == 1:
        raise LabelsUnusable(
            f"The only label is {labels[0]!r}, so every answer would be right. Give each label a "
            "folder of its own, or name them with --labels FILE.csv."
        )
    if len(classes) == len(labels):
        raise LabelsUnusable(
            f"Each of the {len(labels)} pictures has a label of its own, so no answer could be "
            "right. Give the same label to those that belong together."
        )


def measure(vectors: npt.NDArray[np.float32], labels: Sequence[str]) -> Quality:
    """The quality of (n, dim) float32 unit rows with n `labels`.

    Raises:
        LabelsUnusable: all labels are the same, or all are different.
    """
    check_labels(labels)
    _, members, sizes = np.unique(np.array(labels), return_inverse=True, return_counts=True)
    relevant = sizes[members] - 1
    figures = np.empty((len(labels), 4))
    nearest = np.empty((len(labels), min(DEPTH, len(labels) - 1)), np.intp)
    for start, order in _rankings(vectors):
        rows = slice(start, start + len(order))
        figures[rows] = _figures(members[order] == members[rows, np.newaxis], relevant[rows])
        nearest[rows] = order[:, :DEPTH]
    scores = np.stack(
        [vectors[near] @ vector for near, vector in zip(nearest, vectors, strict=True)]
    )
    asked = relevant > 0
    r_at_1, p_at_10, mean_precision, ndcg_at_10 = _estimates(figures[asked])
    return Quality(
        r_at_1=r_at_1,
        p_at_10=p_at_10,
        map=mean_precision,
        ndcg_at_10=ndcg_at_10,
        queries=int(asked.sum()),
        left_out=int((~asked).sum()),
        average_precision=np.where(asked, figures[:, 2], np.nan),
        nearest=nearest,
        scores=scores,
    )


def _rankings(
    vectors: npt.NDArray[np.float32],
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """The first row of each chunk and, for its rows, (rows, n - 1): the others, nearest first.

    Score and column share one integer, which sorts in half the time of a stable argsort.
    """
    count = len(vectors)
    step = max(1, _CHUNK_SCORES // count)
    for start in range(0, count, step):
        scores = vectors[start : start + step] @ vectors.T
        own = np.arange(len(scores))
        scores[own, start + own] = -2  # below every cosine, so that it comes last
        keys = np.rint(scores * -_STEPS_PER_UNIT).astype(np.int64) << _COLUMN_BITS
        keys |= np.arange(count)
        keys.sort(axis=1)
        yield start, keys[:, :-1] & ((1 << _COLUMN_BITS) - 1)


def _figures(
    right: npt.NDArray[np.bool_], relevant: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """R@1, P@10, AP and nDCG@10 of some queries: (rows, 4), arbitrary where nothing is relevant.

    Args:
        right: (rows, n - 1), whether each neighbour is right, nearest first.
        relevant: (rows,), how many are.
    """
    relevant = np.maximum(relevant, 1)
    first = right[:, :DEPTH]
    gains = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.cumsum(gains)[np.minimum(relevant, DEPTH) - 1]
    rows, places = np.nonzero(right)  # row by row, nearest first
    before = np.searchsorted(rows, rows)  # right ones of the rows above
    precision = (np.arange(len(rows)) - before + 1) / (places + 1)
    return np.stack(
        [
            right[:, 0],
            first.sum(axis=1) / DEPTH,
            np.bincount(rows, weights=precision, minlength=len(right)) / relevant,
            first @ gains[: first.shape[1]] / ideal,
        ],
        axis=1,
    )


def _estimates(figures: npt.NDArray[np.float64]) -> list[Estimate]:
    """One for each column of (queries, figures)."""
    random = np.random.default_rng(SEED)
    count = len(figures)
    means = [figures[random.integers(count, size=count)].mean(axis=0) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return [Estimate(*map(float, row)) for row in zip(figures.mean(axis=0), low, high, strict=True)]
