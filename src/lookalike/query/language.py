"""The words of a question: what each of them means, and how they are put together.

A word is taken for the first of these that it can be:

1. what it begins with: ``text:`` words, ``file:`` a path, ``id:`` a row, ``clipboard:``
2. a picture that exists under this whole name
3. a weight and the rest: ``0.5:sunset.jpg``
4. a picture and the part of it: ``beach.jpg@10%,10%,50%,50%``
5. an address on the web or in a storage
6. a path, if a slash is in it, or it ends as the names of pictures do
7. words to look for
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from lookalike.decode import EXTENSIONS
from lookalike.errors import InvalidQuestion
from lookalike.query.terms import (
    IN_MEMORY,
    Clipboard,
    Crop,
    Encoded,
    File,
    Meant,
    Prepared,
    RowId,
    Term,
    WebAddress,
    Words,
)
from lookalike.sources import names

_OPERATORS = {"+": 1.0, "-": -1.0}
# Compiled when they are needed: a search for a file waits for none of them.
_WEIGHT = r"([-+]?(?:\d+\.?\d*|\.\d+)):(?=.)"
_CROP = r"(.+)@([-+\d.%\s]*,[-+\d.%,\s]*)"
_ID = r"[0-9a-f]{32}"

Stdin = Callable[[], bytes]


def terms_of(words: Sequence[str], *, stdin: Stdin | None = None) -> list[Term]:
    """The terms of words that stand beside each other, with ``+`` and ``-`` between them or not.

    The first word, and one after an operator, is a term: ``-`` is stdin there.

    Args:
        words: each a term or an operator.
        stdin: reads what ``-`` stands for; None where there is no such thing.

    Raises:
        InvalidQuestion: an operator has nothing to work on, or a word makes no sense.
    """
    terms: list[Term] = []
    sign, wanted = 1.0, True  # whether a term must come
    for word in words:
        if not wanted and word in _OPERATORS:
            sign, wanted = _OPERATORS[word], True
            continue
        if word == "+":
            place = "between two operators" if terms else "in front of '+'"
            raise InvalidQuestion(f"There is no term {place}; a file named + is ./+")
        term = meant(Term(word), stdin=stdin)
        terms.append(replace(term, weight=sign * term.weight))
        sign, wanted = 1.0, False
    if terms and wanted:
        last = words[-1]
        hint = "; a picture from stdin is added with: + -" if last == "-" else ""
        raise InvalidQuestion(f"Nothing follows the last '{last}'{hint}.")
    return terms


def meant(term: Term, *, stdin: Stdin | None = None) -> Term:
    """The same term with what is meant by its value, and its weight and crop taken from a text.

    Raises:
        InvalidQuestion: it makes no sense.
    """
    value = term.value
    if isinstance(term.crop, str):
        term = replace(term, crop=Crop.parse(term.crop))
    if isinstance(value, str):
        term = _understood(value, term, stdin)
    elif isinstance(value, bytes):
        term = replace(term, value=Encoded(value))
    elif isinstance(value, os.PathLike):
        term = replace(term, value=File(os.fspath(value)))
    elif not isinstance(value, Meant):
        raise TypeError(f"a term is a path, an image, bytes or Words, not {type(value).__name__}")
    if isinstance(term.value, Words):
        if not term.value.text.strip():
            raise InvalidQuestion("The question is empty: name a picture, or words.")
        if not names.storable(term.value.text):
            raise InvalidQuestion(f"{names.printable(shown(term))} are no words: not valid UTF-8.")
    if term.crop and isinstance(term.value, Words | RowId):
        raise InvalidQuestion(
            f"{shown(term)} has no part {term.crop}: only a picture can be cropped, from its file. "
            "Words with an @ are asked for with text:WORDS"
        )
    return term


def _understood(text: str, term: Term, stdin: Stdin | None, *, weighted: bool = False) -> Term:
    readings = [_named_kind, _existing, _weighted, _cropped, _address, _path]
    if weighted:
        readings.remove(_weighted)
    for read in readings:
        found: Term | None = read(text, term, stdin)
        if found:
            return found
    return replace(term, value=Words(text))


def _named_kind(text: str, term: Term, stdin: Stdin | None) -> Term | None:
    if text == "-":
        if stdin is None:
            raise InvalidQuestion("'-' is stdin on the command line alone; give the bytes instead.")
        return replace(term, value=Encoded(stdin(), "stdin"))
    kind, _, rest = text.partition(":")
    if kind == "text":
        return replace(term, value=Words(rest))
    if kind == "file" and not names.is_file_address(text):
        return replace(term, value=File(rest))
    if text == "clipboard:":
        return replace(term, value=Clipboard())
    if kind == "id":
        if not re.fullmatch(_ID, rest.lower()):
            raise InvalidQuestion(
                f"{text!r} names no row: an id is 32 hexadecimal digits, as --format json shows it."
            )
        return replace(term, value=RowId(rest.lower()))
    return None


def _existing(text: str, term: Term, _: Stdin | None) -> Term | None:
    """A folder is no picture, so its name may be meant as words."""
    path = os.path.expanduser(text)  # noqa: PTH111
    there = "\0" not in text and os.path.lexists(path) and not os.path.isdir(path)  # noqa: PTH112
    return replace(term, value=File(text)) if there else None


def _weighted(text: str, term: Term, stdin: Stdin | None) -> Term | None:
    if not (found := re.match(_WEIGHT, text)):
        return None
    rest = _understood(text[found.end() :], term, stdin, weighted=True)
    return replace(rest, weight=float(found[1]) * rest.weight)


def _cropped(text: str, term: Term, stdin: Stdin | None) -> Term | None:
    if not (found := re.fullmatch(_CROP, text, re.DOTALL)):
        return None
    if term.crop:
        raise InvalidQuestion(f"{text!r} is cropped twice.")
    try:
        crop = Crop.parse(found[2])
    except InvalidQuestion as error:
        raise InvalidQuestion(f"{error} If these are words: text:{text}") from None
    return _understood(found[1], replace(term, crop=crop), stdin)


def _address(text: str, term: Term, _: Stdin | None) -> Term | None:
    if is_web(text):
        return replace(term, value=WebAddress(text))
    known = names.is_address(text) or names.is_file_address(text)
    return replace(term, value=File(text)) if known else None


def _path(text: str, term: Term, _: Stdin | None) -> Term | None:
    slash = "/" in text or os.sep in text
    looks_so = slash or os.path.splitext(text)[1].lower() in EXTENSIONS  # noqa: PTH122
    return replace(term, value=File(text)) if looks_so else None


def is_web(path: str) -> bool:
    """Whether it is an address that web servers answer at."""
    return path[:8].lower().startswith(("http://", "https://"))


def shown(term: Term) -> str:
    """What messages call a term."""
    match term.value:
        case WebAddress(url):
            return names.without_secrets(url)
        case RowId(id):
            return f"id:{id}"
        case Words(text):
            return f"'{text}'"
        case File(name) | Encoded(_, name) | Prepared(_, name):
            return name
    return "the clipboard" if isinstance(term.value, Clipboard) else IN_MEMORY


def described(term: Term) -> dict[str, object]:
    """A term as JSON has it; only files, addresses, rows and words have a value."""
    kind: str = "memory"
    value: str | None = None
    match term.value:
        case File(value):
            kind = "file"
        case WebAddress(value):
            kind = "url"
        case RowId(value):
            kind = "id"
        case Words(value):
            kind = "words"
        case Clipboard():
            kind = "clipboard"
        case Encoded(_, "stdin"):
            kind = "stdin"
    crop = str(term.crop) if term.crop else None
    return {"kind": kind, "value": value, "weight": term.weight, "crop": crop}
