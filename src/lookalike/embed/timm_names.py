"""The names of timm's pretrained models. Importing this loads timm, and with it PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import timm


def pretrained_names(pattern: str) -> list[str]:
    """Names of models with weights, in timm's order, whatever their case.

    Args:
        pattern: a part of the name; with * or ? a pattern for the whole name, or for all of it
            before the tag of the weights.
    """
    return matching(timm.list_models(pretrained=True), pattern, tag=".")


def matching(names: Iterable[str], pattern: str, *, tag: str) -> list[str]:
    """Those of the names that contain or match a pattern; `tag` is what stands before a tag."""
    wanted = pattern.lower()
    if "*" not in wanted and "?" not in wanted:
        return [name for name in names if wanted in name.lower()]
    return [
        name
        for name in names
        if any(fnmatchcase(part, wanted) for part in (name.lower(), name.lower().partition(tag)[0]))
    ]
