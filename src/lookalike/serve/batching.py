"""Questions that come at the same time go through the model and the database together."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from lookalike import tracing
from lookalike.errors import LookalikeError, StoreError
from lookalike.index import Index
from lookalike.query.answer import Wanted
from lookalike.query.question import Query
from lookalike.records import Hit

LATELY_S = 0.5

_Asked = tuple[Query, Wanted, "Future[list[Hit]]", "tracing.Here"]


class Batching:
    """One thread asks; what arrives meanwhile is its next batch, so that nobody waits alone."""

    def __init__(
        self, index: Index, *, most: int, on_batch: Callable[[int], None] = lambda size: None
    ) -> None:
        """Start nothing yet.

        Args:
            index: what is asked.
            most: so many questions at most are asked together.
            on_batch: is called with the number of questions that were.
        """
        self._index, self._most, self._on_batch = index, most, on_batch
        self._waiting: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._last_asked = -math.inf
        self._thread: threading.Thread | None = None

    def is_asked(self) -> bool:
        """Whether questions come just now."""
        return time.monotonic() - self._last_asked < LATELY_S

    def search(self, query: Query, wanted: Wanted) -> Future[list[Hit]]:
        """The hits, when they are there; the query's pictures should be prepared."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ask", daemon=True)
                self._thread.start()
        self._last_asked = time.monotonic()
        hits: Future[list[Hit]] = Future()
        self._waiting.put((query, wanted, hits, tracing.here()))
        return hits

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self._most and not self._waiting.empty():
                batch.append(self._waiting.get())
            self._answer([each for each in batch if each[2].set_running_or_notify_cancel()])

    def _answer(self, batch: Sequence[_Asked]) -> None:
        if not batch:
            return
        self._on_batch(len(batch))
        queries, wanted, futures, (first, *others) = zip(*batch, strict=True)
        try:
            with tracing.span(
                "lookalike.search",
                {"lookalike.questions": len(batch)},
                parent=first,
                others=others,
            ):
                found = self._index.search_each(queries, wanted)
        except LookalikeError as error:
            if isinstance(error, StoreError):
                for future in futures:
                    future.set_exception(error)
            elif len(batch) == 1:
                futures[0].set_exception(error)
            else:
                for each in batch:  # one of them makes no sense; the others must not suffer
                    self._answer([each])
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            for future in futures:
                future.set_exception(error)
        else:
            for future, hits in zip(futures, found, strict=True):
                future.set_result(hits)
