"""What has to be done, from what lies on the disk and what the store has. Nothing here does I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lookalike.records import Fields, ImageFile, Stamp, Twin, row_id

SIZES_AT_ONCE = 1000  # a store answers about so many rows of the same sizes, and no more


@dataclass(frozen=True, slots=True)
class Task:
    """A file that must be read; `known` where it has a row, which is out of date.

    `metadata` is what its new row shall have of the user's own fields; None is nothing that was
    said or stored. `twins` are rows that may be of the same bytes.
    """

    file: ImageFile
    known: bool
    metadata: Fields | None = None
    twins: tuple[Twin, ...] = ()


def changes(
    files: Sequence[ImageFile],
    stored: Callable[[Sequence[str]], Mapping[str, Stamp]],
    *,
    checksum: bool = False,
) -> list[Task]:
    """The files that are new or changed, in the order of `files`.

    Args:
        files: what was found on the disk.
        stored: ids -> the stamps of those that have a row.
        checksum: take all files, because their bytes shall decide.
    """
    ids = [row_id(file.path) for file in files]
    stamps = stored(ids)
    return [
        Task(file, known=key in stamps)
        for key, file in zip(ids, files, strict=True)
        if checksum or stamps.get(key) != file.stamp
    ]


def with_twins(
    tasks: Sequence[Task], of_size: Callable[[Sequence[Stamp]], Mapping[int, Sequence[Twin]]]
) -> list[Task]:
    """The tasks with those rows that may be of the same bytes, because they are as many.

    Args:
        tasks: what must be read.
        of_size: stamps -> rows by their size in bytes.
    """
    found = []
    for start in range(0, len(tasks), SIZES_AT_ONCE):
        part = tasks[start : start + SIZES_AT_ONCE]
        known = of_size([task.file.stamp for task in part])
        found += [
            replace(task, twins=tuple(known.get(task.file.stamp.size_bytes, ()))) for task in part
        ]
    return found


def with_metadata(
    tasks: Sequence[Task],
    given: Mapping[str, Fields],
    stored: Callable[[Sequence[str]], Mapping[str, Fields]],
) -> list[Task]:
    """The tasks with the fields given for their paths, or else those that their rows have.

    Args:
        tasks: what must be embedded.
        given: paths -> fields.
        stored: ids -> the fields of those that have a row.
    """
    kept = stored(
        [row_id(task.file.path) for task in tasks if task.known and task.file.path not in given]
    )
    return [
        replace(task, metadata=given.get(task.file.path, kept.get(row_id(task.file.path))))
        for task in tasks
    ]


def is_gone(
    path: str,
    *,
    listed: Collection[str],
    repeated: Collection[str],
    exists: Callable[[str], bool],
) -> bool:
    """Whether a picture has been deleted, as far as the folders that were `listed` can tell.

    The nearest listed folder above it decides: it either still has the next part of the path or
    not. Where no folder above was listed nothing is known, so the answer is no. What lies below a
    `repeated` folder has been found under its first name.
    """
    part = path
    while True:
        if part in repeated:
            return True
        folder = posixpath.dirname(part)
        if folder in listed:
            return not exists(part)
        if folder == part:
            return False
        part = folder
