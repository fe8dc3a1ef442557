"""Writes an index into files, in the form that their name asks for, and reads such files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from lookalike.errors import CopyIncomplete, ExportUnusable, InvalidSetting
from lookalike.exchange import arrays, parquet
from lookalike.exchange.checking import Sample
from lookalike.exchange.copying import Copied
from lookalike.exchange.rows import Unusable
from lookalike.records import ImageRecord, row_id
from lookalike.reports import CopyProgress
from lookalike.store.schema import CollectionModel


class Rows(Protocol):
    """What is written into files."""

    model: CollectionModel

    def count(self) -> int: ...  # noqa: D102
    def scan(self) -> Iterator[list[ImageRecord]]: ...  # noqa: D102


class Store(Protocol):
    """What the rows of an export are put into."""

    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


def write(store: Rows, place: Path) -> int:
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


def copy(
    source: Rows, place: Path, *, on_progress: Callable[[CopyProgress], None] | None = None
) -> Copied:
    """`write`, and see that all rows are there: files are read again.

    Raises:
        CopyIncomplete: there are fewer than were read.
        CopyDiffers: a row is not as it was.
    """
    seen = _Seen(source, on_progress)
    rows = write(seen, place)
    written = Export(place)
    if written.rows != rows:
        raise CopyIncomplete(str(place), written.rows, rows)
    wanted = set(seen.sample.ids)
    found = (record for page in written.scan() for record in page if row_id(record.path) in wanted)
    return Copied(rows, rows, 0, seen.sample.check(found, str(place)))


class _Seen:
    """Rows that go by, and what was taken of them."""

    def __init__(self, source: Rows, on_progress: Callable[[CopyProgress], None] | None) -> None:
        self.model, self._source, self._on_progress = source.model, source, on_progress
        self.sample = Sample()

    def count(self) -> int:
        return self._source.count()

    def scan(self) -> Iterator[list[ImageRecord]]:
        done, total = 0, self.count()
        for page in self._source.scan():
            self.sample.see(page)
            yield page
            done += len(page)
            if self._on_progress:
                self._on_progress(CopyProgress(done, max(done, total), done))
        if done < min(total, self.count()):  # before anything takes the place of what was there
            raise CopyIncomplete("the export", done, total)


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

    def count(self) -> int:
        """The number of rows."""
        return self.rows

    def scan(self) -> Iterator[list[ImageRecord]]:
        """Pages of its rows.

        Raises:
            ExportUnusable: it has changed meanwhile.
        """
        try:
            yield from self._form.pages(self.place)
        except Unusable as error:
            raise ExportUnusable(str(self.place), str(error)) from error

    def put_into(self, store: Store) -> None:
        """Write its rows, in place of those with the same paths.

        Raises:
            ExportUnusable: it has changed meanwhile.
        """
        try:
            for page in self.scan():
                store.upsert(page)
        finally:
            store.flush()
