"""The language of filters: its grammar, and the tree that a text becomes.

A tree says what was written and where, not yet whether it makes sense: `conditions` knows that.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from lookalike.errors import InvalidQuestion

MAX_DIGITS = 400  # the largest float has 309
MAX_CHARACTERS = 10_000
MAX_DEPTH = 20

_GRAMMAR = r"""
?either: both (_OR both)*     -> any_of
?both: plain (_AND plain)*    -> all_of
?plain: _NOT plain            -> negation
      | "(" either ")"
      | field OPERATOR value                 -> compare
      | field _IN "[" values "]"             -> one_of
      | field _NOT _IN "[" values "]"        -> none_of
      | field _UNDER TEXT                    -> under
      | field _IS _MISSING                   -> missing
      | field _IS _NOT _MISSING              -> present
      | field                                -> flag
values: value ("," value)*
field: NAME
?value: TEXT   -> text
      | DATE   -> date
      | SIZE   -> size
      | NUMBER -> number
      | TRUE   -> boolean
      | FALSE  -> boolean
      | NAME   -> bare
OPERATOR: "==" | "!=" | "<=" | ">=" | "=" | "<" | ">"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
TEXT: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/s
DATE.3: /\d{4}-\d\d?(-\d\d?([T ]\d\d?:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?)?(?![\w:.-])/
SIZE.2: /\d+(\.\d+)? ?[kMGT]?i?B\b/i
NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?(?![\w.:-])/
TRUE.2: /true\b/i
FALSE.2: /false\b/i
_AND.2: /and\b/i
_OR.2: /or\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_UNDER.2: /under\b/i
_IS.2: /is\b/i
_MISSING.2: /missing\b/i
%ignore /\s+/
"""

# What may stand after a backslash in a text.
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


@dataclass(frozen=True, slots=True)
class Name:
    """A field; columns count from 1."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Value:
    """A literal: `kind` is text, date, size, number or boolean; the last two are Python's."""

    kind: str
    value: Any
    column: int


@dataclass(frozen=True, slots=True)
class Compare:
    """``field operator value``; the operator is one of ``== != < <= > >=``."""

    field: Name
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """``field in [values]``."""

    field: Name
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Under:
    """``path under "folder"``."""

    field: Name
    folder: Value


@dataclass(frozen=True, slots=True)
class Missing:
    """``field is missing``."""

    field: Name


@dataclass(frozen=True, slots=True)
class Flag:
    """A field alone: it is true."""

    field: Name


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be met."""

    part: Tree


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts joined by ``and`` or by ``or``: two or more."""

    word: str
    parts: tuple[Tree, ...]


Tree = Compare | OneOf | Under | Missing | Flag | Not | Joined


def fault(column: int, message: str) -> InvalidQuestion:
    """What is wrong in a filter, and where."""
    return InvalidQuestion(f"where: column {column}: {message}", column=column)


def parse(text: str) -> Tree:
    """Read a filter.

    Raises:
        InvalidQuestion: it is none; the message names the column.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidQuestion(f"where: a filter has at most {MAX_CHARACTERS:,} characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise fault(error.start + 1, "this is not valid UTF-8.") from None
    if not text.strip():
        raise InvalidQuestion("where: the filter is empty; write one like: width > 1000")
    _check_depth(text)
    try:
        tree = cast("Tree", _parser().parse(text))
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None
    except VisitError as error:
        raise error.orig_exc from None
    return tree


@functools.cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, start="either", parser="lalr", transformer=_Planter())


def names_in(node: Tree) -> Iterator[Name]:
    """The fields that a filter looks at, as they are written."""
    if isinstance(node, Not):
        yield from names_in(node.part)
    elif isinstance(node, Joined):
        for part in node.parts:
            yield from names_in(part)
    else:
        yield node.field


def _check_depth(text: str) -> None:
    """Trees are walked recursively; only parentheses make them deep."""
    depth = 0
    for found in re.finditer(r"[()]|\"([^\"\\]|\\.)*\"|'([^'\\]|\\.)*'", text, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > MAX_DEPTH:
            raise fault(found.start() + 1, f"it is nested more than {MAX_DEPTH} deep.")


def _unexpected(text: str, error: UnexpectedInput) -> InvalidQuestion:
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        column, char = at + 1, text[at]
        if char in "\"'":
            return fault(column, f"the text that begins here has no closing {char}")
        return fault(column, f"{char!r} is not expected here.")
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        token = error.token
        return fault((token.start_pos or 0) + 1, f"{str(token)!r} is not expected here.")
    if text.count("(") > text.count(")"):
        return fault(len(text) + 1, "a ( is not closed; add a ).")
    return fault(len(text) + 1, "the filter ends where more is expected.")


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1


@v_args(inline=True)
class _Planter(Transformer[Token, Tree]):
    """Makes the tree; lark calls its methods by the names of the rules."""

    def field(self, token: Token) -> Name:
        return Name(str(token), _column(token))

    def text(self, token: Token) -> Value:
        inner, column = str(token)[1:-1], _column(token)

        def unescaped(found: re.Match[str]) -> str:
            if found[1] not in _ESCAPED:
                at = column + 1 + found.start()
                raise fault(at, "a \\ in a text stands before a quote, another \\, n, r or t.")
            return _ESCAPED[found[1]]

        return Value("text", re.sub(r"\\(.)", unescaped, inner, flags=re.DOTALL), column)

    def date(self, token: Token) -> Value:
        return Value("date", str(token), _column(token))

    def size(self, token: Token) -> Value:
        return Value("size", str(token), _column(token))

    def number(self, token: Token) -> Value:
        written = str(token)
        whole = re.fullmatch(r"[+-]?\d+", written)
        if len(written) > MAX_DIGITS:
            raise fault(_column(token), "this number is too large.")
        return Value("number", int(written) if whole else float(written), _column(token))

    def boolean(self, token: Token) -> Value:
        return Value("boolean", token.lower() == "true", _column(token))

    def bare(self, token: Token) -> Value:
        raise fault(_column(token), f'a text stands in quotes: "{token}"')

    def values(self, *values: Value) -> tuple[Value, ...]:
        return values

    def compare(self, field: Name, operator: Token, value: Value) -> Compare:
        return Compare(field, "==" if operator == "=" else str(operator), value)

    def one_of(self, field: Name, values: tuple[Value, ...]) -> Tree:
        return OneOf(field, values)

    def none_of(self, field: Name, values: tuple[Value, ...]) -> Tree:
        return Not(OneOf(field, values))

    def under(self, field: Name, folder: Token) -> Tree:
        return Under(field, self.text(folder))

    def missing(self, field: Name) -> Tree:
        return Missing(field)

    def present(self, field: Name) -> Tree:
        return Not(Missing(field))

    def flag(self, field: Name) -> Tree:
        return Flag(field)

    def negation(self, part: Tree) -> Tree:
        return part.part if isinstance(part, Not) else Not(part)

    def any_of(self, *parts: Tree) -> Tree:
        return parts[0] if len(parts) == 1 else Joined("or", parts)

    def all_of(self, *parts: Tree) -> Tree:
        return parts[0] if len(parts) == 1 else Joined("and", parts)
