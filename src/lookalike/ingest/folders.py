"""Walks folders on the disk."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Iterator

from lookalike.ingest.ignore import IGNORE_FILE, IgnoreRules
from lookalike.ingest.seen import ScanOptions, Seen, image_file
from lookalike.records import ImageFile, Skipped, Stamp
from lookalike.settings import Settings
from lookalike.sources.names import NO_UTF8, is_archive, printable, storable


class FolderWalk:
    """Walks source folders one after the other, and at last the folders that links lead to.

    No folder is listed twice, under whatever name.
    """

    def __init__(
        self,
        *,
        named: Collection[str],
        only: Collection[str] | None,
        options: ScanOptions,
        seen: Seen,
        settings: Settings,
    ) -> None:
        """Take what all the folders have in common.

        Args:
            named: files that others see to.
            only: files and folders; what is neither one of them nor below one is left out.
            options: what else is left out.
            seen: what the whole scan has come across.
            settings: limits.
        """
        self._named, self._options, self._seen = named, options, seen
        # Where nothing but removals is known, nothing at all is looked at.
        self._only = None if only is None else frozenset(only) or frozenset({""})
        self._way = {folder for path in only or () for folder in _folders_above(path)}
        self._settings = settings
        self._inside: list[str] = []
        self._links: list[tuple[IgnoreRules, int, str]] = []
        self._visited: set[tuple[int, int]] = set()

    def walk(self, rules: IgnoreRules) -> Iterator[ImageFile | Skipped]:
        """The pictures below the folder that the rules are of, but for what links lead to."""
        self._inside.append(os.path.realpath(rules.source))
        try:
            device = os.stat(rules.source).st_dev  # noqa: PTH116
        except OSError:
            device = 0  # it cannot be listed either, which tells why
        yield from self._walk(rules, device, rules.source)

    def follow_links(self) -> Iterator[ImageFile | Skipped]:
        """The pictures in the folders that links lead to, as far as nobody else found them."""
        while self._links:
            rules, device, link = self._links.pop(0)
            target = os.path.realpath(link)
            if not (self._options.follow_out or self._is_inside(target)):
                continue
            if f"{os.path.realpath(os.path.dirname(link))}/".startswith(target.rstrip("/") + "/"):  # noqa: PTH120
                reason = f"it links back to {target}, which contains it"
                yield Skipped(printable(link), reason)
            else:
                yield from self._walk(rules, device, link)

    def _walk(self, rules: IgnoreRules, device: int, top: str) -> Iterator[ImageFile | Skipped]:
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            entries = self._entries(folder, rules, device)
            if isinstance(entries, Skipped):
                yield entries
                continue
            subfolders: list[str] = []
            for entry in entries:
                path = f"{folder.rstrip('/')}/{entry.name}"
                if entry.name.startswith(".") or (self._only and not self._is_on_the_way(path)):
                    continue
                is_folder = _is_folder(entry)
                if rules.active and rules.match(path, is_folder=is_folder):
                    continue
                if is_folder:
                    if entry.is_symlink():
                        self._links.append((rules, device, path))
                    else:
                        subfolders.append(path)
                elif path in self._named or self._leads_out(path, entry):
                    continue
                elif is_archive(entry.name):
                    yield from self._archive(path, entry, rules)
                elif self._options.wants(entry.name):
                    self._seen.fruitful.add(rules.source)
                    yield inspect(path, entry)
                else:
                    self._seen.others[posixpath.splitext(entry.name)[1].lower()] += 1
            waiting.extend(reversed(subfolders))

    def _leads_out(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Whether it is a link that is not followed."""
        if self._options.follow_out or not entry.is_symlink():
            return False
        return not self._is_inside(os.path.realpath(path))

    def _is_inside(self, target: str) -> bool:
        return any(f"{target}/".startswith(f"{each.rstrip('/')}/") for each in self._inside)

    def _is_on_the_way(self, path: str) -> bool:
        only = self._only or frozenset()
        if path in only or path in self._way:
            return True
        return any(folder in only for folder in _folders_above(path))

    def _entries(
        self, folder: str, rules: IgnoreRules, device: int
    ) -> list[os.DirEntry[str]] | Skipped:
        """What lies in a folder, in the order of the names; nothing where that is known already."""
        if not storable(folder):
            return Skipped(printable(folder), NO_UTF8)
        try:
            status = os.stat(folder)  # noqa: PTH116
            if self._options.one_file_system and status.st_dev != device:
                return []
            if (status.st_dev, status.st_ino) in self._visited:
                if folder not in self._seen.listed:
                    self._seen.repeated.add(folder)
                return []
            self._visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            return Skipped(printable(folder), f"it cannot be listed ({error.strerror})")
        if any(entry.name == IGNORE_FILE for entry in entries):
            try:
                rules.learn(folder)
            except (OSError, ValueError) as error:
                # What shall be left out is not known, so the whole folder is.
                reason = f"it cannot be read ({getattr(error, 'strerror', None) or error}), so "
                where = f"{folder.rstrip('/')}/{IGNORE_FILE}"
                return Skipped(printable(where), f"{reason}this folder is left out as it is")
        self._seen.listed.add(folder)
        if folder == rules.source:
            self._seen.walked.append(folder)
        return entries

    def _archive(
        self, path: str, entry: os.DirEntry[str], rules: IgnoreRules
    ) -> Iterator[ImageFile | Skipped]:
        # Imported here: few collections have archives, and every search would wait.
        from lookalike.ingest.members import members  # noqa: PLC0415

        file = inspect(path, entry)
        if isinstance(file, Skipped):
            yield file
            return
        for item in members(
            path,
            inside="",
            rules=rules,
            options=self._options,
            seen=self._seen,
            settings=self._settings,
        ):
            if isinstance(item, ImageFile):
                self._seen.fruitful.add(rules.source)
            yield item


def _folders_above(path: str) -> Iterator[str]:
    while (folder := posixpath.dirname(path)) != path:
        yield folder
        path = folder


def inspect(path: str, entry: os.DirEntry[str] | None = None) -> ImageFile | Skipped:
    """A file as it is handed on, or why it cannot be."""
    try:
        status = entry.stat() if entry else os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        reason = getattr(error, "strerror", None) or error
        return Skipped(printable(path), f"it cannot be read ({reason})")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(printable(path), "it is not a regular file")
    return image_file(path, Stamp(status.st_size, status.st_mtime_ns))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False
