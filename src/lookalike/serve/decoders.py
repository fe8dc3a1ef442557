"""Decoding what clients send: so much at a time, and none for longer than some seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from lookalike.serve.problems import RETRY_S, Refused

Result = TypeVar("Result")
LEFT_BEHIND = 4


class Decoders:
    """A bounded number of threads, each of one picture.

    Python cannot stop a decoder. One that takes too long is left behind, and with some of these
    still at work nothing more is begun.
    """

    def __init__(self, workers: int, seconds: float) -> None:
        self._seconds = seconds
        self._free = threading.Semaphore(workers)
        self._lock = threading.Lock()
        self._left = 0

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, which this thread waits for.

        Raises:
            Refused: it took too long, or others do.
        """
        if self._left >= LEFT_BEHIND or not self._free.acquire(timeout=self._seconds):
            headers = {"Retry-After": str(RETRY_S)}
            raise Refused(503, "busy", "Too many pictures are being decoded.", headers=headers)
        try:
            done: Future[Result] = Future()
            threading.Thread(target=self._do, args=[work, done], daemon=True).start()
            if wait([done], self._seconds).done:
                return done.result()
            with self._lock:
                self._left += 1
            done.add_done_callback(self._is_back)
            message = f"The picture took more than {self._seconds:g} s to read and decode."
            raise Refused(408, "too_slow", message)
        finally:
            self._free.release()

    def _is_back(self, _: Future[Result]) -> None:
        with self._lock:
            self._left -= 1

    @staticmethod
    def _do(work: Callable[[], Result], done: Future[Result]) -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            done.set_exception(error)
