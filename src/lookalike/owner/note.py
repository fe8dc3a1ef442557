"""``serve.json`` in the folder of a database: who has it open, and how to go through that.

- It holds a secret, so only its owner may read it. Who asks for anything is trusted with the whole
  database, which whoever can read the file can read and write anyway.
- A server that was killed leaves it behind, and another program may have the port by now. So the
  secret is never sent before the other side has shown that it knows it.
- A copied database has a copy of it, so it tells which folder it is about.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lookalike.owner import NOTE


@dataclass(frozen=True, kw_only=True)
class Note:
    """Where a server answers, and for which database."""

    host: str
    port: int
    pid: int
    version: str
    collection: str
    folder: str
    secret: str = field(repr=False)

    @property
    def address(self) -> str:
        """As people type it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def folder_id(database: Path) -> str:
    """What tells the folder of a database from its copies, under whatever name."""
    status = database.stat()
    return f"{status.st_dev}:{status.st_ino}"


def proof_of(secret: str, nonce: str) -> str:
    """What only someone with the secret can answer to a random text."""
    return hmac.new(secret.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def read(database: Path) -> Note | None:
    """The note in a database's folder, if there is one about this very folder."""
    try:
        with (database / NOTE).open("rb") as file:
            if not _is_own(os.fstat(file.fileno())):
                return None
            note = msgspec.json.decode(file.read(), type=Note)
        return note if note.folder == folder_id(database) else None
    except (OSError, ValueError, msgspec.DecodeError):
        return None


def _is_own(status: os.stat_result) -> bool:
    """Whether nobody else can have written it: it leads to where questions are sent."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o022


def write(database: Path, note: Note) -> None:
    """Put it there, as a whole, in place of another."""
    part = database / f"{NOTE}.{os.getpid()}"
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        file.write(msgspec.json.encode(note))
    try:
        part.replace(database / NOTE)
    finally:
        part.unlink(missing_ok=True)


def remove(database: Path, note: Note) -> None:
    """Take it away, if it is still this one."""
    with contextlib.suppress(OSError):
        if read(database) == note:
            (database / NOTE).unlink()
