"""The machines of a Ray cluster, as the process sees them that scans and counts.

scan → chunks ──(this process)
         ↓ one at a time, when it is asked for
    hand on, collect ──(the driver, a process of its own: ``driver.py``)
         ↓ what was committed
    count ──(this process)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from lookalike.cluster.connection import reach
from lookalike.cluster.driver import FAULT, Start
from lookalike.errors import ClusterLost, ExtraMissing, InvalidSetting
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.work import Chunk, Job
from lookalike.owner.messages import END, ERROR, ITEM, decode, encode, error_of, frame, read_frame
from lookalike.sources.names import absolute
from lookalike.store.address import address_of

CHUNK_FILES = 256
# It imports from where this process does. The folder that it is in is where workers look, too: not
# one of pictures.
DRIVER = "import sys; sys.path[:] = sys.argv[1:]; from lookalike.cluster.driver import main; main()"
ENDED_WITHIN_S = 10.0


class RayWorkers:
    """The machines of a Ray cluster, for `Index.add`.

    Each needs the same version of lookalike with the extra ``cluster``, the index's model, and the
    pictures under the same paths or addresses. A file that a worker cannot see is skipped, and its
    row stays.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        weights: str | Path | None = None,
        device: str | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            address: ``auto`` for the cluster that this machine belongs to, ``HOST:PORT`` of its
                head, or ``local`` for one on this machine alone.
            token: as in `Index.open`; workers ask the Milvus server with it.
            weights: as in `Index.open`, if the index has a model with such; the file must be on
                all machines.
            device: what workers embed on, ``cuda`` for one worker on each GPU; by default as the
                settings of the index say, for which this machine needs such a device, too.

        Raises:
            ExtraMissing: Ray is not installed.
        """
        if find_spec("ray") is None:
            raise ExtraMissing("A Ray cluster", extra="cluster")
        self._address, self._token, self._device = address, token, device
        self._weights = None if weights is None else absolute(weights)

    @staticmethod
    def check(database: str | None) -> None:
        """Raise `InvalidSetting` where no other machine can reach this database."""
        if address_of(database or "") is None:
            name = database or "the local database"
            expected = "the address of a Milvus server, http://HOST:PORT: a cluster needs one"
            raise InvalidSetting("the database", name, expected)

    def reach(self) -> None:
        """Raise `ClusterUnreachable` where there is no cluster, before anything is changed."""
        reach(self._address)

    def work(self, chunks: Iterable[Chunk], job: Job, tell: Callable[[Committed], None]) -> None:
        """Have all chunks worked on.

        Raises:
            InvalidSetting: the database is none that workers can reach, or no machine of the
                cluster has as many cores as the setting says.
            ClusterError: the cluster cannot be reached, or has failed.
        """
        self.check(job.database)
        settings = replace(job.settings, device=self._device or job.settings.device)
        job = replace(job, settings=settings)
        with _Driver(self._address) as driver:
            driver.say(frame(ITEM, encode(Start(self._address, job, self._token, self._weights))))
            for chunk in _parts(chunks):
                driver.hear(tell)
                driver.say(frame(ITEM, encode(chunk)))
            driver.hear(tell)
            driver.say(frame(END))
            driver.hear(tell)


class _Driver:
    """The process that is connected to the cluster; leaving this ends it."""

    def __init__(self, address: str) -> None:
        self._address = address
        # A session of its own, so that Ctrl-C is for who waits for it.
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", DRIVER, *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.sep,
            start_new_session=True,
        )
        self._said = cast("IO[bytes]", self._process.stdin)
        self._told = cast("IO[bytes]", self._process.stdout)

    def say(self, part: bytes) -> None:
        """Write a frame."""
        try:
            self._said.write(part)
            self._said.flush()
        except BrokenPipeError as error:
            raise self._lost() from error

    def hear(self, tell: Callable[[Committed], None]) -> None:
        """Tell what was committed, until a chunk is asked for or the end has come."""
        while True:
            read = read_frame(self._told)
            if read is None:
                raise self._lost()
            kind, payload = read
            if kind == ERROR:
                raise error_of(payload)
            if kind == FAULT:
                told = payload.decode()
                raise RuntimeError(told.rstrip().rpartition("\n")[2]) from RuntimeError(told)
            committed = decode(payload, Committed | None) if kind == ITEM else None
            if committed is None:
                return
            tell(committed)

    def _lost(self) -> ClusterLost:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDED_WITHIN_S)
        code = self._process.returncode
        return ClusterLost(
            self._address, f"the process that was connected to it has ended with {code}"
        )

    def __enter__(self) -> _Driver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDED_WITHIN_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what Ray has started here
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._said.close()
        self._told.close()


def _parts(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same files in smaller chunks, so that all workers have something to do."""
    for chunk in chunks:
        for start in range(0, len(chunk.files), CHUNK_FILES):
            files = chunk.files[start : start + CHUNK_FILES]
            fields = {
                file.path: chunk.fields[file.path] for file in files if file.path in chunk.fields
            }
            yield Chunk(files, fields)
