"""Folders and files become a stream of files that may be pictures."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookalike.decode import EXTENSIONS
from lookalike.errors import SourceNotFound
from lookalike.records import ImageFile, Skipped, Stamp

NO_UTF8 = "its name is not valid UTF-8"


class Scan:
    """The files below some folders, and single files, each once.

    Iterating yields `ImageFile` in the order of the sources and of the names within a folder, and
    `Skipped` for what was meant but cannot be read. Hidden files and folders are left out. Links
    are followed, links to folders after everything else, and no folder is listed twice.
    Afterwards, `listed` holds every folder whose names were all read, `walked` the source folders
    that do not lie inside others, `fruitful` those of them below which there was a picture, and
    `repeated` the other names of folders listed before.
    """

    def __init__(self, sources: Sequence[str | os.PathLike[str]]) -> None:
        """Resolve the sources: absolute, outer folders before those inside them.

        Raises:
            SourceNotFound: one of them does not exist.
        """
        paths = sorted({absolute(source) for source in sources})
        for path in paths:
            _check_source(path)
        self.folders = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112
        self._files = frozenset(paths).difference(self.folders)
        self.files = sorted(self._files)
        self.listed: set[str] = set()
        self.walked: list[str] = []
        self.fruitful: set[str] = set()
        self.repeated: set[str] = set()
        self._visited: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[ImageFile | Skipped]:
        """Walk the sources."""
        for path in self.files:
            yield _inspect(path)
        links: list[tuple[str, str]] = []
        for folder in self.folders:
            yield from self._walk(folder, folder, links)
        while links:
            source, link = links.pop(0)
            yield from self._follow(source, link, links)

    def _walk(
        self, source: str, top: str, links: list[tuple[str, str]]
    ) -> Iterator[ImageFile | Skipped]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            subfolders: list[str] = []
            if not storable(folder):
                yield Skipped(printable(folder), NO_UTF8)
                continue
            try:
                status = os.stat(folder)  # noqa: PTH116
                if (status.st_dev, status.st_ino) in self._visited:
                    if folder not in self.listed:
                        self.repeated.add(folder)
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield Skipped(printable(folder), f"it cannot be listed ({error.strerror})")
                continue
            self.listed.add(folder)
            if folder == source:
                self.walked.append(source)
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = f"{folder.rstrip('/')}/{entry.name}"
                if _is_folder(entry):
                    if entry.is_symlink():
                        links.append((source, path))
                    else:
                        subfolders.append(path)
                elif (
                    os.path.splitext(entry.name)[1].lower() in EXTENSIONS  # noqa: PTH122
                    and path not in self._files
                ):
                    self.fruitful.add(source)
                    yield _inspect(path, entry)
            waiting.extend(reversed(subfolders))

    def _follow(
        self, source: str, link: str, links: list[tuple[str, str]]
    ) -> Iterator[ImageFile | Skipped]:
        target = os.path.realpath(link)
        if f"{os.path.realpath(os.path.dirname(link))}/".startswith(target.rstrip("/") + "/"):  # noqa: PTH120
            yield Skipped(printable(link), f"it links back to {target}, which contains it")
        else:
            yield from self._walk(source, link, links)


def absolute(path: str | os.PathLike[str]) -> str:
    """The path as stored: absolute, ``~`` expanded, links kept, with forward slashes."""
    # Path's own way raises where there is no such user; a file may be called so.
    expanded = os.path.expanduser(path)  # noqa: PTH111
    return Path(os.path.abspath(expanded)).as_posix()  # noqa: PTH100


def storable(path: str) -> bool:
    """Whether a path is valid UTF-8; Milvus holds nothing else."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: str) -> str:
    """A path in which bytes that are no UTF-8 stand as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def _check_source(path: str) -> None:
    try:
        os.lstat(path)
    except FileNotFoundError:
        raise SourceNotFound(path, "does not exist") from None
    except OSError as error:
        raise SourceNotFound(path, f"cannot be reached ({error.strerror})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _inspect(path: str, entry: os.DirEntry[str] | None = None) -> ImageFile | Skipped:
    if not storable(path):
        return Skipped(printable(path), NO_UTF8)
    try:
        status = entry.stat() if entry else os.stat(path)  # noqa: PTH116
    except OSError as error:
        return Skipped(path, f"it cannot be read ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(path, "it is not a regular file")
    return ImageFile(path, Stamp(status.st_size, status.st_mtime_ns))
