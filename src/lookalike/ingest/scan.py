"""Whatever can be named becomes a stream of files that may be pictures."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lookalike.errors import PictureError, SourceNotFound
from lookalike.ingest.folders import FolderWalk, inspect
from lookalike.ingest.ignore import IgnoreRules
from lookalike.ingest.seen import EVERYTHING, ScanOptions, Seen, image_file
from lookalike.records import ImageFile, Skipped
from lookalike.settings import Settings
from lookalike.sources import names
from lookalike.sources.names import absolute, is_address, is_archive, printable, split_member

if TYPE_CHECKING:
    from lookalike.sources.remote import Entry

__all__ = ["EVERYTHING", "Scan", "ScanOptions", "Source"]

Source = str | os.PathLike[str]


class Scan:
    """The pictures in some folders, archives and storages, and single ones, each once.

    Iterating yields `ImageFile` in the order of the sources and of the names within a folder, and
    `Skipped` for what was meant but cannot be read. Hidden files and folders are left out, and what
    the options and ``.lookalikeignore`` files say, but nothing that is itself a source. Links are
    followed, links to folders after everything else on the disk, and no folder is listed twice.
    Afterwards, `listed` holds every folder whose names were all read, `walked` the source folders
    that do not lie inside others, `fruitful` those of them below which there was a picture, and
    `repeated` the other names of folders listed before, `others` how many files there were, by
    ending, that are no pictures by their names. An archive and what lies in it count as
    folders: ``/a.zip!`` and ``/a.zip!/b``.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        options: ScanOptions = EVERYTHING,
        more: Iterable[Source] | None = None,
        only: Collection[str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Resolve the sources: absolute, outer folders before those inside them.

        Args:
            sources: folders, files, archives, members of them, addresses, and patterns with ``*``.
            options: what is left out.
            more: further sources, which are taken one by one while iterating; of these a missing
                one is skipped.
            only: absolute paths; in source folders nothing else is looked at, and what is below.
            settings: limits.

        Raises:
            SourceNotFound: one of them does not exist, or cannot be reached.
            InvalidSetting: a pattern of the options is none.
            ExtraMissing: an optional library is needed for an address.
        """
        self._options, self._more = options, more
        self._settings = settings or Settings()
        self._seen = Seen()
        self.listed, self.walked = self._seen.listed, self._seen.walked
        self.fruitful, self.repeated = self._seen.fruitful, self._seen.repeated
        self.others = self._seen.others
        IgnoreRules("", options.exclude)  # says what is wrong with them before anything is done
        paths = sorted({path for source in sources for path in _resolved(source)})
        self._entries = {path: _check_source(path, self._settings) for path in paths}
        self.folders = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112
        self._named = frozenset(paths).difference(self.folders)
        self.files = sorted(self._named)
        self._rules: list[IgnoreRules] = []
        self._handed: set[int] | None = None if more is None else set()
        if any(is_address(path) or split_member(path) for path in self.files):
            self._handed = set()
        self._walk = FolderWalk(
            named=self._named, only=only, options=options, seen=self._seen, settings=self._settings
        )

    def __iter__(self) -> Iterator[ImageFile | Skipped]:
        """Walk the sources."""
        yield from self._once(self._all())
        for source in self._more or ():
            yield from self._once(self._one_more(source))

    def _all(self) -> Iterator[ImageFile | Skipped]:
        for path in self.files:
            yield from self._single(path, self._entries[path])
        for folder in self.folders:
            yield from self._walk.walk(self._rules_of(folder))
        yield from self._walk.follow_links()

    def _one_more(self, source: Source) -> Iterator[ImageFile | Skipped]:
        try:
            path = absolute(source)
            entry = _check_source(path, self._settings)
        except SourceNotFound as error:
            yield Skipped(printable(error.path), f"it {error.reason}")
            return
        if os.path.isdir(path):  # noqa: PTH112
            yield from self._walk.walk(self._rules_of(path))
            yield from self._walk.follow_links()
        else:
            yield from self._single(path, entry)

    def _single(self, path: str, entry: Entry | None) -> Iterator[ImageFile | Skipped]:
        """What is not a folder on the disk: a file, an archive, one's member, an address."""
        if entry:
            yield from self._address(entry)
            return
        member = None if names.exists(path) else split_member(path)
        if member is None and not (is_archive(path) and os.path.isfile(path)):  # noqa: PTH113
            yield inspect(path)
            return
        # Imported here: few collections have archives, and every search would wait.
        from lookalike.ingest.members import members  # noqa: PLC0415

        archive, inside = member or (path, "")
        root = f"{archive}!/{inside}".rstrip("/")
        for item in members(
            archive,
            inside=inside,
            rules=self._rules_of(root),
            options=self._options,
            seen=self._seen,
            settings=self._settings,
        ):
            if isinstance(item, ImageFile):
                self.fruitful.add(root)
            yield item
        if root in self.listed:
            self.walked.append(root)

    def _address(self, entry: Entry) -> Iterator[ImageFile | Skipped]:
        from lookalike.ingest.objects import objects  # noqa: PLC0415
        from lookalike.sources.remote import Storage  # noqa: PLC0415

        if entry.stamp:
            yield image_file(entry.address, entry.stamp)
            return
        yield from objects(
            Storage(entry.address, reads=self._settings.network_reads),
            rules=self._rules_of(entry.address),
            options=self._options,
            seen=self._seen,
            at_once=self._settings.network_reads,
        )

    def _rules_of(self, source: str) -> IgnoreRules:
        self._rules.append(IgnoreRules(source, self._options.exclude))
        return self._rules[-1]

    def _once(self, items: Iterator[ImageFile | Skipped]) -> Iterator[ImageFile | Skipped]:
        """Without what was handed on before, where sources may overlap in ways not seen before."""
        if self._handed is None:
            yield from items
            return
        for item in items:
            key = hash(item.path)
            if key not in self._handed:
                self._handed.add(key)
                yield item

    def exists(self, path: str) -> bool:
        """False only where it is certain that there is no such thing any more.

        Of archives and storages that is what was listed by this scan.
        """
        if is_address(path):
            return names.parent(path) not in self.listed or hash(path) in self._seen.names
        if names.exists(path):
            return True
        member = split_member(path)
        if member is None or not names.exists(member[0]):
            return False
        root = f"{member[0]}!"
        return root not in self.listed or path == root or hash(path) in self._seen.names

    def leaves_out(self, path: str) -> bool:
        """Whether the rules leave out this path, which lies below the sources.

        What is itself a source is never left out, nor what another source does not leave out, nor
        what lies in a folder that could not be listed, for rules of its own may be in it.
        """
        if path in self._named or (self._handed and hash(path) in self._handed):
            return False
        of_it = [rules for rules in self._rules if path.startswith(f"{rules.source.rstrip('/')}/")]
        if not of_it:
            return False
        part, folder = path, names.parent(path)
        while (folder or "/") not in self.listed:
            if not folder:
                return False
            part, folder = folder, names.parent(folder)
        is_archive_itself = part.endswith("!") and is_archive(part[:-1])
        is_folder = part != path and not is_archive_itself
        name = part[:-1] if is_archive_itself else part
        return all(rules.leaves_out(name, is_folder=is_folder) for rules in of_it)


def _resolved(source: Source) -> list[str]:
    """The paths that are meant: more than one for a pattern that the shell has left as it is."""
    path = absolute(source)
    if is_address(path) or not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    if split_member(path):
        return [path]
    found = [absolute(match) for match in glob.iglob(path, recursive=True)]  # noqa: PTH207
    if not found:
        raise SourceNotFound(printable(path), "does not exist, and as a pattern matches nothing")
    return found


def _check_source(path: str, settings: Settings) -> Entry | None:
    """What lies at an address; of a path, only whether there is anything."""
    if is_address(path):
        from lookalike.sources.remote import NotThere, Storage  # noqa: PLC0415

        try:
            return Storage(path, reads=settings.network_reads).entry(path)
        except NotThere:
            raise SourceNotFound(path, "does not exist") from None
        except PictureError as error:
            raise SourceNotFound(path, error.reason.removeprefix("it ")) from error
    member = split_member(path)
    try:
        if not (member and os.path.lexists(member[0])):
            os.lstat(path)
    except FileNotFoundError:
        raise SourceNotFound(path, "does not exist") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceNotFound(path, f"cannot be reached ({reason})") from error
    return None
