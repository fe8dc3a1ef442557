"""What the HTML pages share: their look, and pictures that are inside them."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

from lookalike.decode import decode
from lookalike.errors import PictureError
from lookalike.settings import Settings
from lookalike.sources.reader import Reader

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;\
 style-src 'unsafe-inline'">
<title>{title} – lookalike</title>
<style>
:root {{ color-scheme: light dark; --back: #f2f4f6; --ink: #1d2328; --soft: #5d6871;
  --card: #fff; --bar: #d9dfe5; --full: #2563b0; --right: #1a7f37; --wrong: #c4302f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --back: #14181c; --ink: #e8ecf0;
  --soft: #98a4af; --card: #1e242a; --bar: #323b44; --full: #6ea8ea; --right: #3fb765;
  --wrong: #f2726b; }} }}
body {{ margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--back);
  color: var(--ink); font: 15px/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }}
p {{ margin: 0; color: var(--soft); }}
a {{ color: inherit; }}
ol {{ list-style: none; margin: 0; padding: 0; }}
img, .none {{ display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #fff; }}
.none {{ display: grid; place-items: center; color: #66717b; }}
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


def thumbnail(path: str, *, side: int = 320) -> str:
    """An `img` with the picture inside it, at most `side` pixels wide and high.

    Where the picture cannot be used any more, its place holds the reason.
    """
    try:
        settings = Settings.from_environment()
        with Reader.of(settings) as reader:
            data, _ = reader.read(path)
        picture = decode(data, path=path, least=(side, side), max_pixels=settings.max_pixels)
    except PictureError as error:
        return f'<div class="none">{html.escape(error.reason)}</div>'
    picture.image.thumbnail((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.image.save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    name = html.escape(path.rsplit("/", 1)[-1])
    return f'<img alt="{name}" src="data:image/jpeg;base64,{encoded}">'
