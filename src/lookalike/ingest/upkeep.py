"""Rows whose files are gone or lie elsewhere now, without a folder being indexed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from lookalike.errors import InvalidSetting
from lookalike.records import ImageRecord, row_id

RELOCATED_ROWS = 500


class Store(Protocol):
    """What upkeep needs of a store."""

    def paths_under(self, folder: str | None) -> Iterator[list[tuple[str, str]]]: ...  # noqa: D102
    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def delete(self, ids: list[str]) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


def rows_without_file(
    store: Store, exists: Callable[[str], bool]
) -> Iterator[list[tuple[str, str]]]:
    """Pages of (id, path) of those rows whose files are gone, wherever they were."""
    for page in store.paths_under(None):
        yield [(key, path) for key, path in page if not exists(path)]


def relocate(store: Store, old: str, new: str) -> int:
    """Let all rows at or below `old` be at or below `new`; nothing is read or embedded.

    A row is written under its new path before it is removed under the old one, so a run that was
    killed is completed by running it again. Rows that were at the new paths are replaced.

    Returns:
        How many rows have new paths.

    Raises:
        InvalidSetting: one of the two folders lies inside the other.
    """
    folders = [f"{folder.rstrip('/')}/" for folder in (old, new)]
    if folders[0].startswith(folders[1]) or folders[1].startswith(folders[0]):
        raise InvalidSetting("the new folder", new, f"neither inside nor around {old}")
    moved = 0
    single = [(row_id(old), old)]
    # The members of an archive have an exclamation mark behind its name.
    for page in itertools.chain([single], store.paths_under(old), store.paths_under(f"{old}!")):
        for start in range(0, len(page), RELOCATED_ROWS):
            ids = [key for key, _ in page[start : start + RELOCATED_ROWS]]
            records = store.records(ids)
            store.upsert([replace(row, path=new + row.path[len(old) :]) for row in records])
            store.delete(ids)
            moved += len(records)
    store.flush()
    return moved
