"""What the HTML pages share: their look."""

from __future__ import annotations

import html

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;\
 style-src 'unsafe-inline'">
<title>{title} – lookalike</title>
<style>
:root {{ color-scheme: light dark; --back: #f2f4f6; --ink: #1d2328; --soft: #5d6871;
  --card: #fff; --bar: #d9dfe5; --full: #2563b0; --right: #1a7f37; --wrong: #c4302f;
  --mat: #fff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14181c; --ink: #e8ecf0;
  --soft: #98a4af; --card: #1e242a; --bar: #323b44; --full: #6ea8ea; --right: #3fb765;
  --wrong: #f2726b; --mat: #0c0f12; }} }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--back);
  color: var(--ink); font: 15px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
p {{ margin: 0; color: var(--soft); }}
a {{ color: inherit; }}
ol {{ list-style: none; margin: 0; padding: 0; }}
img, .none {{ display: block; width: 100%; height: auto; aspect-ratio: 1; object-fit: contain;
  background: var(--mat); }}
.none {{ display: grid; place-items: center; box-sizing: border-box; padding: .5rem;
  color: var(--soft); font-size: .8rem; text-align: center; overflow: hidden; }}
{style}</style>
{body}
</html>
"""


def page(title: str, *, style: str, body: str) -> str:
    """A whole page that loads nothing from elsewhere.

    Args:
        title: plain text.
        style: CSS for what is particular to this page.
        body: HTML.
    """
    return _PAGE.format(title=html.escape(title), style=style, body=body)
