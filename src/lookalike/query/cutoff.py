"""Which hits stand out from what the collection has for this question anyway.

A sample of the rows tells the background: how rows score that have nothing to do with the question.
It is taken for normally distributed, and seen from below, between the quantiles of 10 and 40 %,
since what is looked for lies above. Then

- the best hit must be meaningful: among all rows fewer than 0.1 like it are to be expected by
  chance (A. Desolneux, L. Moisan, J.-M. Morel, From Gestalt Theory to Image Analysis, 2008), with
  that distribution. Else nothing stands out;
- with it come those that are at least half as far above the background's mean as it is, and at
  least three standard deviations. Two bars, as J. Canny has for edges (1986): the higher one
  finds, the lower one completes.

Copies of the question (cosine of 0.9 or more) always stand out, and say nothing about the others.
What makes up a large part of the rows is background, and does not stand out.
The figures are those that did best on labelled pictures: ``bench/cutoff.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from lookalike.query.diverse import SAME_PICTURE
from lookalike.records import Vector
from lookalike.store.sampling import Background

FEWEST_ROWS = 20  # with fewer there is no background to stand out from
BEST_HITS = 64  # as many copies may come before the best hit that is none

EXPECTED_BY_CHANCE = 0.1
DEVIATIONS = 3.0
SHARE_OF_BEST = 0.5
QUANTILES = (0.1, 0.4)


def least_cosine(vector: Vector, best: Sequence[float], background: Background) -> float:
    """The cosine from which on hits stand out; with fewer than 20 rows -1: all of them.

    Args:
        vector: the question, (dim,) float32, unit length.
        best: cosines of its best hits, up to 64.
        background: a sample of the rows.
    """
    if background.rows < FEWEST_ROWS or len(background.vectors) < FEWEST_ROWS // 2:
        return -1.0
    low, high = np.quantile(background.vectors @ vector, QUANTILES)
    low_at, high_at = map(NormalDist().inv_cdf, QUANTILES)
    deviation = (high - low) / (high_at - low_at)
    mean = low - low_at * deviation
    top = max((score for score in best if score < SAME_PICTURE), default=mean)
    rarest = NormalDist().inv_cdf(1 - EXPECTED_BY_CHANCE / background.rows)
    if top < mean + rarest * deviation:
        return SAME_PICTURE
    above = max(DEVIATIONS * deviation, SHARE_OF_BEST * (top - mean))
    return float(min(mean + above, SAME_PICTURE))
