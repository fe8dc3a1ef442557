"""Pictures that clients have sent, to ask with them more than once."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from lookalike.query.terms import Prepared
from lookalike.serve.problems import Refused

LASTS_S = 3600.0
MOST = 128
MOST_BYTES = 128_000_000
MOST_PARTS = 8
"""Crops of one picture whose pixels are kept as the model takes them."""


@dataclass
class Upload:
    """A picture file that was sent; `parts` are what the model was shown of it, by crop."""

    id: str
    data: bytes = field(repr=False)
    width: int
    height: int
    expires_at: float
    parts: OrderedDict[str | None, Prepared] = field(default_factory=OrderedDict, repr=False)
    preview: bytes = field(default=b"", repr=False)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        parts = list(self.parts.values())
        return len(self.data) + len(self.preview) + sum(part.pixels.nbytes for part in parts)

    def keep(self, crop: str | None, part: Prepared) -> None:
        """Keep what the model was shown, for the next question."""
        self.parts[crop] = part
        while len(self.parts) > MOST_PARTS:
            self.parts.popitem(last=False)


class Uploads:
    """So many at most, and so many bytes: the one that was longest not asked with goes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Upload] = OrderedDict()

    def add(self, data: bytes, *, width: int, height: int) -> Upload:
        """Keep a picture; one that is there stays as it is, for longer."""
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        with self._lock:
            upload = self._known.get(key) or Upload(key, data, width, height, 0.0)
            upload.expires_at = time.time() + LASTS_S
            self._known[key] = upload
            self._known.move_to_end(key)
            self._shrink()
            return upload

    def get(self, key: str) -> Upload:
        """One that is still there.

        Raises:
            Refused: it is not.
        """
        with self._lock:
            self._shrink()
            upload = self._known.get(key)
            if upload is None:
                message = "The uploaded picture is gone; send it again."
                raise Refused(404, "upload_gone", message)
            self._known.move_to_end(key)
            return upload

    def _shrink(self) -> None:
        now = time.time()
        for key in [key for key, upload in self._known.items() if upload.expires_at < now]:
            del self._known[key]
        taken = sum(upload.size_bytes for upload in self._known.values())
        while len(self._known) > MOST or (taken > MOST_BYTES and len(self._known) > 1):
            taken -= self._known.popitem(last=False)[1].size_bytes
