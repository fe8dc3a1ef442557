"""The folders that may be indexed by request, under names that say nothing of where they lie."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from lookalike.serve.problems import Refused


class Roots:
    """Names -> absolute folders. A name is the last part of a folder, with a number if need be."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders: dict[str, str] = {}
        for folder in folders:
            if folder not in self.folders.values():
                self.folders[self._name(folder)] = folder

    def _name(self, folder: str) -> str:
        wanted = posixpath.basename(folder.rstrip("/")) or "root"
        name, number = wanted, 1
        while name in self.folders:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def chosen(self, names: Sequence[str]) -> list[str]:
        """The absolute folders that a request names, all roots where it names none.

        Raises:
            Refused: there are no roots, or it is no folder in one of them.
        """
        if not self.folders:
            message = "No folder may be indexed by request: the server was started without --root."
            raise Refused(403, "not_allowed", message)
        return [self._folder(name) for name in names] or list(self.folders.values())

    def _folder(self, name: str) -> str:
        first, _, rest = name.rstrip("/").partition("/")
        parts = rest.split("/") if rest else []
        if not first or any(part in ("", ".", "..") for part in parts) or "\\" in name:
            message = f"{name!r} is no name of a folder, such as photos/2024."
            raise Refused(422, "invalid_value", message, field="folders")
        root = self.folders.get(first)
        folder = root and posixpath.join(root, *parts)
        if not (root and folder and Path(folder).is_dir() and _is_within(folder, root)):
            # The same for what lies elsewhere, behind a link: it is nobody's business.
            message = f"There is no folder {name!r}; /info names those that may be indexed."
            raise Refused(404, "no_such_folder", message, field="folders")
        return folder


def _is_within(folder: str, root: str) -> bool:
    try:
        return Path(folder).resolve().is_relative_to(Path(root).resolve())
    except (OSError, ValueError):
        return False
