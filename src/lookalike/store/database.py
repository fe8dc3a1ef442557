"""What Milvus Lite and servers do differently, as one interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from lookalike.store.design import CollectionDesign

Row = dict[str, Any]


class Database(Protocol):
    """A database with a collection in use. Methods may be called from several threads.

    Attributes:
        shown: its path or address as messages name it, without anything secret.
    """

    shown: str

    @property
    def window(self) -> int | None:
        """How many rows one search finds at most; None for any number."""

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """The answer of pymilvus's ``MilvusClient.method``.

        Raises:
            StoreError: one of its kinds, for everything that goes wrong.
        """

    def load(self, collection: str, design: CollectionDesign) -> None:
        """Make a collection searchable, which its index is not right after opening.

        Raises:
            DesignUnavailable: it cannot be kept in memory as its design says.
        """

    def get(self, collection: str, ids: Sequence[str], fields: list[str]) -> list[Row]:
        """Those of the rows `ids` that there are, as they are after all writes of this process."""

    def count(self, collection: str, condition: str = "") -> int:
        """The number of rows that meet a condition, after all writes of this process."""

    def query(self, collection: str, **options: Any) -> list[Row]:
        """``MilvusClient.query``, after all writes of this process."""

    def where(
        self,
        collection: str,
        wanted: Mapping[str, Sequence[int]],
        fields: list[str],
        *,
        limit: int,
    ) -> list[Row]:
        """At most `limit` rows with one of the `wanted` values in each of these integer fields.

        Others that have been replaced or deleted may be among them.
        """

    def whole_rows(
        self, collection: str, condition: str, *, size: int
    ) -> Iterator[list[Row]] | None:
        """Pages of at most `size` whole rows that meet a condition, as far as it is not empty.

        None where there is no better way than a query for each page.
        """

    def search(self, collection: str, **options: Any) -> list[list[Row]]:
        """``MilvusClient.search``, after all writes of this process."""

    def write(self, collection: str, rows: list[Row]) -> None:
        """Write rows in place of those with their ids; they outlive this process then."""

    def delete(self, collection: str, ids: list[str]) -> None:
        """Remove rows; ids without one are ignored."""

    def others_wrote(self, rows: int) -> None:
        """Other processes have written so many rows, or deleted some; later reads must see that."""

    def flush(self, collection: str) -> None:
        """Make what was written outlive a power cut, as far as that is in this process's hands."""

    def rows_without_index(self, collection: str) -> int:
        """How many rows searches compare one by one, or by halves, until their index is made."""

    def size_bytes(self) -> int | None:
        """What it takes on disk; None where that cannot be seen."""

    def close(self) -> None:
        """Let go of it."""
