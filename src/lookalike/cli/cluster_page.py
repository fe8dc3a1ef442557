"""Groups of pictures as one HTML page: a map of their centres, and a row of pictures for each."""

from __future__ import annotations

from lookalike.cli.links import linked
from lookalike.cli.page import page
from lookalike.cli.thumbnails import Thumbnails
from lookalike.insight.groups import Cluster, Clustering

SIDE = 160
PER_GROUP = 12
# With so many groups the page has 10 MB.
MOST_GROUPS = 100

_STYLE = """\
h2 { font-size: .95rem; margin: 0 0 .5rem; }
h2 small { font-weight: 400; color: var(--soft); }
.map { position: relative; margin: 1.25rem 0 2rem; aspect-ratio: 5 / 2;
  border: 1px solid var(--bar); border-radius: .5rem; }
.map div { position: absolute; inset: 3.5rem; }
.map a { position: absolute; transform: translate(-50%, -50%); border-radius: 50%;
  overflow: hidden; outline: 2px solid var(--bar); }
.map a:hover, .map a:focus-visible { z-index: 1; outline-color: var(--full); }
.map img, .map .none { width: 100%; height: 100%; object-fit: cover; }
section { margin-top: 1rem; padding: .9rem 1rem 1rem; background: var(--card);
  border-radius: .5rem; scroll-margin-top: 1rem; }
section:target { outline: 3px solid var(--full); }
ol { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); }
li { border-radius: .35rem; overflow: hidden; }
li img { object-fit: cover; }
.rest { margin-top: 1.25rem; }
@media (max-width: 30rem) {
  body { padding: 1rem; }
  .map { aspect-ratio: 1; }
  .map div { inset: 2.5rem; }
  ol { grid-template-columns: repeat(3, 1fr); }
}
"""

_BODY = """\
<h1>{groups} groups that look alike</h1>
<p>{pictures} pictures; {alone} are in no group. The most central ones of each stand first.</p>
{map}
{sections}
{rest}"""

_ON_MAP = (
    '<a href="#group{number}" title="group {number}: {size} pictures" style="left: {x:.1f}%; '
    'top: {y:.1f}%; width: {width:.2f}rem; height: {width:.2f}rem">{picture}</a>'
)

_SECTION = """<section id="group{number}">
<h2>{number} <small>{size} pictures, cohesion {cohesion:.2f}</small></h2>
<ol>
{pictures}
</ol></section>"""


def cluster_page(found: Clustering) -> str:
    """The page as text; thumbnails are inside it, links lead to the files."""
    shown = found.clusters[:MOST_GROUPS]
    grouped = sum(len(group.paths) for group in found.clusters)
    with Thumbnails(SIDE) as thumbnails:
        sections = [_section(number, group, thumbnails) for number, group in enumerate(shown, 1)]
        on_map = _map(shown, thumbnails)
    hidden = len(found.clusters) - len(shown)
    body = _BODY.format(
        groups=len(found.clusters),
        pictures=grouped + len(found.alone),
        alone=len(found.alone),
        map=on_map,
        sections="\n".join(sections),
        rest=f'<p class="rest">{hidden} smaller groups are not shown.</p>' if hidden else "",
    )
    return page("Groups", style=_STYLE, body=body)


def _map(groups: tuple[Cluster, ...], thumbnails: Thumbnails) -> str:
    """The most central picture of each group at its place, its area as the group's size."""
    if len(groups) < 2:  # noqa: PLR2004
        return ""
    largest = len(groups[0].paths)
    pictures = thumbnails.imgs([group.paths[0] for group in groups])
    # The large ones first, so that small ones lie on top.
    return '<nav class="map" aria-label="Map of the groups"><div>{}</div></nav>'.format(
        "\n".join(
            _ON_MAP.format(
                number=number,
                size=len(group.paths),
                x=100 * group.position[0],
                y=100 * (1 - group.position[1]),
                width=2 + 4 * (len(group.paths) / largest) ** 0.5,
                picture=picture,
            )
            for number, (group, picture) in enumerate(zip(groups, pictures, strict=True), 1)
        )
    )


def _section(number: int, group: Cluster, thumbnails: Thumbnails) -> str:
    paths = group.paths[:PER_GROUP]
    pictures = zip(paths, thumbnails.imgs(paths), strict=True)
    return _SECTION.format(
        number=number,
        size=len(group.paths),
        cohesion=group.cohesion,
        pictures="\n".join(f"<li>{linked(path, picture)}</li>" for path, picture in pictures),
    )
