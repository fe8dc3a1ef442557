"""Words become the numbers of tokens, as a model's authors do it, without PyTorch."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import ftfy
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from lookalike.errors import ModelUnusable, reason_of

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _whitespace(text: str) -> str:
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonical(text: str) -> str:
    bare = _whitespace(text).replace("_", " ").translate(_NO_PUNCTUATION).lower()
    return " ".join(bare.split())


CLEANINGS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"lower": _lower, "whitespace": _whitespace, "canonicalize": _canonical}
)
"""What is done to a text before it is split, by the names that open_clip has for it."""


class Tokens:
    """A tokenizer that cuts and pads every text to the length that its model takes."""

    def __init__(self, tokenizer: Tokenizer, *, cleaning: str) -> None:
        self._tokenizer, self._clean = tokenizer, CLEANINGS[cleaning]

    @classmethod
    def read(cls, path: Path, *, cleaning: str) -> Tokens:
        """Read what `write` has written; raises `ModelUnusable`."""
        try:
            return cls(Tokenizer.from_file(str(path)), cleaning=cleaning)
        except Exception as error:  # it raises no narrower one
            raise ModelUnusable(f"{path} is no tokenizer ({reason_of(error)}).") from error

    def write(self, path: Path) -> None:
        """Write the tokenizer, with its length and padding, as a JSON file."""
        path.write_text(self._tokenizer.to_str(), encoding="utf-8")

    @property
    def vocabulary(self) -> dict[str, int]:
        """Its tokens and their numbers."""
        known: dict[str, int] = self._tokenizer.get_vocab()
        return known

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Texts, one at least -> (n, length) int64."""
        # Not in one batch: that starts threads, which a process that forks is warned about.
        return np.array([self._tokenizer.encode(self._clean(text)).ids for text in texts], np.int64)
