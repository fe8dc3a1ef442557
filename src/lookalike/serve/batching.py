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
MANY_HITS = 1000  # with their rows they take longer than the model does

_Asked = tuple[Query, Wanted, "Future[list[Hit]]", "tracing.Here"]


class Batching:
    """One thread asks; what arrives meanwhile is its next batch, so that nobody waits alone.

    Questions that take long have a thread and batches of their own, so that the others go on.
    """

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
        self._waiting: dict[bool, queue.SimpleQueue[_Asked]] = {}  # by whether they take long
        self._starting = threading.Lock()
        self._last_asked = -math.inf

    def is_asked(self) -> bool:
        """Whether questions come just now."""
        return time.monotonic() - self._last_asked < LATELY_S

    def search(self, query: Query, wanted: Wanted) -> Future[list[Hit]]:
        """The hits, when they are there; the query's pictures should be prepared."""
        self._last_asked = time.monotonic()
        hits: Future[list[Hit]] = Future()
        takes_long = wanted.diverse or wanted.offset + wanted.limit > MANY_HITS
        with self._starting:
            waiting = self._waiting.get(takes_long)
            if waiting is None:
                waiting = self._waiting[takes_long] = queue.SimpleQueue()
                threading.Thread(target=self._run, args=[waiting], name="ask", daemon=True).start()
        waiting.put((query, wanted, hits, tracing.here()))
        return hits

    def _run(self, waiting: queue.SimpleQueue[_Asked]) -> None:
        while True:
            batch = [waiting.get()]
            while len(batch) < self._most and not waiting.empty():
                batch.append(waiting.get())
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
