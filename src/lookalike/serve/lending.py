"""The database and the model are lent to other processes of this machine.

They find the server by a file in the database's folder; see `lookalike.owner.note`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.index import Index
from lookalike.owner import note as notes
from lookalike.owner.note import Note
from lookalike.version import __version__

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


@dataclass(frozen=True)
class Lending:
    """What those must know who go through this server."""

    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @contextlib.contextmanager
    def announced(self, index: Index, *, host: str, port: int) -> Iterator[None]:
        """Let other processes find the server at this address; only where the database is local.

        Args:
            index: is open in this process.
            host: the address that the server listens on.
            port: its port.
        """
        known = index.info()
        database = Path(known.database)
        if "://" in known.database:
            yield
            return
        note = Note(
            host="127.0.0.1" if host == "localhost" else EVERYWHERE.get(host, host),
            port=port,
            pid=os.getpid(),
            version=__version__,
            collection=known.collection,
            folder=notes.folder_id(database),
            secret=self.secret,
        )
        notes.write(database, note)
        try:
            yield
        finally:
            notes.remove(database, note)
