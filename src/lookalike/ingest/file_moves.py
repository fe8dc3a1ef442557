"""Files that change places, so that nothing is ever overwritten, half there, or another file."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

_BLOCK_BYTES = 1 << 20
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NOT_THROUGH_LINKS = getattr(os, "O_NOFOLLOW", 0)


class Changed(OSError):
    """A file is not the one that it was a moment ago; it was left as it is."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} was changed meanwhile; index it again")


@dataclass(frozen=True, slots=True)
class Seen:
    """A regular file as it is now; `content` is the BLAKE2b-128 of its bytes in hex."""

    status: os.stat_result
    content: str

    def is_file_of(self, other: Seen) -> bool:
        """Whether both are one file under two names."""
        return os.path.samestat(self.status, other.status)


def look_at(path: str) -> Seen:
    """Read a file that is no link.

    Raises:
        OSError: it is none, or cannot be read.
    """
    with os.fdopen(os.open(path, _OPEN | _NOT_THROUGH_LINKS), "rb") as file:
        status = os.fstat(file.fileno())
        # Where links cannot be refused when opening, the name must be that of what was opened.
        if not stat.S_ISREG(status.st_mode) or not os.path.samestat(status, os.lstat(path)):
            raise OSError(f"{path} is not a regular file")
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return Seen(status, digest.hexdigest())


def free_name(path: str, taken: Container[str] = ()) -> str:
    """A path at which nothing is, and not `taken`: this one, or with a number behind its name."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    number, free = 1, path
    while free in taken or os.path.lexists(free):
        number += 1
        numbered = f"{stem} ({number}){dot}{ending}" if stem else f"{name} ({number})"
        free = f"{folder}{slash}{numbered}"
    return free


def move(source: str, target: str, *, content: str) -> None:
    """Give a file another name, on another disk, too. A kill leaves both names, or the old one.

    Raises:
        FileExistsError: something is at `target`.
        Changed: it has other bytes than `content` says, or was replaced meanwhile.
        OSError: it cannot be moved; it is still at `source`.
    """
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    before = os.lstat(source)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # another disk, or one without hard links
        _copy(source, target)
    with contextlib.ExitStack() as undo:
        undo.callback(Path(target).unlink)
        if not _has(target, content) or not _is_still(source, before):
            raise Changed(source)
        undo.pop_all()
    Path(source).unlink()


def replace_by_link(path: str, keep: str, *, content: str) -> None:
    """Let `path` be another name of the file `keep`, in one step.

    Raises:
        Changed: one of the two has other bytes than `content` says, or was replaced meanwhile.
    """
    with _beside(path) as spare:
        os.link(keep, spare, follow_symlinks=False)
        if not _has(spare, content):
            raise Changed(keep)
        old = f"{spare}.old"
        os.link(path, old, follow_symlinks=False)
        if not _has(old, content) or not os.path.samestat(os.lstat(path), os.lstat(old)):
            raise Changed(path)
        os.replace(spare, path)  # noqa: PTH105
        if not _has(old, content):  # somebody has written into it until now
            os.replace(old, path)  # noqa: PTH105
            raise Changed(path)


def replace_by_copy(path: str, *, mtime_ns: int, mode: int) -> None:
    """Let `path` be a file of its own, with the bytes that it has, in one step."""
    with _beside(path) as spare:
        _copy(path, spare)
        os.chmod(spare, mode)  # noqa: PTH101
        os.utime(spare, ns=(mtime_ns, mtime_ns))
        os.replace(spare, path)  # noqa: PTH105


def to_trash(path: str, *, content: str) -> str:
    """Put a file into the system's trash.

    Returns:
        Where it lies there; empty where that cannot be told.

    Raises:
        Changed: it has other bytes than `content` says.
        OSError: there is no trash, or it does not take the file.
    """
    # Imported here: few commands need it.
    from send2trash import send2trash  # noqa: PLC0415

    seen = look_at(path)
    if seen.content != content or not _is_still(path, seen.status):
        raise Changed(path)
    send2trash(os.fspath(Path(path)))
    return next(_in_trash(path, seen.status), "")


def forget_trash(path: str) -> None:
    """Remove what the trash has noted about a file that is not in it any more."""
    if Path(path).parent.name == "files":
        _note(path).unlink(missing_ok=True)


def _note(path: str) -> Path:
    return Path(path).parent.parent / "info" / f"{Path(path).name}.trashinfo"


def _in_trash(path: str, status: os.stat_result) -> Iterator[str]:
    if sys.platform in ("win32", "darwin"):
        return
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    folders = [Path(home) / "Trash" / "files"]
    for top in Path(path).parents:
        folders += [top / f".Trash-{os.getuid()}/files", top / f".Trash/{os.getuid()}/files"]
    named = [there for folder in folders for there in _under_its_name(folder, Path(path), status)]
    # Another hard link of the same name may have been put there before.
    yield from sorted(named, key=lambda there: not _noted_as_from(there, path))
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.inode() == status.st_ino and os.path.samestat(
                    entry.stat(follow_symlinks=False), status
                ):
                    yield entry.path


def _under_its_name(folder: Path, path: Path, status: os.stat_result) -> Iterator[str]:
    """The file where the trash has it under its own name, or with a number behind that."""
    for number in itertools.count():
        tried = folder / (f"{path.stem} {number}{path.suffix}" if number else path.name)
        try:
            there = os.lstat(tried)
        except OSError:
            return
        if os.path.samestat(there, status):
            yield str(tried)


def _noted_as_from(there: str, path: str) -> bool:
    """Whether the trash's note about a file says that it is from `path`, below its own disk."""
    try:
        note = _note(there).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    (origin,) = re.findall(r"^Path=(.+)$", note, re.MULTILINE)[:1] or [""]
    return bool(origin) and f"/{path}".endswith("/" + unquote(origin))


def _has(path: str, content: str) -> bool:
    return look_at(path).content == content


def _is_still(path: str, before: os.stat_result) -> bool:
    """Whether it is the same file, with no byte written since."""
    now = os.lstat(path)
    return os.path.samestat(now, before) and (now.st_size, now.st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )


def _copy(source: str, target: str) -> None:
    with contextlib.ExitStack() as undo:
        with Path(source).open("rb") as file, Path(target).open("xb") as copy:
            undo.callback(Path(target).unlink)
            shutil.copyfileobj(file, copy, _BLOCK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        shutil.copystat(source, target)
        if look_at(source).content == look_at(target).content:
            undo.pop_all()
            return
    raise OSError(f"{source} was changed while it was copied")


@contextlib.contextmanager
def _beside(path: str) -> Iterator[str]:
    """A name in a new folder beside a file, so on its disk."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent, prefix=".lookalike-") as folder:
        yield os.path.join(folder, "picture")  # noqa: PTH118
