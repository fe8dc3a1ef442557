"""Which hits stand out from what the collection has for this question anyway.

A sample of the rows tells the background: how rows score that have nothing to do with the question.
Its median and quartiles do, since what is looked for moves them little. Then

- the best hit must be meaningful: among all rows fewer than 0.1 like it are to be expected by
  chance (A. Desolneux, L. Moisan, J.-M. Morel, From Gestalt Theory to Image Analysis, 2008), with
  chance as a normal distribution. Else nothing stands out;
- with it come those that are at least half as far above the background as it is, and 2.5 standard
  deviations. Two bars, as J. Canny has for edges (1986): the higher one finds, the lower one
  completes.

Copies of the question (cosine of 0.9 or more) always stand out, and say nothing about the others.
The figures are those that did best on labelled pictures: ``bench/cutoff.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from lookalike.query.diverse import SAME_PICTURE
from lookalike.records import Vector
from lookalike.store.nearest import Background

FEWEST_ROWS = 20  # with fewer there is no background to stand out from
BEST_HITS = 64  # as many copies may come before the best hit that is none

EXPECTED_BY_CHANCE = 0.1
DEVIATIONS = 2.5
SHARE_OF_BEST = 0.5
QUARTILES_APART = 2 * NormalDist().inv_cdf(0.75)  # in standard deviations


def least_cosine(vector: Vector, best: Sequence[float], background: Background) -> float:
    """The cosine from which on hits stand out; with fewer than 20 rows -1: all of them.

    Args:
        vector: the question, (dim,) float32, unit length.
        best: cosines of its best hits, up to 64.
        background: a sample of the rows.
    """
    if background.rows < FEWEST_ROWS or len(background.vectors) < FEWEST_ROWS // 2:
        return -1.0
    low, median, high = np.quantile(background.vectors @ vector, [0.25, 0.5, 0.75])
    deviation = (high - low) / QUARTILES_APART
    top = max((score for score in best if score < SAME_PICTURE), default=median)
    rarest = NormalDist().inv_cdf(1 - EXPECTED_BY_CHANCE / background.rows)
    if top < median + rarest * deviation:
        return SAME_PICTURE
    above = max(DEVIATIONS * deviation, SHARE_OF_BEST * (top - median))
    return float(min(median + above, SAME_PICTURE))
