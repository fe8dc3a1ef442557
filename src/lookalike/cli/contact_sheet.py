"""A question and its hits as one HTML page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence

from lookalike.cli.links import linked
from lookalike.cli.page import page
from lookalike.cli.show import readable_bytes, readable_fields
from lookalike.cli.thumbnails import Shown, Thumbnails
from lookalike.records import Hit

SIDE = 320
# Pages of thousands of hits shall not be hundreds of megabytes.
SMALL_SIDE, MANY = 160, 200

_STYLE = """\
header { display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: center;
  margin-bottom: 1.5rem; }
header img, header .none { width: 11rem; border-radius: .5rem; outline: 3px solid var(--full); }
header .title { flex: 1 1 14rem; }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li { background: var(--card); border-radius: .5rem; overflow: hidden; }
li div.text { padding: .5rem .75rem .75rem; }
.score { display: flex; gap: .5rem; align-items: center; font-variant-numeric: tabular-nums; }
.rank { color: var(--soft); font-size: .8rem; }
meter { flex: 1; min-width: 0; height: .5rem; border: 0; border-radius: .25rem;
  background: var(--bar); }
meter::-webkit-meter-bar { background: var(--bar); border: 0; border-radius: .25rem;
  height: .5rem; }
meter::-webkit-meter-optimum-value { background: var(--full); border-radius: .25rem; }
meter::-moz-meter-bar { background: var(--full); border-radius: .25rem; }
.path { font-size: .85rem; overflow-wrap: anywhere; }
.facts { font-size: .8rem; color: var(--soft); }
@media (max-width: 30rem) {
  body { padding: 1rem; }
  header img, header .none { width: 7rem; }
  ol { grid-template-columns: repeat(2, 1fr); gap: .75rem; }
}
"""

_BODY = """\
<header>{pictures}<div class="title"><h1>{title}</h1><p>{count}</p></div></header>
<ol>
{hits}
</ol>"""

_HIT = """<li>{picture}<div class="text">
<div class="score"><span class="rank">{rank}</span><span>{score:.3f}</span>\
<meter min="0" max="1" value="{bar:.3f}">{score:.3f}</meter></div>
<div class="path">{name}</div>
<div class="facts">{width}×{height}, {size}</div>{metadata}</div></li>"""


def contact_sheet(
    hits: Sequence[Hit], *, title: str, pictures: Sequence[Shown], metric: str = "COSINE"
) -> str:
    """The page as text; thumbnails are inside it, links lead to the files.

    Args:
        hits: best first.
        title: what was asked, in words.
        pictures: those that it was asked with.
        metric: that of the index, for the bars; they show the cosine, whatever the score is.
    """
    with Thumbnails(SIDE if len(hits) <= MANY else SMALL_SIDE) as thumbnails:
        shown = [
            _HIT.format(
                picture=linked(hit.path, picture),
                rank=rank,
                score=hit.score,
                bar=max(0.0, _cosine(hit.score, metric)),
                name=linked(hit.path, html.escape("/".join(hit.path.split("/")[-2:]))),
                width=hit.width,
                height=hit.height,
                size=readable_bytes(hit.size_bytes),
                metadata=_metadata(hit),
            )
            for rank, (hit, picture) in enumerate(
                zip(hits, thumbnails.imgs([hit.path for hit in hits]), strict=True), 1
            )
        ]
        body = _BODY.format(
            title=html.escape(title),
            pictures="".join(thumbnails.imgs(pictures)),
            count=_count(len(hits)),
            hits="\n".join(shown),
        )
    return page(title, style=_STYLE, body=body)


def _count(hits: int) -> str:
    if hits == 0:
        return "Nothing was found."
    return "The most similar picture" if hits == 1 else f"{hits} most similar pictures, best first"


def _metadata(hit: Hit) -> str:
    line = html.escape(readable_fields(hit.metadata))
    return f'\n<div class="path facts">{line}</div>' if line else ""


def _cosine(score: float, metric: str) -> float:
    # Of unit vectors: |a - b|² = 2 - 2 a·b
    return 1 - score / 2 if metric == "L2" else score
