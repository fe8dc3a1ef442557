"""An index and its rows: what they say, without a question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.keeping import Keeping
from lookalike.query.answer import Wanted, answer
from lookalike.records import Hit, ImageRecord, Twin, is_row_id
from lookalike.store.schema import OWN_FIELDS


class Browsing(Keeping):
    """What an `Index` tells about the pictures in it."""

    @property
    def model(self) -> str:
        """The name of the model that the vectors are from, which need not be on this machine."""
        return self._store.model.model

    @property
    def changes(self) -> int:
        """How often its rows were written through this object; what is alike is unchanged."""
        return self._store.changes

    def browse(self, *, limit: int = 10, offset: int = 0, where: str | None = None) -> list[Hit]:
        """Pictures that no question is asked about, in an order that lasts as long as the rows.

        It is that of how much their vectors have of the first axis; scores say nothing.

        Raises:
            InvalidQuestion: the filter is none, or none for this index.
        """
        axis = np.eye(1, self._store.model.dim, dtype=np.float32)[0]
        return answer(axis, Wanted(limit=limit, offset=offset, where=where), self._store)

    def record(self, id: str) -> ImageRecord | None:  # noqa: A002
        """All that is known of the picture with this id, if there is one."""
        found = self._store.records([id]) if is_row_id(id) else []
        return found[0] if found else None

    def place(self, id: str) -> Twin | None:  # noqa: A002
        """Where the picture with this id lies, if there is one; quicker than `record`."""
        return self._store.places([id]).get(id) if is_row_id(id) else None

    def forget(self, ids: Sequence[str]) -> list[str]:
        """Take rows out of the index by their ids; files stay.

        Returns:
            Those ids that had a row.
        """
        known = list(self._store.places([key for key in ids if is_row_id(key)]))
        self._store.delete(known)
        self._store.flush()
        return known

    def own_fields(self) -> list[str]:
        """Names of the user's own fields, as far as some hundred rows have them."""
        return sorted(set(self._store.kinds()) - OWN_FIELDS)
