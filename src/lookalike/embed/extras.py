"""Modules that need an optional part of lookalike, loaded when that is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from lookalike.errors import ExtraBroken, ExtraMissing, reason_of

# What a force-reinstall names: the packages that must have been built for each other.
_PACKAGES = {
    "timm": "torch torchvision timm",
    "int8": "nncf",
    "text": "torch torchvision timm open_clip_torch transformers tokenizers ftfy",
}

# Not ImportError alone: a torchvision of another torch raises RuntimeError, a library of CUDA that
# is not there OSError, a package built for another NumPy ValueError.
_BROKEN = (ImportError, RuntimeError, OSError, AttributeError, ValueError, TypeError)


def load(module: str, what: str, *, extra: str) -> ModuleType:
    """The module of this room; `what` is who needs it: "The model resnet34".

    Raises:
        ExtraMissing: a package that it imports is not installed.
        ExtraBroken: all are, and one fails to import.
    """
    try:
        return import_module(f"lookalike.embed.{module}")
    except _BROKEN as error:
        if isinstance(error, ModuleNotFoundError) and _is_missing(error.name or ""):
            raise ExtraMissing(what, extra=extra) from error
        raise ExtraBroken(
            what, extra=extra, packages=_PACKAGES[extra], reason=reason_of(error)
        ) from error


def _is_missing(name: str) -> bool:
    # torch._C missing within a torch that is there is no missing package.
    package = name.partition(".")[0]
    return bool(package) and find_spec(package) is None
