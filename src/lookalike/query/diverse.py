"""Nearly identical hits as one.

Hits are taken best first; one joins the first group whose leader has the same bytes, or a cosine to
it of 0.9 or more, and else leads a group of its own. Grouping, not maximal marginal relevance: it
hides copies and nothing else, keeps the order and the scores, has no balance to set, and can say
how many it hides. That a leader is what others are compared with keeps chains of small steps
from becoming one group.

With the packaged model, of 120 photos 94 % or more have a cosine of 0.9 to themselves at half the
size, saved at quality 50, cut by 5 % or brightened; no two different ones come above 0.55.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lookalike.records import Hit

SAME_PICTURE = 0.9


def collapse(hits: Sequence[Hit], vectors: npt.NDArray[np.float32]) -> list[Hit]:
    """The leaders of the groups, in order; `similar_count` is how many of the others are like it.

    Args:
        hits: best first.
        vectors: theirs, (n, dim) float32, unit rows.
    """
    leaders: list[int] = []
    by_content: dict[str, int] = {}
    sizes: list[int] = []
    led = np.empty_like(vectors)
    for position, hit in enumerate(hits):
        group = by_content.get(hit.content)
        if group is None and leaders:
            near = led[: len(leaders)] @ vectors[position] >= SAME_PICTURE
            group = int(near.argmax()) if near.any() else None
        if group is None:
            group = len(leaders)
            led[group] = vectors[position]
            leaders.append(position)
            sizes.append(0)
        else:
            sizes[group] += 1
        by_content.setdefault(hit.content, group)
    return [
        replace(hits[leader], similar_count=others)
        for leader, others in zip(leaders, sizes, strict=True)
    ]
