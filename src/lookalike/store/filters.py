"""Filter expressions that are safe with any path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


def quote(text: str) -> str:
    """A string literal; Milvus Lite and servers read the same escapes."""
    return f'"{text.translate(_ESCAPES)}"'


def under(folder: str) -> str:
    """Rows whose path lies below a folder, as a range: ``like`` would need its own escapes.

    ``0`` is the character after ``/``, so that ``/a/`` <= path < ``/a0``.
    """
    base = folder.rstrip("/")
    return f"(path >= {quote(base + '/')} and path < {quote(base + '0')})"


def id_range(part: int, parts: int) -> str:
    """The rows of one of `parts` equal ranges of ids; ids are uniform 128-bit hex numbers."""
    low, high = (f"{(1 << 128) * edge // parts:032x}" for edge in (part, part + 1))
    upper = "" if part + 1 == parts else f" and id < {quote(high)}"
    return f"(id >= {quote(low)}{upper})"


def one_of(wanted: Mapping[str, Sequence[int]]) -> str:
    """Rows with one of the given integers in each of these fields."""
    return " and ".join(f"{name} in {list(values)}" for name, values in wanted.items())
