"""``lookalike index --report``: everything that was skipped, and why, as JSON or as a page."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageFile

from lookalike.cli.page import page
from lookalike.decode import FORMATS
from lookalike.errors import InvalidSetting
from lookalike.ingest.ahead import Impatient
from lookalike.records import Skipped
from lookalike.reports import IndexReport
from lookalike.settings import Settings
from lookalike.sources.names import printable
from lookalike.sources.reader import Reader

SUFFIXES = (".json", ".html")
SIDE = 160
SECONDS_PER_THUMBNAIL = 5
ENDINGS_SHOWN = 5

_STYLE = """\
dl { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 1rem 0 2rem; }
dl div { display: flex; flex-direction: column-reverse; }
dt { font-size: .8rem; color: var(--soft); }
dd { margin: 0; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums; }
ol { display: grid; gap: .5rem; }
li { display: grid; grid-template-columns: 5rem 1fr; gap: 1rem; align-items: center;
  background: var(--card); border-radius: .5rem; overflow: hidden; min-height: 5rem; }
img, .none { width: 5rem; height: 5rem; }
.none { background: var(--bar); color: var(--soft); font-size: .75rem; }
.text { padding: .5rem .75rem .5rem 0; overflow-wrap: anywhere; }
.folder { font-size: .8rem; color: var(--soft); }
.others { margin-top: 1.5rem; }
"""

_BODY = """\
<h1>{sources}</h1>
<p>What an indexing run did, and everything that it had to leave out.</p>
<dl>
{counts}
</dl>
<ol>
{items}
</ol>
{others}"""

_OTHERS = """<p class="others">Not looked at, for the names are not those of pictures: {endings}.
<code>--all-files</code> tries them, too.</p>"""

_COUNT = "<div><dt>{name}</dt><dd>{count:,}</dd></div>"

_ITEM = """<li>{picture}<div class="text"><div><b>{name}</b></div><div>{reason}</div>\
<div class="folder">{folder}</div></div></li>"""


def check_report(file: Path) -> None:
    """Raise `InvalidSetting` for a file that cannot be written, before the work is done."""
    if file.suffix.lower() not in SUFFIXES:
        raise InvalidSetting("--report", str(file), "a file that ends in .json or .html")
    if not file.absolute().parent.is_dir():
        raise InvalidSetting("--report", str(file), "in a folder that is there")


def write_report(file: Path, report: IndexReport, *, sources: Sequence[str]) -> None:
    """Write the report, with thumbnails where they can be made.

    Raises:
        OSError: it cannot be written.
    """
    make = _as_json if file.suffix.lower() == ".json" else _as_page
    text = make(report, [printable(source) for source in sources])
    file.write_text(text, encoding="utf-8")


def _as_json(report: IndexReport, sources: Sequence[str]) -> str:
    known = dataclasses.asdict(report)
    known["sources"] = list(sources)
    known["skipped"] = [
        {"path": item.path, "reason": item.reason, "thumbnail": thumbnail}
        for item, thumbnail in _with_thumbnails(report.skipped)
    ]
    return json.dumps(known, indent=1)


def _as_page(report: IndexReport, sources: Sequence[str]) -> str:
    counts = {
        name: getattr(report, name)
        for name in ("added", "updated", "moved", "removed", "unchanged", "total")
    }
    counts = {**counts, "skipped": len(report.skipped)}
    body = _BODY.format(
        sources=html.escape(", ".join(sources)),
        counts="\n".join(_COUNT.format(name=name, count=n) for name, n in counts.items()),
        items="\n".join(
            _ITEM.format(
                picture=_picture(thumbnail),
                name=html.escape(item.path.rsplit("/", 1)[-1]),
                reason=html.escape(item.reason),
                folder=html.escape(item.path),
            )
            for item, thumbnail in _with_thumbnails(report.skipped)
        ),
        others=_others(report),
    )
    return page("Index report", style=_STYLE, body=body)


def endings(others: Mapping[str, int]) -> str:
    """How many files of which endings, the most frequent ones first."""
    most = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count} {ending or 'without an ending'}" for ending, count in most[:ENDINGS_SHOWN]]
    rest = sum(count for _, count in most[ENDINGS_SHOWN:])
    return ", ".join([*named, *([f"{rest} others"] if rest else [])])


def _others(report: IndexReport) -> str:
    if not report.others:
        return ""
    return _OTHERS.format(endings=html.escape(endings(report.others)))


def _picture(thumbnail: str | None) -> str:
    if thumbnail is None:
        return '<div class="none">no picture</div>'
    return f'<img alt="" src="{thumbnail}">'


def _with_thumbnails(skipped: Sequence[Skipped]) -> Iterator[tuple[Skipped, str | None]]:
    """Each with a ``data:`` address of what can be seen of it."""
    settings = Settings.from_environment()
    reader = Reader.of(settings)
    pool = Impatient(1, "lookalike-thumbnail", SECONDS_PER_THUMBNAIL)
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    # What is there of a picture whose end is missing is worth seeing here, and nowhere else.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        thumbnails = pool.ahead(
            lambda item: _thumbnail(item.path, reader=reader, max_pixels=settings.max_pixels),
            skipped,
            2,
            otherwise=lambda item: None,
            ready=lambda item: reader.wait_for(item.path),
        )
        yield from zip(skipped, thumbnails, strict=True)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
        pool.leave()
        reader.close()


def _thumbnail(path: str, *, reader: Reader, max_pixels: int) -> str | None:
    # As everywhere, decoders raise nearly anything on damaged bytes; there is no thumbnail then.
    with contextlib.suppress(Exception):
        data, _ = reader.read(path)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.draft("RGB", (SIDE, SIDE))  # of a giant JPEG this is a small one
            if image.width * image.height > max_pixels:
                return None
            image.load()
            shown = image.convert("RGB")
        shown.thumbnail((SIDE, SIDE), reducing_gap=2.0)
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return None
