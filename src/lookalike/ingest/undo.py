"""What was done with files, so that it can be undone: a line of JSON each, written beforehand.

A line says what is about to be done; it is on the disk before that is done. A second line with the
same path says where the file lies now. So a kill, or a power cut, leaves nothing unrecorded.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lookalike.errors import UndoFileUnusable
from lookalike.ingest import file_moves
from lookalike.records import Disposal, Fields
from lookalike.settings import default_database


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done with one file: the `action`, and what it takes to have it back."""

    action: str
    path: str
    keep: str
    content: str
    mtime_ns: int
    mode: int
    target: str = ""
    metadata: Fields = field(default_factory=dict)


class UndoFile:
    """The file, which is made by the first line. A context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take its name; there must be nothing."""
        self.path = os.fspath(path)
        self._file: Any = None

    def write(self, entry: Entry) -> None:
        """Add a line, which is on the disk when this returns.

        Raises:
            UndoFileUnusable: it cannot be written.
        """
        try:
            if self._file is None:
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
                self._file = Path(self.path).open("x", encoding="utf-8")  # noqa: SIM115
            self._file.write(json.dumps(asdict(entry)) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            reason = f"cannot be written ({error.strerror}); nothing is done without it"
            raise UndoFileUnusable(self.path, reason) from error

    def __enter__(self) -> UndoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def new_undo_file() -> str:
    """A name for one, beside the default database: the time."""
    folder = Path(default_database()).parent / "undo"
    now = time.strftime("%Y-%m-%d-%H%M%S")
    return file_moves.free_name((folder / f"{now}.jsonl").as_posix())


def read(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries, the last first.

    Raises:
        UndoFileUnusable: it is not there, or no such file.
    """
    entries: dict[str, Entry] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or 'it is no text'})"
        raise UndoFileUnusable(os.fspath(path), reason) from error
    for number, line in enumerate(lines, 1):
        try:
            entry = _entry(json.loads(line))
        except (ValueError, TypeError):
            if number == len(lines):
                continue  # cut off, so what it speaks of was not done
            reason = f"is no undo file of lookalike's: see its line {number}"
            raise UndoFileUnusable(os.fspath(path), reason) from None
        entries.pop(entry.path, None)
        entries[entry.path] = entry
    return list(reversed(entries.values()))


def _entry(values: dict[str, Any]) -> Entry:
    """What a line says.

    Raises:
        ValueError: it is of another kind.
        TypeError: so it is.
    """
    entry = Entry(**values)
    kinds = {"mtime_ns": int, "mode": int, "metadata": dict}
    for name, value in asdict(entry).items():
        if type(value) is not kinds.get(name, str):
            raise ValueError(name)
    if entry.action not in {"move", "hardlink", "trash"}:
        raise ValueError(entry.action)
    return entry


def preview(entries: list[Entry]) -> Iterator[Disposal]:
    """What `undo` would do, as far as it can be told without reading the files."""
    for entry in entries:
        done = Disposal("undo", entry.path, keep=entry.keep, target=entry.target)
        if entry.action == "hardlink":
            there = os.path.lexists(entry.path)
            yield replace(done, refused="" if there else f"{entry.path} is gone")
        elif entry.target and not os.path.lexists(entry.target):
            yield replace(done, refused=f"{entry.target} is gone")
        else:
            yield replace(done, refused="" if entry.target else _nowhere(entry))


def undo(entries: list[Entry]) -> Iterator[tuple[Entry, Disposal]]:
    """Put each file back, or say why not. Nothing is overwritten."""
    for entry in entries:
        done = Disposal("undo", entry.path, keep=entry.keep, target=entry.target)
        try:
            refused = _undo_link(entry) if entry.action == "hardlink" else _undo_move(entry)
        except file_moves.Changed as error:
            refused = str(error)
        except OSError as error:
            refused = f"the system refused ({error.strerror or error})"
        yield entry, replace(done, refused=refused)


def _undo_link(entry: Entry) -> str:
    path, keep = file_moves.look_at(entry.path), file_moves.look_at(entry.keep)
    if not path.is_file_of(keep):
        return "it is a file of its own"
    if path.content != entry.content:
        return "it has been changed since"
    file_moves.replace_by_copy(entry.path, mtime_ns=entry.mtime_ns, mode=entry.mode)
    return ""


def _undo_move(entry: Entry) -> str:
    if not entry.target:
        return _nowhere(entry)
    try:
        moved = file_moves.look_at(entry.target)
    except FileNotFoundError:
        return f"{entry.target} is gone"
    if moved.content != entry.content:
        return f"{entry.target} is another file now"
    if not os.path.lexists(entry.path):
        file_moves.move(entry.target, entry.path, content=entry.content)
    elif os.path.samestat(os.lstat(entry.path), moved.status):
        # Two names of one file: a kill came between the new name and the old one's end. Or one
        # name, written in two ways, whose end would be the file's.
        if moved.status.st_nlink == 1 or _real(entry.path) == _real(entry.target):
            return "it is in its place already"
        Path(entry.target).unlink()
    else:
        return "there is something at its place"
    if entry.action == "trash":
        file_moves.forget_trash(entry.target)
    return ""


def _real(path: str) -> tuple[int, int, str]:
    """What a name really is: the folder that it is in, and what it is called there."""
    folder, name = os.path.split(path)
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino, name


def _nowhere(entry: Entry) -> str:
    with contextlib.suppress(OSError):
        if file_moves.look_at(entry.path).content == entry.content:
            return "nothing was done with it"
    return "it cannot be told where it lies; take it out of the trash yourself"
