"""What is done with duplicates: moved away, replaced by hard links, or put into the trash.

Never the last copy. Right before a file is touched, it and the one that is kept are read again:
both must be regular files, two different ones, and the very bytes that were compared. Files of
archives and storages are left alone; so is what is reached through a link.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lookalike.ingest import file_moves
from lookalike.ingest.undo import Entry, UndoFile
from lookalike.records import (
    Disposal,
    Duplicate,
    DuplicateGroup,
    ImageRecord,
    Stamp,
    row_id,
)
from lookalike.sources.names import is_address, parent, split_member

ACTIONS = ("move", "hardlink", "trash")


class Store(Protocol):
    """What disposing needs of a store."""

    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def delete(self, ids: list[str]) -> None: ...  # noqa: D102


def preview(
    groups: Iterable[DuplicateGroup], action: str, *, to: str | None, within: Sequence[str]
) -> Iterator[Disposal]:
    """What `dispose` would do, as far as it can be told without reading the files."""
    taken: set[str] = set()
    for keep, other in _pairs(groups):
        refused = _refused(keep, other, action, within, to)
        target = ""
        if to and not refused:
            target = file_moves.free_name(_place(other.path, within, to), taken)
            taken.add(target)
        yield Disposal(action, other.path, keep=keep.path, target=target, refused=refused)


def dispose(
    groups: Iterable[DuplicateGroup],
    action: str,
    *,
    to: str | None,
    within: Sequence[str],
    store: Store,
    undo_file: UndoFile,
) -> Iterator[Disposal]:
    """Do it, file by file; the rows follow at once.

    Args:
        groups: what was found; of each the kept one stays.
        action: one of the `ACTIONS`.
        to: the folder that files are moved to.
        within: the folders that were asked about; nothing outside them is touched, whatever links
            are in them. Without any, nothing is touched that lies behind a link.
        store: where the rows are.
        undo_file: what is about to be done is written there first.
    """
    for keep, other in _pairs(groups):
        refused = _refused(keep, other, action, within, to)
        target = ""
        if not refused:
            try:
                target, refused = _dispose(keep, other, action, to, within, store, undo_file)
            except file_moves.Changed as error:
                refused = str(error)
            except OSError as error:
                refused = f"the system refused ({error.strerror or error})"
        yield Disposal(action, other.path, keep=keep.path, target=target, refused=refused)


def _pairs(groups: Iterable[DuplicateGroup]) -> Iterator[tuple[Duplicate, Duplicate]]:
    for group in groups:
        for other in group.others:
            yield group.keep, other


def _dispose(
    keep: Duplicate,
    other: Duplicate,
    action: str,
    to: str | None,
    within: Sequence[str],
    store: Store,
    undo_file: UndoFile,
) -> tuple[str, str]:
    kept, seen = file_moves.look_at(keep.path), file_moves.look_at(other.path)
    if seen.is_file_of(kept):
        return "", _ONE_FILE
    if kept.content != keep.content:
        return "", f"what would be kept, {keep.path}, has been changed; index it again"
    if seen.content != other.content:
        return "", "it has been changed; index it again"
    rows = store.records([row_id(other.path)])
    entry = Entry(
        action=action,
        path=other.path,
        keep=keep.path,
        content=other.content,
        mtime_ns=seen.status.st_mtime_ns,
        mode=stat.S_IMODE(seen.status.st_mode),
        target=file_moves.free_name(_place(other.path, within, to)) if to else "",
        metadata=rows[0].metadata if rows else {},
    )
    undo_file.write(entry)
    target = _ACT[action](entry)
    if target != entry.target:
        undo_file.write(replace(entry, target=target))
    if action == "hardlink":
        status = os.stat(other.path)  # noqa: PTH116
        stamp = Stamp(status.st_size, status.st_mtime_ns)
        store.upsert([replace(row, stamp=stamp) for row in rows])
    else:
        store.delete([row_id(other.path)])
    return target, ""


def _move(entry: Entry) -> str:
    file_moves.move(entry.path, entry.target, content=entry.content)
    return entry.target


def _link(entry: Entry) -> str:
    file_moves.replace_by_link(entry.path, entry.keep, content=entry.content)
    return ""


_ACT: dict[str, Callable[[Entry], str]] = {
    "move": _move,
    "hardlink": _link,
    "trash": lambda entry: file_moves.to_trash(entry.path, content=entry.content),
}
_ONE_FILE = "it is the same file as the one that is kept, under another name"


def _refused(
    keep: Duplicate, other: Duplicate, action: str, within: Sequence[str], to: str | None
) -> str:
    """Why a file is left alone, as far as it can be told without reading it; else empty."""
    if action == "hardlink" and other.kind != "exact":
        return "it has other bytes than the one that is kept"
    if fault := _no_file(other.path):
        return f"it {fault}"
    if fault := _no_file(keep.path):
        return f"what would be kept, {keep.path}, {fault}"
    if Path(keep.path).samefile(other.path):
        return _ONE_FILE
    return _misplaced(keep, other, within, to)


def _misplaced(keep: Duplicate, other: Duplicate, within: Sequence[str], to: str | None) -> str:
    if within and _root(other.path, within) is None:
        return "it lies outside the folders that were named"
    if _outside(other.path, within):
        return "a link leads to it; name the folder that it really lies in"
    if to is not None and _lies_in(other.path, to):
        return f"it lies in {to} already"
    if to is not None and _lies_in(keep.path, to):
        return f"what would be kept, {keep.path}, lies in {to} itself"
    return ""


def _lies_in(path: str, folder: str) -> bool:
    """Whether a file is below a folder, whatever links lead to the two."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _no_file(path: str) -> str:
    """Why something is no file on the disk, or none of its own; else empty."""
    if is_address(path):
        return "lies in a storage"
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return "lies in an archive" if split_member(path) else "is not there any more"
    if stat.S_ISLNK(mode):
        return "is a link"
    return "" if stat.S_ISREG(mode) else "is not a regular file"


def _root(path: str, within: Sequence[str]) -> str | None:
    """The one of the folders that a path lies in; the innermost, where there are several."""
    folders = [parent(path) if folder == path else folder.rstrip("/") for folder in within]
    around = [folder for folder in folders if path.startswith(f"{folder}/")]
    return max(around, key=len, default=None)


def _outside(path: str, within: Sequence[str]) -> bool:
    """Whether links lead to it, below the folder that was asked about or anywhere."""
    real = Path(os.path.realpath(parent(path) or "/")).as_posix()
    root = _root(path, within)
    if root is None:
        return real != (parent(path) or "/")
    real_root = Path(os.path.realpath(root or "/")).as_posix()
    return posixpath.normpath(f"{real_root}/{parent(path)[len(root) :]}") != real


def _place(path: str, within: Sequence[str], to: str) -> str:
    """Where a file is moved to: as deep in `to` as it lay in the folder that was asked about."""
    root = _root(path, within)
    inner = path[len(root) :] if root is not None else path[len(Path(path).anchor) :]
    return f"{to.rstrip('/')}/{inner.lstrip('/')}"
