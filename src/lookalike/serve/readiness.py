"""Whether questions can be answered: the database and the model are tried."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
from anyio import to_thread
from PIL import Image

from lookalike.errors import LookalikeError
from lookalike.index import Index
from lookalike.serve.problems import RETRY_S, Refused

WAIT_S = 3.0
_log = logging.getLogger(__name__)


class Readiness:
    """Tries an index; one try at a time, however many ask."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._running: asyncio.Task[int] | None = None

    async def pictures(self, *, wait_s: float = WAIT_S) -> int:
        """The number of pictures in the index, whose database and model have just answered.

        Raises:
            Refused: they did not, or not in time.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._in_thread())
            self._running.add_done_callback(_note)
        try:
            return await asyncio.wait_for(asyncio.shield(self._running), wait_s)
        except asyncio.TimeoutError:
            raise _not_ready(f"The database has not answered for {wait_s:g} s.") from None
        except LookalikeError as error:
            _log.warning("%s", error)  # it may name paths
            raise _not_ready("The database or the model fails; the log says more.") from error

    async def _in_thread(self) -> int:
        # Left behind when the server stops: it may wait for a database that is away.
        return await to_thread.run_sync(self._try, abandon_on_cancel=True)

    def _try(self) -> int:
        embedder = self._index.embedder
        embedder.embed(embedder.prepare(Image.new("RGB", embedder.least))[np.newaxis])
        return len(self._index)


def _note(done: asyncio.Task[int]) -> None:
    """Take notice of an error that nobody waits for any more, or asyncio prints it."""
    if not done.cancelled():
        done.exception()


def _not_ready(message: str) -> Refused:
    return Refused(503, "not_ready", message, headers={"Retry-After": str(RETRY_S)})
