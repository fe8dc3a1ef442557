"""Folders are indexed by request: one job after the other, in a thread that gives way to others."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lookalike.errors import LookalikeError
from lookalike.index import Index
from lookalike.records import Progress
from lookalike.reports import IndexReport
from lookalike.serve.indexing import IndexingFigures
from lookalike.serve.problems import RETRY_S, Refused
from lookalike.settings import Settings

_log = logging.getLogger(__name__)

MOST_WAITING = 8
MOST_KEPT = 50
STOP_S = 8.0
NICENESS = 10
BATCH_SIZE = 2  # a question waits for the batch before it
REST_S = 0.4  # after each batch, while questions come
LOOK_S = 0.1
OVER = frozenset({"done", "failed", "cancelled"})


class _Ended(Exception):
    """A job shall not go on."""


@dataclass(eq=False)
class Job:
    """Folders that are to be indexed, and how far that has come.

    `state` is ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``. Times are seconds
    since the epoch.
    """

    folders: tuple[str, ...]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: str = "queued"
    progress: Progress = field(default_factory=lambda: Progress(0, 0, 0, 0))
    report: IndexReport | None = None
    error: Exception | None = None
    created_at: float = field(default_factory=time.time)
    finished_at: float | None = None
    ends: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in OVER


class Jobs:
    """All jobs of a server. Methods may be called from several threads.

    A job that ends early keeps what it has committed; the same job goes on from there.
    """

    def __init__(
        self,
        index: Index,
        *,
        settings: Settings,
        stopping: threading.Event,
        asked: Callable[[], bool],
        figures: IndexingFigures,
    ) -> None:
        """Begin nothing.

        Args:
            index: what is to match the folders.
            settings: of a job, but for what makes it give way to questions.
            stopping: is set when jobs shall end early, as when each of them is cancelled.
            asked: whether questions come, which a job gives way to.
            figures: count what the jobs do.
        """
        self._figures = figures
        self._index, self._stopping, self._asked = index, stopping, asked
        self._settings = replace(settings, threads=1, batch_size=settings.batch_size or BATCH_SIZE)
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, folders: Sequence[str]) -> Job:
        """Index these absolute folders as soon as the jobs before are over.

        Raises:
            Refused: too many wait.
        """
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                message = f"{MOST_WAITING} jobs wait already; ask again when one is done."
                headers = {"Retry-After": str(RETRY_S)}
                raise Refused(429, "too_many_jobs", message, headers=headers)
            job = Job(tuple(folders))
            over = [known.id for known in self._jobs.values() if known.is_over]
            for key in itertools.islice(over, max(0, len(over) - MOST_KEPT + 1)):
                del self._jobs[key]
            self._jobs[job.id] = job
            self._waiting.append(job)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="lookalike-jobs", daemon=True
                )
                self._worker.start()
        return job

    def all(self) -> list[Job]:
        """The newest first; of those that are over only some."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def get(self, id: str) -> Job:  # noqa: A002
        """The job with this id.

        Raises:
            Refused: there is none.
        """
        with self._lock:
            job = self._jobs.get(id)
        if job is None:
            message = "There is no such job; a server that is started again knows none of before."
            raise Refused(404, "no_such_job", message)
        return job

    def cancel(self, job: Job) -> None:
        """Let it end after the batch that it is at."""
        with self._lock:
            job.ends.set()
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, "cancelled")

    def close(self) -> None:
        """Wait until the job that runs has ended, as it does when `stopping` is set."""
        with self._lock:
            worker = self._worker
            while self._waiting:
                self._end(self._waiting.popleft(), "cancelled")
        if worker:
            worker.join(STOP_S)

    def _work(self) -> None:
        # The threads that this one starts take that over.
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            with self._lock:
                if not self._waiting:
                    self._worker = None
                    return
                job = self._waiting.popleft()
                job.state = "running"
            self._run(job)

    def _run(self, job: Job) -> None:
        def note(progress: Progress) -> None:
            job.progress = progress
            self._figures.progress(progress)
            ends = time.monotonic() + REST_S
            while not self._shall_end(job) and self._asked() and time.monotonic() < ends:
                job.ends.wait(LOOK_S)
            if self._shall_end(job):
                raise _Ended

        self._figures.start()
        try:
            note(job.progress)
            job.report = self._index.add(
                *job.folders, on_progress=note, settings=self._settings, follow_out=False
            )
        except _Ended:
            self._end(job, "cancelled")
        except (LookalikeError, OSError) as error:
            job.error = error
            self._end(job, "failed")
        except Exception as error:  # noqa: BLE001 - other jobs must go on
            _log.error("unexpected %s in a job", type(error).__name__, exc_info=error)
            job.error = error
            self._end(job, "failed")
        else:
            self._figures.done(job.report)
            self._end(job, "done")

    def _shall_end(self, job: Job) -> bool:
        return job.ends.is_set() or self._stopping.is_set()

    @staticmethod
    def _end(job: Job, state: str) -> None:
        job.finished_at, job.state = time.time(), state
