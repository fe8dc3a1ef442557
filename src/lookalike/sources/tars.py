"""Tar files, plain and compressed."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from typing import BinaryIO, cast

from lookalike.errors import PictureUnreadable
from lookalike.sources.archives import Archive, Limits, canonical

BLOCK_BYTES = tarfile.BLOCKSIZE
CHUNK_BYTES = 1 << 20

_BROKEN = (EOFError, lzma.LZMAError, zlib.error, ValueError)


class TarArchive(Archive):
    """An open tar file; one that is compressed is read from a plain copy."""

    def __init__(self, path: str, file: BinaryIO, limits: Limits, *, to_read: bool) -> None:
        super().__init__(path, file)
        self._places: dict[str, int] = {}
        stream = _decompressed(file)
        if stream is not file and to_read:
            self._file = _copied(stream, limits, path)
            file.close()
            stream = self._file
        try:
            self._list(_Bounded(stream, limits.unpacked_bytes), limits)
        except tarfile.TarError as error:
            # What lies before the damage is whole.
            self.contents.damage = f"the archive is damaged ({error})"
        except BaseException:
            self._file.close()
            raise

    def _list(self, stream: _Bounded, limits: Limits) -> None:
        count = 0
        with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else all are kept
                count += 1
                if count > limits.members:
                    reason = f"it has more than {limits.members} files"
                    raise PictureUnreadable(self.path, f"{reason} (LOOKALIKE_MAX_ARCHIVE_MEMBERS)")
                if not member.isdir():
                    self._note(member)
        # tarfile takes damage between two members for the end, at which zeros must stand.
        if stream.last != bytes(BLOCK_BYTES):
            self.contents.damage = "the archive is damaged (it ends too early)"

    def _note(self, member: tarfile.TarInfo) -> None:
        name = canonical(member.name)
        if name is None:
            self.contents.refuse(member.name, "its name leads out of the archive")
            return
        if member.islnk():
            target = canonical(member.linkname) or ""
            place, size = self._places.get(target), self.contents.sizes.get(target)
        elif member.isreg() and not member.issparse():
            place, size = member.offset_data, member.size
        else:
            place = size = None
        if place is None or size is None:
            self.contents.refuse(name, "it is no regular file in the archive")
        else:
            self._places[name] = place
            self.contents.accept(name, size)

    def _bytes_of(self, name: str, most: int) -> bytes:
        self._file.seek(self._places[name])
        return self._file.read(most - 1)


class _Bounded:
    """A stream that refuses to go on for ever, and remembers the last block that was read."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.last = b""

    def read(self, size: int) -> bytes:
        # A header may claim to have any length.
        if not 0 <= size <= CHUNK_BYTES:
            raise tarfile.ReadError("a header is too long")
        try:
            self.last = self._stream.read(size)
        except (OSError, *_BROKEN) as error:
            raise _as_damage(error) from error
        return self.last

    def seek(self, place: int) -> None:
        if place > self._limit:
            raise tarfile.ReadError(
                f"unpacked it has more than LOOKALIKE_MAX_ARCHIVE_BYTES={self._limit} bytes"
            )
        try:
            self._stream.seek(place)
        except (OSError, *_BROKEN) as error:
            raise _as_damage(error) from error

    def tell(self) -> int:
        return self._stream.tell()


def _as_damage(error: Exception) -> Exception:
    real = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return error if real else tarfile.ReadError(str(error))


def _decompressed(file: BinaryIO) -> BinaryIO:
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast("BinaryIO", bz2.BZ2File(file))
    if start == b"\xfd7zXZ\x00":
        return cast("BinaryIO", lzma.LZMAFile(file))
    return file


def _copied(stream: BinaryIO, limits: Limits, path: str) -> BinaryIO:
    """A temporary file without a name that holds the decompressed bytes, up to any damage."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    place = tempfile.gettempdir()
    try:
        room = shutil.disk_usage(place).free // 2
        while (chunk := _chunk(stream)) and copy.tell() <= limits.unpacked_bytes:
            _check_room(copy.tell() + len(chunk), room, place=place, path=path)
            copy.write(chunk)
        copy.seek(0)
    except OSError as error:
        copy.close()
        reason = f"it cannot be unpacked in {place} ({error.strerror}); TMPDIR names another place"
        raise PictureUnreadable(path, reason) from error
    except BaseException:
        copy.close()
        raise
    return cast("BinaryIO", copy)


def _check_room(size: int, room: int, *, place: str, path: str) -> None:
    if size > room:
        reason = f"unpacked it would take more than half of what is free in {place}"
        raise PictureUnreadable(path, f"{reason} ({room} bytes); TMPDIR names another place")


def _chunk(stream: BinaryIO) -> bytes:
    """Some more bytes; none where the stream ends or is damaged."""
    try:
        # Unlike read, it does not lose what comes before the damage.
        return cast("io.BufferedReader", stream).read1(CHUNK_BYTES)
    except _BROKEN:
        return b""
    except OSError as error:
        if error.errno is None:
            return b""
        raise
