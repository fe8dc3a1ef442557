"""Filter expressions that are safe with any path and any value.

Milvus Lite and servers differ in what is no comparison at all. In the expressions made here they
agree:

- A field of the user's own is ``$meta["name"]``: its name may be a word of their grammar.
- A row without the field, or with a value of another type, meets no comparison, ``!=`` neither:
  servers would let it, so that one comes with a comparison that every value of the type meets.
- There is no ``not`` before a comparison: it would let through what is unknown on servers alone.
- ``like`` is not used: their escapes differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lookalike.store.shard import id_edge

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})

Scalar = str | int | float | bool

NEVER = 'id == ""'
ALWAYS = 'id != ""'


def quote(text: str) -> str:
    """A string literal; Milvus Lite and servers read the same escapes."""
    return f'"{text.translate(_ESCAPES)}"'


def literal(value: Scalar) -> str:
    """A text, a finite number or a boolean."""
    return quote(value) if isinstance(value, str) else json.dumps(value)


def under(folder: str) -> str:
    """Rows whose path lies below a folder, as a range: ``like`` would need its own escapes.

    ``0`` is the character after ``/``, so that ``/a/`` <= path < ``/a0``.
    """
    base = folder.rstrip("/")
    return f"(path >= {quote(base + '/')} and path < {quote(base + '0')})"


def not_under(folder: str) -> str:
    """All other rows."""
    base = folder.rstrip("/")
    return f"(path < {quote(base + '/')} or path >= {quote(base + '0')})"


def id_range(part: int, parts: int) -> str:
    """The rows of one of `parts` equal ranges of ids."""
    upper = "" if part + 1 == parts else f" and id < {quote(id_edge(part + 1, parts))}"
    return f"(id >= {quote(id_edge(part, parts))}{upper})"


def one_of(wanted: Mapping[str, Sequence[int]]) -> str:
    """Rows with one of the given integers in each of these fields."""
    return " and ".join(f"{name} in {list(values)}" for name, values in wanted.items())


def joined(word: str, parts: Sequence[str]) -> str:
    """Conditions joined by ``and`` or ``or``, in halves: servers read no more than 100 levels."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({joined(word, parts[:middle])} {word} {joined(word, parts[middle:])})"


def compare(field: str, operator: str, value: Scalar) -> str:
    """Compare a field of every row."""
    return f"{field} {operator} {literal(value)}"


def among(field: str, values: Sequence[Scalar], *, negated: bool) -> str:
    """A field of every row has one, or none, of the values."""
    word = "not in" if negated else "in"
    return f"{field} {word} [{', '.join(map(literal, values))}]"


def own(name: str) -> str:
    """A field of the user's own, or `animated`; names are of letters, digits and _."""
    return f'$meta["{name}"]'


def exists(name: str, *, negated: bool = False) -> str:
    """Rows that have such a field, or have none; null counts as none, except on servers 2.3.

    In parentheses, because servers take what follows for a part of it.
    """
    return f"{'not ' if negated else ''}(exists {own(name)})"


def is_of_type(name: str, example: Scalar) -> str:
    """Rows whose field `name` holds a text, a number or a boolean, as the example is one."""
    field = own(name)
    if isinstance(example, bool):
        return f"({field} == true or {field} == false)"
    if isinstance(example, str):
        return f'{field} >= ""'
    return f"({field} < 0 or {field} >= 0)"


def compare_own(name: str, operator: str, value: Scalar) -> str:
    """Rows with a value of the same type that compares so."""
    compared = compare(own(name), operator, value)
    return f"({compared} and {is_of_type(name, value)})" if operator == "!=" else compared
