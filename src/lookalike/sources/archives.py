"""Zip and tar files as folders: nothing is ever unpacked under a name of its own.

A member's name is what stands in the archive without ``./`` and leading slashes, which many tools
write. A name that occurs twice is that of the last member, as for those who unpack.
"""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO

from lookalike.errors import PictureDamaged, PictureUnreadable
from lookalike.sources.local import too_large
from lookalike.sources.names import printable

# What the libraries raise for damaged bytes: besides their own errors, whatever these break.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
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
    """The most that is looked into: how many members, and how many bytes once decompressed."""

    members: int
    unpacked_bytes: int


@dataclass(slots=True)
class Contents:
    """What lies in an archive.

    `sizes` are those of the members in bytes, by name, in the order of the archive; `unusable`
    tells why others cannot be read. `damage` is empty where everything has been seen.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    damage: str = ""

    def accept(self, name: str, size: int) -> None:
        """Note a member; it hides an earlier one of its name."""
        self.unusable.pop(name, None)
        self.sizes[name] = size

    def refuse(self, name: str, reason: str) -> None:
        """Note why a member cannot be read; it hides an earlier one of its name."""
        self.sizes.pop(name, None)
        self.unusable[printable(name)] = reason


class ArchiveClosed(Exception):
    """Somebody else has closed the archive meanwhile."""


class Archive:
    """An open archive; its methods may be called from several threads."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path, self.contents = path, Contents()
        self._file, self._lock = file, threading.Lock()
        self._status = os.fstat(file.fileno())

    @property
    def mtime_ns(self) -> int:
        """When the archive was last changed, as of its opening."""
        return self._status.st_mtime_ns

    def is_current(self) -> bool:
        """Whether the file of this name is still the one that was opened."""
        try:
            now = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return all(
            getattr(now, name) == getattr(self._status, name)
            for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns")
        )

    def read(self, name: str, *, max_bytes: int, path: str) -> bytes:
        """The bytes of a member; `path` is only named in errors.

        Raises:
            PictureUnreadable: there is no such member.
            PictureDamaged: it is damaged, encrypted or larger than `max_bytes`.
            ArchiveClosed: it was closed.
        """
        if reason := self.contents.unusable.get(name):
            raise PictureDamaged(path, reason)
        size = self.contents.sizes.get(name)
        if size is None:
            reason = f"there is no such file in {self.path}"
            raise PictureUnreadable(path, reason + (self.contents.damage and ", which is damaged"))
        if size > max_bytes:
            raise PictureDamaged(path, too_large(size, max_bytes))
        with self._lock:
            if self._file.closed:
                raise ArchiveClosed
            try:
                # One more than it says to have: that may be a lie.
                data = self._bytes_of(name, size + 1)
            except DAMAGED as error:
                raise PictureDamaged(path, f"it is damaged in the archive ({error})") from error
            except OSError as error:
                raise PictureUnreadable(path, f"it cannot be read ({error.strerror})") from error
        if len(data) != size:
            # Of an archive that was cut off, it may only be the rest that is missing.
            kind = PictureUnreadable if self.contents.damage else PictureDamaged
            raise kind(path, "it is damaged in the archive (its size is not as stated)")
        return data

    @abstractmethod
    def _bytes_of(self, name: str, most: int) -> bytes:
        """The first `most` bytes of a member that is in `contents.sizes`."""

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def open_archive(path: str, *, limits: Limits, to_read: bool = True) -> Archive:
    """Open an archive and read what lies in it.

    Args:
        path: the file.
        limits: beyond which it is refused.
        to_read: whether members will be read; a compressed tar file is for that decompressed into
            a temporary file without a name.

    Raises:
        PictureUnreadable: it cannot be opened, or is damaged or too large as a whole.
    """
    # Imported here: few collections have archives, and every search would wait.
    from lookalike.sources.tars import TarArchive  # noqa: PLC0415
    from lookalike.sources.zips import ZipArchive  # noqa: PLC0415

    with _mapped(path):
        file = open(path, "rb", opener=_regular)  # noqa: SIM115
        try:
            if path.lower().endswith((".zip", ".cbz")):
                return ZipArchive(path, file, limits)
            return TarArchive(path, file, limits, to_read=to_read)
        except BaseException:
            file.close()
            raise


def _regular(path: str, flags: int) -> int:
    """Opens a file, and does not wait for somebody to write to a pipe."""
    fd = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PictureUnreadable(path, "it is not a regular file")
    return fd


@contextmanager
def _mapped(path: str) -> Iterator[None]:
    """Errors of the libraries as what they mean for an archive as a whole."""
    try:
        yield
    except OSError as error:
        # Those without a number are of gzip and bz2, EINVAL is a place before the beginning.
        if error.errno is None:
            raise PictureUnreadable(path, f"the archive is damaged ({error})") from error
        raise PictureUnreadable(path, f"it cannot be read ({error.strerror})") from error
    except DAMAGED as error:
        raise PictureUnreadable(path, f"the archive is damaged ({error})") from error


def canonical(name: str) -> str | None:
    """A member's name without empty parts and ``.``; None where it could lie anywhere else."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts or "\0" in name or not parts else "/".join(parts)
