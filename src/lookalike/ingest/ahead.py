"""Work that runs some steps ahead of who consumes it, in threads, in order, bounded."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(pool: Executor, work: Callable[[A], B], items: Iterable[A], depth: int) -> Iterator[B]:
    """The results of `work`, in order, while up to `depth` items are under way."""
    pending: deque[Future[B]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class Impatient:
    """A pool of threads of which none is waited for longer than some seconds.

    Python itself waits for one that was left behind, when the interpreter ends; the commands end
    without that.
    """

    def __init__(self, workers: int, name: str, seconds: float) -> None:
        self._workers, self._name, self._seconds = workers, name, seconds
        self._pool = ThreadPoolExecutor(workers, name)

    def ahead(
        self,
        work: Callable[[A], B],
        items: Iterable[A],
        depth: int,
        *,
        otherwise: Callable[[A], B],
        ready: Callable[[A], None] = lambda item: None,
    ) -> Iterator[B]:
        """The results of `work`, in order, or of `otherwise` where that takes too long.

        What `ready` takes does not count: it is asked first, in this thread.
        """
        pending: deque[tuple[A, Future[B]]] = deque()

        def first() -> B:
            while True:
                item, future = pending[0]
                if not future.done():
                    ready(item)
                if wait([future], self._seconds).done:
                    pending.popleft()
                    return future.result()
                if not future.running():
                    continue
                pending.popleft()
                self.leave()
                self._pool = ThreadPoolExecutor(self._workers, self._name)
                for place, (waiting, other) in enumerate(pending):
                    if other.cancelled():
                        pending[place] = waiting, self._pool.submit(work, waiting)
                return otherwise(item)

        for item in items:
            pending.append((item, self._pool.submit(work, item)))
            if len(pending) >= depth:
                yield first()
        while pending:
            yield first()

    def leave(self) -> None:
        """Drop what has not been begun, and wait for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def batched(items: Iterable[A], size: int) -> Iterator[list[A]]:
    """The items in lists of `size`, the last one perhaps shorter."""
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
