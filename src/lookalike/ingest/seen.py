"""What a scan has come across so far."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import dataclass, field

from lookalike.decode import EXTENSIONS
from lookalike.records import ImageFile, Skipped, Stamp
from lookalike.sources.names import fault_of, printable


@dataclass(frozen=True)
class ScanOptions:
    """What is left out, beside what is hidden.

    `exclude` holds patterns as in ``.gitignore``, relative to each source folder. With `all_files`
    every regular file is handed on, whatever its name; its content decides. `one_file_system`
    leaves out folders on others than that of their source; without `follow_out`, what links lead to
    is left out where it lies outside of the source folders.
    """

    exclude: tuple[str, ...] = ()
    all_files: bool = False
    one_file_system: bool = False
    follow_out: bool = True

    def wants(self, name: str) -> bool:
        """Whether a file of this name may be a picture."""
        return self.all_files or posixpath.splitext(name)[1].lower() in EXTENSIONS


EVERYTHING = ScanOptions()


@dataclass
class Seen:
    """What a scan has come across so far.

    `listed` holds folders whose names were all read, and as such also the folders in archives and
    storages. `others` counts the files in folders that are no pictures by their names, by ending.
    `names` holds hashes of what lay in the latter two: a tenth of the memory, and two
    names with the same hash cost no more than that a row stays.
    """

    listed: set[str] = field(default_factory=set)
    walked: list[str] = field(default_factory=list)
    fruitful: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    names: set[int] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)


def image_file(path: str, stamp: Stamp) -> ImageFile | Skipped:
    """A file as it is handed on, if its path can be stored."""
    fault = fault_of(path)
    return Skipped(printable(path), fault) if fault else ImageFile(path, stamp)
