"""Zip files."""

from __future__ import annotations

import stat
import zipfile
from typing import BinaryIO

from lookalike.errors import PictureUnreadable
from lookalike.sources.archives import Archive, Limits, canonical

# Those that can be read in pieces: a few bytes of bzip2 become gigabytes at once.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipArchive(Archive):
    """An open zip file."""

    def __init__(self, path: str, file: BinaryIO, limits: Limits) -> None:
        super().__init__(path, file)
        self._zip = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        entries = self._zip.infolist()
        if len(entries) > limits.members:
            reason = f"it has {len(entries)} files, more than {limits.members}"
            raise PictureUnreadable(path, f"{reason} (LOOKALIKE_MAX_ARCHIVE_MEMBERS)")
        for entry in entries:
            if entry.is_dir():
                continue
            name = canonical(entry.filename)
            if name is None:
                self.contents.refuse(entry.filename, "its name leads out of the archive")
            elif fault := _fault(entry):
                self.contents.refuse(name, fault)
            else:
                self._members[name] = entry
                self.contents.accept(name, entry.file_size)

    def _bytes_of(self, name: str, most: int) -> bytes:
        with self._zip.open(self._members[name]) as member:
            return member.read(most)


def _fault(entry: zipfile.ZipInfo) -> str:
    if entry.flag_bits & 1:
        return "it is encrypted"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "it is no regular file in the archive"
    if entry.compress_type not in _COMPRESSIONS:
        return "it is compressed in an unusual way; pack the archive again"
    return ""
