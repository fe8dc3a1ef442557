"""A question and its hits as one HTML page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from lookalike.cli.page import page, thumbnail
from lookalike.cli.show import readable_bytes, readable_fields
from lookalike.records import Hit

_STYLE = """\
header { display: flex; gap: 1.25rem; align-items: center; margin-bottom: 1.5rem; }
header img { width: 11rem; height: 11rem; border-radius: .5rem; outline: 3px solid var(--full); }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li { background: var(--card); border-radius: .5rem; overflow: hidden; }
li div.text { padding: .5rem .75rem .75rem; }
.score { display: flex; gap: .5rem; align-items: center; font-variant-numeric: tabular-nums; }
meter { flex: 1; height: .5rem; border: 0; border-radius: .25rem; background: var(--bar); }
meter::-webkit-meter-bar { background: var(--bar); border: 0; border-radius: .25rem;
  height: .5rem; }
meter::-webkit-meter-optimum-value { background: var(--full); border-radius: .25rem; }
meter::-moz-meter-bar { background: var(--full); border-radius: .25rem; }
.path { font-size: .85rem; overflow-wrap: anywhere; }
.facts { font-size: .8rem; color: var(--soft); }
"""

_BODY = """\
<header>{query}<div><h1>{name}</h1><p>{count} most similar pictures, best first</p></div></header>
<ol>
{hits}
</ol>"""

_HIT = """<li>{picture}<div class="text">
<div class="score"><span>{score:.3f}</span><meter min="0" max="1" value="{bar:.3f}">\
{score:.3f}</meter></div>
<div class="path"><a href="{link}" title="{path}">{name}</a></div>
<div class="facts">{width}×{height}, {size}</div>{metadata}</div></li>"""


def contact_sheet(question: Path, hits: Sequence[Hit], *, metric: str = "COSINE") -> str:
    """The page as text; thumbnails are inside it, links lead to the files.

    Args:
        question: the picture that was asked with.
        hits: best first.
        metric: that of the index, for the bars; they show the cosine, whatever the score is.
    """
    body = _BODY.format(
        name=html.escape(question.name),
        query=thumbnail(str(question)),
        count=len(hits),
        hits="\n".join(
            _HIT.format(
                picture=thumbnail(hit.path),
                score=hit.score,
                bar=max(0.0, _cosine(hit.score, metric)),
                link=html.escape(Path(hit.path).as_uri()),
                path=html.escape(hit.path),
                name=html.escape("/".join(hit.path.split("/")[-2:])),
                width=hit.width,
                height=hit.height,
                size=readable_bytes(hit.size_bytes),
                metadata=_metadata(hit),
            )
            for hit in hits
        ),
    )
    return page(question.name, style=_STYLE, body=body)


def _metadata(hit: Hit) -> str:
    line = html.escape(readable_fields(hit.metadata))
    return f'\n<div class="path facts">{line}</div>' if line else ""


def _cosine(score: float, metric: str) -> float:
    # Of unit vectors: |a - b|² = 2 - 2 a·b
    return 1 - score / 2 if metric == "L2" else score
