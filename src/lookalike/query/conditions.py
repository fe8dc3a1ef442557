"""What a filter means: its tree, checked against the fields of the rows, as Milvus's expression.

A comparison is met by rows that have the field, with a value of that type. What lacks it meets
neither ``label = "cat"`` nor ``label != "cat"`` nor ``not label = "cat"``, only ``label is
missing``: as in SQL, but with no third value, because ``not`` is moved onto the comparisons.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lookalike.errors import InvalidQuestion, SourceNotFound
from lookalike.query import where as tree
from lookalike.query.moments import span
from lookalike.query.where import Name, Tree, Value, fault, parse
from lookalike.sources.names import absolute
from lookalike.store import filters
from lookalike.store.schema import ANIMATED_FIELD

NAMES_SHOWN = 30
YEARS = range(1000, 9999)  # of numbers, which are seconds else
MAX_COMPARISONS = 500
INT64_MAX = 2**63 - 1
TEXTS = ("id", "path", "content", "format")
TIMES = {"taken_at": 1, "mtime_ns": 1_000_000_000}
"""Fields that are times, in these parts of a second."""
ALIASES = {"size": "size_bytes", "modified_at": "mtime_ns"}
WHOLE = ("size_bytes", "width", "height", *TIMES)
NAMES = (*TEXTS, *WHOLE, *ALIASES, ANIMATED_FIELD)

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_KINDS: dict[type, str] = {str: "text", bool: "true or false", int: "numbers", float: "numbers"}


class OwnFields(Protocol):
    """What is known of the user's own fields."""

    def kinds(self) -> Mapping[str, frozenset[type]]:
        """Names -> types of values, in a sample of the rows; empty if there are no rows."""

    def any(self, condition: str) -> bool:
        """Whether any row meets an expression of Milvus's."""


def condition_of(text: str, own: OwnFields) -> str:
    """The expression of Milvus's that means what a filter says.

    Raises:
        InvalidQuestion: it is no filter, or has an unknown field or a value of a wrong type.
    """
    meant = _Meaning(own)
    expression = meant.of(parse(text), positive=True)
    if meant.comparisons > MAX_COMPARISONS:
        raise InvalidQuestion(
            f"where: the filter has {meant.comparisons} comparisons, but at most "
            f"{MAX_COMPARISONS} can be made at once."
        )
    return expression


class _Meaning:
    """Walks one tree; `comparisons` are those of the expression so far."""

    def __init__(self, own: OwnFields) -> None:
        self._own = own
        self._checked: set[tuple[str, str]] = set()
        self.comparisons = 0

    def of(self, node: Tree, *, positive: bool) -> str:
        """The expression for a part of the tree, or for its opposite."""
        if isinstance(node, tree.Not):
            return self.of(node.part, positive=not positive)
        if isinstance(node, tree.Joined):
            word = node.word if positive else {"and": "or", "or": "and"}[node.word]
            return filters.joined(word, [self.of(part, positive=positive) for part in node.parts])
        self.comparisons += 1
        if isinstance(node, tree.Compare):
            operator = node.operator if positive else _OPPOSITE[node.operator]
            return self._compare(node.field, operator, node.value)
        if isinstance(node, tree.OneOf):
            return self._one_of(node.field, node.values, positive=positive)
        return self._simple(node, positive=positive)

    def _simple(self, node: tree.Under | tree.Missing | tree.Flag, *, positive: bool) -> str:
        field = node.field
        if isinstance(node, tree.Missing):
            return self._missing(field, positive=positive)
        if isinstance(node, tree.Flag):
            if self._stored(field) in NAMES and field.name != ANIMATED_FIELD:
                raise fault(field.column, f"compare {field.name} with something.")
            return self._compare(field, "==", Value("boolean", positive, field.column))
        if field.name != "path":
            raise fault(field.column, f"only path can be under a folder, not {field.name}.")
        below = filters.under if positive else filters.not_under
        try:
            folder = absolute(node.folder.value)
        except SourceNotFound:
            raise fault(node.folder.column, "this is neither a folder nor an address.") from None
        return below(folder)

    def _stored(self, field: Name) -> str:
        """The name in the rows; the user's own field comes before another name for one of ours."""
        if field.name in self._own.kinds():
            return field.name
        return ALIASES.get(field.name, field.name)

    def _compare(self, field: Name, operator: str, value: Value) -> str:
        name = self._stored(field)
        if name == ANIMATED_FIELD:
            return _animated(operator, value)
        if name in TIMES:
            return _time(name, operator, value, written=field.name)
        if name in WHOLE:
            return filters.compare(name, operator, _whole(field.name, value))
        if name in TEXTS:
            return filters.compare(name, operator, _text(name, value))
        scalar = _scalar(value)
        if isinstance(scalar, bool) and operator not in ("==", "!="):
            raise fault(value.column, f"true and false have no order; write: {name} = true")
        self._check_own(field, value, scalar)
        return filters.compare_own(name, operator, scalar)

    def _one_of(self, field: Name, values: Sequence[Value], *, positive: bool) -> str:
        name = self._stored(field)
        if name in TEXTS or (name in WHOLE and name not in TIMES):
            read: Callable[[str, Value], Any] = _text if name in TEXTS else _whole
            scalars = [read(field.name, value) for value in values]
            return filters.among(name, scalars, negated=not positive)
        self.comparisons += len(values)
        word, operator = ("or", "==") if positive else ("and", "!=")
        return filters.joined(word, [self._compare(field, operator, value) for value in values])

    def _missing(self, field: Name, *, positive: bool) -> str:
        name = self._stored(field)
        if name == "taken_at":
            return filters.compare(name, "==" if positive else "!=", 0)
        if name in NAMES:
            return filters.NEVER if positive else filters.ALWAYS
        if name not in self._own.kinds() and self._own.kinds():
            self._unknown_unless(field, filters.exists(name))
        return filters.exists(name, negated=positive)

    def _check_own(self, field: Name, value: Value, scalar: filters.Scalar) -> None:
        """The sample knows almost always; else all rows are asked."""
        kind, kinds = _KINDS[type(scalar)], self._own.kinds()
        seen = {_KINDS.get(each, "lists") for each in kinds.get(field.name, ())}
        if not kinds or kind in seen or (field.name, kind) in self._checked:
            return
        self._checked.add((field.name, kind))
        if self._own.any(filters.is_of_type(field.name, scalar)):
            return
        if seen:
            held = " and ".join(sorted(seen))
            raise fault(value.column, f"{field.name} holds {held}, not {kind}.")
        self._unknown_unless(field, filters.exists(field.name))

    def _unknown_unless(self, field: Name, condition: str) -> None:
        if self._own.any(condition):
            return
        names = [*NAMES, *self._own.kinds()]
        nearest = difflib.get_close_matches(field.name, names, n=2)
        meant = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {_all(names)}."
        raise fault(field.column, f"unknown field {field.name!r}; {meant}")


def _all(names: Sequence[str]) -> str:
    shown = sorted(set(names))
    return ", ".join(shown[:NAMES_SHOWN]) + (", …" if len(shown) > NAMES_SHOWN else "")


def _animated(operator: str, value: Value) -> str:
    """It stands only in the rows of animations."""
    if value.kind != "boolean" or operator not in ("==", "!="):
        raise fault(value.column, "animated is true or false.")
    is_wanted = value.value == (operator == "==")
    return filters.exists(ANIMATED_FIELD, negated=not is_wanted)


def _time(name: str, operator: str, value: Value, *, written: str) -> str:
    """A date is a span: equal is what lies in it, less what lies before, greater what after.

    Numbers are years or seconds, except for a field that is `written` with its unit.
    """
    unit = TIMES[name]
    if value.kind == "number" and isinstance(value.value, int):
        year = span(str(value.value)) if value.value in YEARS else None
        start, end = year or (value.value, value.value + 1)
        if year is None and written == "mtime_ns":
            start, end, unit = value.value, value.value + 1, 1
    elif value.kind in ("date", "text") and (found := span(value.value)):
        start, end = found
    else:
        example = "a date like 2025-06-01, 2025-06 or 2025-06-01T12:30"
        raise fault(value.column, f"{name} takes {example}.")
    first, last = start * unit, end * unit - 1
    if not -INT64_MAX <= first <= last <= INT64_MAX:
        raise fault(value.column, f"this time is beyond what {name} can hold.")
    known = "" if name != "taken_at" else f" and {name} != 0"
    spans = {
        "==": f"{name} >= {first} and {name} <= {last}",
        "!=": f"({name} < {first} or {name} > {last})",
        "<": f"{name} < {first}",
        "<=": f"{name} <= {last}",
        ">": f"{name} > {last}",
        ">=": f"{name} >= {first}",
    }
    return f"({spans[operator]}{known})"


def _whole(name: str, value: Value) -> int:
    is_size = value.kind == "size" and name in ("size", "size_bytes")
    if is_size and (found := re.fullmatch(r"([\d.]+) ?([kmgt]?)(i?)b", value.value.lower())):
        size = float(found[1]) * (1024.0 if found[3] else 1000.0) ** _UNITS[found[2]]
        if math.isfinite(size) and size <= INT64_MAX:
            return round(size)
    number: object = value.value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if value.kind == "number" and isinstance(number, int) and abs(number) <= INT64_MAX:
        return number
    units = ", or a size like 2MB or 1.5GiB" if name in ("size", "size_bytes") else ""
    raise fault(value.column, f"{name} takes a whole number{units}.")


def _text(name: str, value: Value) -> str:
    if value.kind != "text":
        raise fault(value.column, f'{name} takes a text in quotes, like {name} = "…".')
    return str(value.value)


def _scalar(value: Value) -> filters.Scalar:
    scalar: filters.Scalar = value.value
    if value.kind == "date":
        raise fault(value.column, "only taken_at and modified_at are dates; quote it to be a text.")
    if value.kind == "size":
        raise fault(value.column, "only size has units; write a plain number.")
    too_large = isinstance(scalar, int) and abs(scalar) > INT64_MAX
    if too_large or (isinstance(scalar, float) and not math.isfinite(scalar)):
        raise fault(value.column, "this number is too large.")
    return scalar
