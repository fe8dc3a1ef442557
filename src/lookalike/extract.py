"""A zip file becomes folders: every entry is checked before the first one is written."""

from __future__ import annotations

import errno
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import DownloadFailed

CHUNK_BYTES = 1 << 20

# What zipfile raises for damaged bytes: besides its own error, whatever they happen to break.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is unpacked: how many entries, and how many bytes of all files together."""

    entries: int = 100_000
    total_bytes: int = 4_000_000_000


class _Refused(Exception):
    """The archive is damaged, dangerous or another one than expected."""


def extract(
    archive: Path,
    into: Path,
    *,
    folders: Sequence[str],
    url: str,
    limits: Limits = Limits(),
) -> None:
    """Unpack these top folders of a zip file, and remove the zip file.

    Everything is unpacked into a temporary folder beside the archive, and each folder is moved
    into place as a whole, so that a folder that is there is complete. One that is there already
    is left as it is. What the zip file holds beside these folders is left out.

    Args:
        archive: the zip file, on the same file system as `into`.
        into: where the folders come to lie.
        folders: names of top folders; each must hold a file.
        url: where the archive is from, only named in errors.
        limits: how much is unpacked at most.

    Raises:
        DownloadFailed: it is no zip file, a damaged or another one, has an entry that would lie
            elsewhere, is no plain file, or is more than the limits. The archive is removed, and
            nothing else has changed.
        OSError: the files cannot be written; the archive is kept.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="unpacked-", dir=archive.parent) as temporary:
            unpacked = Path(temporary)
            _unpack(archive, unpacked, folders, limits)
            for folder in folders:
                if not (into / folder).exists():
                    (unpacked / folder).rename(into / folder)
    except _Refused as refused:
        archive.unlink()
        raise DownloadFailed(
            url, f"{refused}; it was removed, check the address or try again"
        ) from refused
    archive.unlink()


def _unpack(archive: Path, into: Path, folders: Sequence[str], limits: Limits) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            files = _checked(opened.infolist(), folders, limits)
            left = limits.total_bytes
            for entry in files:
                target = into / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    for chunk in _chunks(opened, entry):
                        # Counted here too: the size that an entry states may be a lie.
                        left -= len(chunk)
                        if left < 0:
                            raise _too_large(limits)
                        file.write(chunk)
    except (FileExistsError, NotADirectoryError) as error:
        raise _Refused("two entries of the zip file have the same name") from error
    except _DAMAGED as error:
        raise _Refused(_damage(archive)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning of the archive
            raise
        raise _Refused(_damage(archive)) from error


def _checked(
    entries: list[zipfile.ZipInfo], folders: Sequence[str], limits: Limits
) -> list[zipfile.ZipInfo]:
    """The files to unpack; refuses the archive if any of its entries is not harmless."""
    if len(entries) > limits.entries:
        raise _Refused(f"the zip file has {len(entries)} entries, more than {limits.entries}")
    if sum(entry.file_size for entry in entries) > limits.total_bytes:
        raise _too_large(limits)
    for entry in entries:
        if fault := _fault(entry):
            raise _Refused(f"the zip file's entry {entry.orig_filename!r} {fault}")
    files = [entry for entry in entries if not entry.is_dir()]
    for folder in folders:
        if not any(entry.filename.startswith(f"{folder}/") for entry in files):
            raise _Refused(f"the zip file holds no files in a folder {folder}")
    return [entry for entry in files if entry.filename.split("/")[0] in folders]


def _fault(entry: zipfile.ZipInfo) -> str:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    # The name as it stands in the archive, and what zipfile makes of it: it cuts it at a NUL, and
    # may take another one from an extra field.
    return _fault_of_name(entry.orig_filename) or _fault_of_name(entry.filename)


def _fault_of_name(name: str) -> str:
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if "\\" in name or ":" in name or not name.isprintable():
        return "has an impossible name"
    # Windows drops dots and spaces at the end of a name, so "..  " is ".." there.
    if not all(part.rstrip(". ") for part in name.removesuffix("/").split("/")):
        return "would lie elsewhere"
    return ""


def _chunks(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with opened.open(entry) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _too_large(limits: Limits) -> _Refused:
    return _Refused(f"unpacked it would be more than {limits.total_bytes / 1e6:.0f} MB")


def _damage(archive: Path) -> str:
    with archive.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK"):
        return "the zip file is damaged"
    return f"this is no zip file (it begins with {start.decode('ascii', 'replace')!r})"
