"""Groups of duplicates, looked for once as long as no rows change, and what was done with them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence

from lookalike.index import Index
from lookalike.records import DisposalReport, Duplicate, DuplicateGroup, row_id
from lookalike.serve.problems import RETRY_S, Refused

KEPT = 4
MOST_UNDOS = 1000
WAIT_S = 3.0  # a thread that waits is not there for others
UNKNOWN = "not all are among the duplicates of the picture that is kept; look for these again"

_Asked = tuple[str, str, int, int]


class Groups:
    """What a server knows about duplicates. Methods may be called from several threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._looking = threading.Lock()
        self._known: OrderedDict[_Asked, list[DuplicateGroup]] = OrderedDict()
        self._undos: OrderedDict[str, str] = OrderedDict()

    def of(self, level: str, keep: str) -> list[DuplicateGroup]:
        """All groups; looking for them takes a while in a large index, and one does it at a time.

        Raises:
            InvalidSetting: there is no such level or policy.
            Refused: others are looking, and that takes long.
        """
        if not self._looking.acquire(timeout=WAIT_S):
            headers = {"Retry-After": str(RETRY_S)}
            message = "Duplicates are being looked for already; ask again in a moment."
            raise Refused(503, "busy", message, headers=headers)
        try:
            # Others may write to a database on a server, too.
            asked = (level, keep, self._index.changes, len(self._index))
            if asked not in self._known:
                self._known[asked] = self._index.duplicates(level=level, keep=keep)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return self._known[asked]
        finally:
            self._looking.release()

    def trash(self, keep: str, discard: Sequence[str]) -> tuple[DisposalReport, str | None]:
        """Put files into the trash that were found to be duplicates of another.

        Returns:
            What became of them, and what `undo` takes, if anything was done.

        Raises:
            Refused: one of them was not, as far as is known here; nothing was done.
        """
        with self._looking:
            group = self._group(keep, discard)
            if group is None:
                raise Refused(409, "not_duplicates", f"Nothing was done: {UNKNOWN}.")
            report = self._index.dispose([group], "trash", dry_run=False)
            if report.undo_file is None:
                return report, None
            token = secrets.token_hex(16)
            self._undos[token] = report.undo_file
            while len(self._undos) > MOST_UNDOS:
                self._undos.popitem(last=False)
            return report, token

    def undo(self, token: str) -> DisposalReport:
        """Put back what `trash` did.

        Raises:
            Refused: nothing was done under this name, or it was undone already.
        """
        with self._looking:
            undo_file = self._undos.pop(token, None)
            if undo_file is None:
                message = "There is nothing to undo under this name; it may have been undone."
                raise Refused(404, "nothing_to_undo", message)
            return self._index.undo(undo_file)

    def _group(self, keep: str, discard: Sequence[str]) -> DuplicateGroup | None:
        """What is to be discarded of all that was found to be a duplicate of the one kept."""
        wanted = set(discard)
        rows: dict[str, Duplicate] = {}
        kept = None
        for groups in self._known.values():
            for group in groups:
                if row_id(group.keep.path) == keep:
                    kept = group.keep
                    rows |= {row_id(row.path): row for row in group.others}
        if kept is None or not wanted <= rows.keys():
            return None
        return DuplicateGroup(kept, tuple(row for key, row in rows.items() if key in wanted))
