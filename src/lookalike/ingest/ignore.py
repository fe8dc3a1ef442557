"""Which files a source folder leaves out: ``.lookalikeignore`` files, and patterns given for a run.

The syntax is that of ``.gitignore``, and so is the order: patterns of the run come first, then the
file nearest to what is asked about; within one list the last pattern that matches decides.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lookalike.errors import InvalidSetting
from lookalike.sources.names import split_member

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".lookalikeignore"


class IgnoreRules:
    """The rules of one source folder, or of one storage prefix."""

    def __init__(self, source: str, exclude: tuple[str, ...] = ()) -> None:
        """Take the patterns of the run.

        Raises:
            InvalidSetting: one of them is no pattern.
        """
        self.source = source
        self._by_folder: dict[str, GitIgnoreSpec] = {}
        self._exclude: GitIgnoreSpec | None = None
        self.active = bool(exclude)
        if exclude:
            self._exclude = _compiled(map(_checked, exclude))

    def learn(self, folder: str) -> None:
        """Read the file in a folder, whose rules hold from there downwards.

        Raises:
            OSError: it cannot be read.
            ValueError: a line of it is no pattern.
        """
        # Names are decoded so, too.
        with open(  # noqa: PTH123
            f"{folder.rstrip('/')}/{IGNORE_FILE}", encoding="utf-8", errors="surrogateescape"
        ) as lines:
            self._by_folder[folder.rstrip("/")] = _compiled(lines)
        self.active = True

    def match(self, path: str, *, is_folder: bool) -> bool:
        """Whether this is left out, if nothing that it lies in is."""
        name = f"{path}/" if is_folder else path
        if self._exclude and (said := _said(self._exclude, self.source, name)) is not None:
            return said
        folder = path
        while self._by_folder and folder != self.source:
            folder = posixpath.dirname(folder)
            spec = self._by_folder.get(folder.rstrip("/"))
            if spec and (said := _said(spec, folder, name)) is not None:
                return said
        return False

    def leaves_out(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether this, or a folder that it lies in, is left out."""
        base = f"{self.source.rstrip('/')}/"
        if not self.active or not path.startswith(base):
            return False
        member = split_member(path)
        if member and member[0].startswith(base) and self.match(member[0], is_folder=False):
            return True
        ends = [place for place, char in enumerate(path) if char == "/" and place > len(base)]
        if any(self.match(path[:end], is_folder=True) for end in ends):
            return True
        return self.match(path, is_folder=is_folder)


def _checked(pattern: str) -> str:
    try:
        _compiled([pattern])
    except ValueError:
        raise InvalidSetting("exclude", pattern, "a pattern as in .gitignore") from None
    return pattern


def _said(spec: GitIgnoreSpec, folder: str, name: str) -> bool | None:
    return spec.check_file(name[len(folder.rstrip("/")) + 1 :]).include


def _compiled(patterns: Iterable[str]) -> GitIgnoreSpec:
    # Imported here: most folders have no such rules, and a search never.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    return GitIgnoreSpec.from_lines(line.rstrip("\r\n") for line in patterns)
