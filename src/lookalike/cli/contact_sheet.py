"""A question and its hits as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lookalike.cli.show import readable_bytes, readable_fields
from lookalike.decode import decode, read_file
from lookalike.errors import PictureError
from lookalike.records import Hit
from lookalike.settings import Settings

THUMBNAIL_SIDE = 320

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;\
 style-src 'unsafe-inline'">
<title>{name} – lookalike</title>
<style>
:root {{ color-scheme: light dark; --back: #f2f4f6; --ink: #1d2328; --soft: #5d6871;
  --card: #fff; --bar: #d9dfe5; --full: #2563b0; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14181c; --ink: #e8ecf0;
  --soft: #98a4af; --card: #1e242a; --bar: #323b44; --full: #6ea8ea; }} }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--back);
  color: var(--ink); font: 15px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
p {{ margin: 0; color: var(--soft); }}
header {{ display: flex; gap: 1.25rem; align-items: center; margin-bottom: 1.5rem; }}
header img {{ width: 11rem; height: 11rem; object-fit: contain; background: #fff;
  border-radius: .5rem; outline: 3px solid var(--full); }}
ol {{ list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }}
li {{ background: var(--card); border-radius: .5rem; overflow: hidden; }}
li img, li .none {{ display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #fff; }}
li .none {{ display: grid; place-items: center; color: #66717b; }}
li div.text {{ padding: .5rem .75rem .75rem; }}
.score {{ display: flex; gap: .5rem; align-items: center; font-variant-numeric: tabular-nums; }}
meter {{ flex: 1; height: .5rem; border: 0; border-radius: .25rem; background: var(--bar); }}
meter::-webkit-meter-bar {{ background: var(--bar); border: 0; border-radius: .25rem;
  height: .5rem; }}
meter::-webkit-meter-optimum-value {{ background: var(--full); border-radius: .25rem; }}
meter::-moz-meter-bar {{ background: var(--full); border-radius: .25rem; }}
.path {{ font-size: .85rem; overflow-wrap: anywhere; }}
.facts {{ font-size: .8rem; color: var(--soft); }}
a {{ color: inherit; }}
</style>
<header>{query}<div><h1>{name}</h1><p>{count} most similar pictures, best first</p></div></header>
<ol>
{hits}
</ol>
</html>
"""

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
    return _PAGE.format(
        name=html.escape(question.name),
        query=_thumbnail(str(question)),
        count=len(hits),
        hits="\n".join(
            _HIT.format(
                picture=_thumbnail(hit.path),
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


def _metadata(hit: Hit) -> str:
    line = html.escape(readable_fields(hit.metadata))
    return f'\n<div class="path facts">{line}</div>' if line else ""


def _cosine(score: float, metric: str) -> float:
    # Of unit vectors: |a - b|² = 2 - 2 a·b
    return 1 - score / 2 if metric == "L2" else score


def _thumbnail(path: str) -> str:
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    try:
        settings = Settings.from_environment()
        data, _ = read_file(path, max_bytes=settings.max_bytes)
        picture = decode(data, path=path, least=side, max_pixels=settings.max_pixels)
    except PictureError as error:
        return f'<div class="none">{html.escape(error.reason)}</div>'
    picture.image.thumbnail(side, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.image.save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    name = html.escape(path.rsplit("/", 1)[-1])
    return f'<img alt="{name}" src="data:image/jpeg;base64,{encoded}">'
