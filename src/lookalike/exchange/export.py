"""Writes an index into files, in the form that their name asks for, and reads such files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lookalike.errors import ExportUnusable, InvalidSetting
from lookalike.exchange import arrays, parquet
from lookalike.exchange.rows import Unusable
from lookalike.records import ImageRecord
from lookalike.store.schema import CollectionModel


class Store(Protocol):
    """What is needed of a store."""

    model: CollectionModel

    def scan(self) -> Iterator[list[ImageRecord]]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


def write(store: Store, place: Path) -> int:
    """Write all rows of a store.

    Args:
        store: what is written.
        place: ``FILE.parquet``, ``FILE.npy`` or a folder, which is made.

    Returns:
        How many rows there were.

    Raises:
        InvalidSetting: the name is none of these.
        OSError: it cannot be written; what was there before still is.
    """
    if any(folder.suffix.lower() == ".db" for folder in place.resolve().parents):
        raise InvalidSetting("the export", str(place), "outside of the folders of databases")
    form = _form(place)
    if place.suffix and not place.parent.is_dir():
        raise InvalidSetting("the export", str(place), "in a folder that is there")
    return form.write(place, store.scan(), store.model)


def _form(place: Path) -> Form:
    suffix = place.suffix.lower()
    if suffix in {".parquet", ".npy"} and place.is_dir():
        raise InvalidSetting("the export", str(place), f"a file, for its name ends in {suffix}")
    if suffix == ".parquet":
        return parquet
    # A database of Milvus Lite is a folder, too, which nothing else belongs in.
    if suffix in {".npy", ""} or (place.is_dir() and suffix != ".db"):
        return arrays
    raise InvalidSetting("the export", str(place), "FILE.parquet, FILE.npy or a folder")


class Form(Protocol):
    """A module that knows one form of exports."""

    def write(  # noqa: D102
        self, place: Path, pages: Iterator[list[ImageRecord]], model: CollectionModel, /
    ) -> int: ...
    def read_model(self, place: Path, /) -> CollectionModel: ...  # noqa: D102
    def pages(self, place: Path, /) -> Iterator[list[ImageRecord]]: ...  # noqa: D102


class Export:
    """An export that was found to be sound, from its first row to its last.

    Attributes:
        place: where it is.
        model: what its vectors are from.
        rows: how many it has.
    """

    def __init__(self, place: Path) -> None:
        """Read all of it once.

        Raises:
            ExportUnusable: it is not there, damaged, or none.
        """
        self.place, self._form = place, _form(place)
        try:
            self.model = self._form.read_model(place)
            self.rows = sum(len(page) for page in self._form.pages(place))
        except FileNotFoundError:
            raise ExportUnusable(str(place), "there is no such file") from None
        except Unusable as error:
            raise ExportUnusable(str(place), str(error)) from error

    def put_into(self, store: Store) -> None:
        """Write its rows, in place of those with the same paths.

        Raises:
            ExportUnusable: it has changed meanwhile.
        """
        try:
            for page in self._form.pages(self.place):
                store.upsert(page)
        except Unusable as error:
            raise ExportUnusable(str(self.place), str(error)) from error
        finally:
            store.flush()
