"""The pictures in an archive."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from lookalike.errors import PictureUnreadable
from lookalike.ingest.ignore import IgnoreRules
from lookalike.ingest.seen import ScanOptions, Seen, image_file
from lookalike.records import ImageFile, Skipped, Stamp
from lookalike.settings import Settings
from lookalike.sources.archives import Contents, Limits, open_archive
from lookalike.sources.names import is_archive, printable

NESTED = "it is an archive within an archive, which is not opened"


def members(
    archive: str,
    *,
    inside: str,
    rules: IgnoreRules,
    options: ScanOptions,
    seen: Seen,
    settings: Settings,
) -> Iterator[ImageFile | Skipped]:
    """What lies in an archive, in its order; hidden names are left out, as in a folder.

    Args:
        archive: its path.
        inside: a folder or member within, to which it is confined; empty for all.
        rules: of the source that it lies in.
        options: what is left out beside.
        seen: is told the names, and the folders if all of the archive could be read.
        settings: have the limits.
    """
    limits = Limits(settings.max_archive_members, settings.max_archive_bytes)
    try:
        with open_archive(archive, limits=limits, to_read=False) as opened:
            contents, mtime_ns = opened.contents, opened.mtime_ns
    except PictureUnreadable as error:
        yield Skipped(printable(archive), error.reason)
        return
    root = f"{archive}!"
    folders = _noted(root, contents, seen)
    if contents.damage:
        yield Skipped(printable(archive), contents.damage)
    else:
        seen.listed |= folders
    if inside and hash(f"{root}/{inside}") not in seen.names:
        yield Skipped(printable(f"{root}/{inside}"), "there is no such file in the archive")
    for name in [*contents.sizes, *contents.unusable]:
        path = f"{root}/{name}"
        if _is_hidden(name) or not (options.wants(name) or is_archive(name)):
            continue
        if not f"{name}/".startswith(f"{inside}/" if inside else ""):
            continue
        if rules.active and rules.leaves_out(path):
            continue
        if is_archive(name):
            yield Skipped(printable(path), NESTED)
        elif name in contents.sizes:
            yield image_file(path, Stamp(contents.sizes[name], mtime_ns))
        else:
            yield Skipped(printable(path), contents.unusable[name])


def _noted(root: str, contents: Contents, seen: Seen) -> set[str]:
    """Remember what lies in an archive; the folders in it."""
    folders = {root}
    for name in [*contents.sizes, *contents.unusable]:
        path = f"{root}/{name}"
        seen.names.add(hash(path))
        while (path := posixpath.dirname(path)) not in folders:
            folders.add(path)
            seen.names.add(hash(path))
    return folders


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)
