"""What `lookalike evaluate` has measured, and the worst queries as pictures, as one HTML page."""

from __future__ import annotations

import html
import posixpath
from collections.abc import Sequence
from pathlib import Path

from lookalike.cli.figures import NAMES, Measured
from lookalike.cli.page import page
from lookalike.cli.thumbnails import thumbnail
from lookalike.insight.evaluation import JudgedHit, JudgedQuery
from lookalike.insight.quality import Estimate

HIT_SIDE = 200

_STYLE = """\
h2 { font-size: 1rem; margin: 2rem 0 .25rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1.25rem 0; background: var(--card);
  border-radius: .5rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .75rem; text-align: right; vertical-align: top; }
th { font-size: .8rem; font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td:first-child { font-weight: 600; }
td small { display: block; font-size: .75rem; color: var(--soft); white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .75rem; margin: .5rem 0;
  font-size: .85rem; color: var(--soft); }
dt { font-weight: 600; }
dd { margin: 0; }
article { display: grid; grid-template-columns: 11rem 1fr; gap: 1rem; margin-top: 1rem;
  padding: 1rem; background: var(--card); border-radius: .5rem; }
img, .none { border-radius: .35rem; }
.query img, .query .none { outline: 3px solid var(--full); }
.query a.picture { display: block; margin-bottom: .6rem; }
.label { font-weight: 600; overflow-wrap: anywhere; }
.facts { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
ol { display: grid; gap: .75rem; grid-template-columns: repeat(5, 1fr); }
li a { display: block; position: relative; }
li img, li .none { outline: 3px solid var(--mark); margin-bottom: .4rem; }
li .mark { position: absolute; top: .3rem; left: .3rem; width: 1.4rem; height: 1.4rem;
  border-radius: 50%; background: var(--mark); color: var(--card); font-size: .85rem;
  font-weight: 700; line-height: 1.4rem; text-align: center; box-shadow: 0 0 0 2px var(--card); }
li.right { --mark: var(--right); }
li.wrong { --mark: var(--wrong); }
@media (max-width: 44rem) {
  body { padding: 1rem; }
  article { grid-template-columns: 1fr; }
  .query { display: grid; grid-template-columns: 8rem 1fr; gap: .75rem; }
  ol { grid-template-columns: repeat(auto-fill, minmax(5rem, 1fr)); }
  thead { display: none; }
  tr { display: grid; padding: .5rem 0; }
  td { display: flex; justify-content: space-between; gap: .5rem; padding: .2rem .75rem; }
  td::before { content: attr(data-name); color: var(--soft); margin-right: auto;
    order: -2; }
  td small { font-size: .85rem; order: -1; }
}
"""

_BODY = """\
<h1>{folder}</h1>
<p>{pictures} pictures with {classes} labels, each asked against all others.{exception}</p>
<table>
<thead><tr>{names}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>A picture is right if it has the label of the query. The ranges are 95 % intervals.</p>
<dl>
<dt>R@1</dt><dd>how often the nearest picture is right</dd>
<dt>P@10</dt><dd>how many of the 10 nearest are right</dd>
<dt>mAP</dt><dd>how far in front all the right ones stand</dd>
<dt>nDCG@10</dt><dd>how far in front the right ones stand among the 10 nearest</dd>
<dt>recall@10</dt><dd>the part of the 10 nearest that the index finds</dd>
</dl>
{sections}"""

_CELL = '<td data-name="{name}">{cell}</td>'

_SECTION = """<section>
<h2>{model}: the {count} worst queries</h2>
<p>Those with the lowest average precision, with the first pictures that were found for them.</p>
{queries}
</section>"""

_QUERY = """<article><div class="query"><a class="picture" href="{link}">{picture}</a><div>
<div class="label">{label}</div>
<div class="facts">average precision {precision:.3f}<br>{right} of {count} right<br>{path}</div>
</div></div>
<ol>
{hits}
</ol></article>"""

_HIT = """<li class="{verdict}"><a href="{link}" title="{path}">{picture}\
<span class="mark" role="img" aria-label="{verdict}">{mark}</span></a>
<div class="label">{label}</div><div class="facts">{score:.3f}</div></li>"""


def evaluation_report(folder: str, measured: Sequence[Measured], *, worst: int) -> str:
    """The page as text; thumbnails are inside it, links lead to the files.

    Args:
        folder: the absolute path of what was evaluated.
        measured: at least one.
        worst: how many queries are shown for each model.
    """
    first = measured[0].evaluation
    body = _BODY.format(
        folder=html.escape(folder),
        pictures=first.pictures,
        classes=first.classes,
        exception=_exception(first.quality.left_out),
        names="".join(f"<th>{name}</th>" for name in NAMES),
        rows="\n".join(_row(model) for model in measured),
        sections="\n".join(_section(model, folder, worst) for model in measured),
    )
    return page(posixpath.basename(folder) or folder, style=_STYLE, body=body)


def _exception(left_out: int) -> str:
    return f" Not asked, for no other has their label: {left_out}." if left_out else ""


def _row(model: Measured) -> str:
    cells = [
        html.escape(model.evaluation.model),
        str(model.evaluation.dim),
        str(model.evaluation.pictures),
        f"{model.images_per_second:.0f}",
        *(_estimate(estimate) for estimate in model.estimates.values()),
        f"{model.evaluation.recall_at_10:.3f}",
    ]
    named = (_CELL.format(name=name, cell=cell) for name, cell in zip(NAMES, cells, strict=True))
    return f"<tr>{''.join(named)}</tr>"


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}<small>{estimate.low:.3f} – {estimate.high:.3f}</small>"


def _section(model: Measured, folder: str, worst: int) -> str:
    queries = model.evaluation.worst(worst)
    return _SECTION.format(
        model=html.escape(model.evaluation.model),
        count=len(queries),
        queries="\n".join(_query(query, folder) for query in queries),
    )


def _query(query: JudgedQuery, folder: str) -> str:
    return _QUERY.format(
        link=_link(query.path),
        picture=thumbnail(query.path),
        label=html.escape(query.label),
        precision=query.average_precision,
        right=sum(hit.right for hit in query.hits),
        count=len(query.hits),
        path=html.escape(query.path.removeprefix(folder.rstrip("/") + "/")),
        hits="\n".join(map(_hit, query.hits)),
    )


def _hit(hit: JudgedHit) -> str:
    return _HIT.format(
        verdict="right" if hit.right else "wrong",
        mark="✓" if hit.right else "✗",
        link=_link(hit.path),
        path=html.escape(hit.path),
        picture=thumbnail(hit.path, side=HIT_SIDE),
        label=html.escape(hit.label),
        score=hit.score,
    )


def _link(path: str) -> str:
    return html.escape(Path(path).as_uri())
