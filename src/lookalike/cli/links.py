"""Where a link to a picture leads."""

from __future__ import annotations

import html
import re
from pathlib import PurePath, PureWindowsPath

from lookalike.sources.names import is_address, split_member


def uri_of(path: str) -> str | None:
    """An address that a browser opens: the file's, or the archive's that it is in.

    None for an object in a storage, which needs credentials.
    """
    if is_address(path):
        return path if re.match(r"https?://", path) else None
    member = split_member(path)
    file = member[0] if member else path
    # An index may have been made on another system than the one that shows it.
    pure = PureWindowsPath(file) if re.match(r"[A-Za-z]:/", file) else PurePath(file)
    return pure.as_uri() if pure.is_absolute() else None


def linked(path: str, inside: str) -> str:
    """HTML `inside` as a link to the picture, or as it is where there is nothing to lead to."""
    uri = uri_of(path)
    title = html.escape(path)
    if uri is None:
        return f'<span title="{title}">{inside}</span>'
    return f'<a href="{html.escape(uri)}" title="{title}">{inside}</a>'
