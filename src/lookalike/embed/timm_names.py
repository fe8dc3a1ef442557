"""The names of timm's pretrained models. Importing this loads timm, and with it PyTorch."""

from __future__ import annotations

from fnmatch import fnmatchcase

import timm


def pretrained_names(pattern: str) -> list[str]:
    """Names of models with weights, in timm's order, whatever their case.

    Args:
        pattern: a part of the name; with * or ? a pattern for the whole name, or for all of it
            before the tag of the weights.
    """
    wanted = pattern.lower()
    names: list[str] = timm.list_models(pretrained=True)
    if "*" not in wanted and "?" not in wanted:
        return [name for name in names if wanted in name.lower()]
    return [name for name in names if _matches(name.lower(), wanted)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[0], pattern)
