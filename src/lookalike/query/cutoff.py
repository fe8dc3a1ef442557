"""Which hits stand out from what the collection has for this question anyway.

After A. Desolneux, L. Moisan and J.-M. Morel, From Gestalt Theory to Image Analysis (2008): a hit
is meaningful if by chance less than one like it were to be expected among all rows. How chance
scores is learnt from a sample of the rows, whose upper scores fall off exponentially (J. Pickands,
Statistical inference using extreme order statistics, 1975, with shape 0): above a score u that a
share p of the sample reaches, a share p·exp(-(s - u) / b) reaches s. Of n rows less than one does
from s = u + b·ln(n·p) on.
"""

from __future__ import annotations

import math

import numpy as np

from lookalike.records import Vector
from lookalike.store.nearest import Background

FEWEST_ROWS = 20  # with fewer there is no background to stand out from

# Between these shares of the best scores of the sample b is measured. Those above may be what is
# looked for, and what lies below says little about the tail.
BODY, TAIL = 0.30, 0.05
EXPECTED = 1.0  # how many hits by chance
SAME_PICTURE = 0.95  # cosine; stands out whatever the rest is like, as where all rows are alike


def least_score(vector: Vector, background: Background) -> float:
    """The cosine from which on hits stand out; -1, so that all do, with fewer than 20 rows."""
    if background.rows < FEWEST_ROWS or len(background.vectors) < FEWEST_ROWS // 2:
        return -1.0
    scores = background.vectors @ vector
    body, tail = np.quantile(scores, [1 - BODY, 1 - TAIL])
    fall = (tail - body) / math.log(BODY / TAIL)
    threshold = body + fall * math.log(background.rows * BODY / EXPECTED)
    return float(min(threshold, SAME_PICTURE))
