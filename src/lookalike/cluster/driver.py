"""A run on a Ray cluster, as the process sees it that scans and counts.

    scan → chunks ──(this thread)
             ↓ a bounded queue, on this machine
        read ──(one task of Ray Data's, on this machine)
             ↓ chunks
        compare, decode, embed, upsert ──(actors, one for some cores or a GPU: `ChunkWorker`)
             ↓ outcomes
        this thread

Rows are idempotent, so a chunk whose worker is lost is given to another one. What the lost one had
committed is then counted as unchanged.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ClusterLost, ExtraMissing, InvalidSetting, WorkerFailed
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.work import Chunk, Job
from lookalike.settings import Settings
from lookalike.sources.names import absolute
from lookalike.store.address import address_of
from lookalike.version import __version__

if TYPE_CHECKING:
    from lookalike.cluster.flow import Flow
    from lookalike.cluster.worker import Numbered, Outcome

CHUNK_FILES = 256
TICK_S = 0.2
CHECKED_EVERY_S = 5.0


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
    ) -> None:
        """Connect to nothing yet.

        Args:
            address: ``auto`` for the cluster that this machine belongs to, ``HOST:PORT`` of its
                head, or ``local`` for one on this machine alone.
            token: as in `Index.open`; workers ask the Milvus server with it.
            weights: as in `Index.open`, if the index has a model with such; the file must be on
                all machines.

        Raises:
            ExtraMissing: Ray is not installed.
        """
        if find_spec("ray") is None:
            raise ExtraMissing("A Ray cluster", extra="cluster")
        self._address, self._token = address, token
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
        # Imported here: Ray takes a second.
        from lookalike.cluster.connection import reach  # noqa: PLC0415

        reach(self._address)

    def work(self, chunks: Iterable[Chunk], job: Job, tell: Callable[[Committed], None]) -> None:
        """Have all chunks worked on.

        Raises:
            InvalidSetting: the database is none that workers can reach, or no machine of the
                cluster has as many cores as the setting says.
            ClusterError: the cluster cannot be reached, or has failed.
        """
        self.check(job.database)
        # Imported here: as above.
        from lookalike.cluster.connection import connected  # noqa: PLC0415
        from lookalike.cluster.flow import Flow, crew_of  # noqa: PLC0415
        from lookalike.cluster.worker import Assignment, Secret  # noqa: PLC0415

        try:
            with connected(self._address):
                crew = crew_of(job.settings)
                assignment = Assignment(
                    job=dataclasses.replace(job, settings=for_worker(job.settings, crew.cores)),
                    token=Secret(self._token),
                    weights=self._weights,
                    version=__version__,
                )
                with Flow(crew, assignment) as flow:
                    self._run(flow, chunks, tell)
        except SystemExit as error:  # Ray's way to end a driver that it cannot serve any more
            raise ClusterLost(self._address, "it has ended its connection") from error

    def _run(self, flow: Flow, chunks: Iterable[Chunk], tell: Callable[[Committed], None]) -> None:
        from lookalike.cluster.worker import Numbered  # noqa: PLC0415 - as above

        under_way: set[int] = set()
        checked = time.monotonic()

        def take(outcomes: Iterable[Outcome]) -> None:
            nonlocal checked
            for outcome in outcomes:
                checked = time.monotonic()
                if outcome.error:
                    raise WorkerFailed(outcome.node, outcome.kind, outcome.error)
                if outcome.number in under_way:
                    under_way.remove(outcome.number)
                    for committed in outcome.committed:
                        tell(committed)
            if time.monotonic() - checked > CHECKED_EVERY_S:
                checked = time.monotonic()
                flow.look()
            if flow.failure:
                raise ClusterLost(self._address, flow.failure)

        def hand_on(numbered: Numbered | None) -> None:
            while not flow.put(numbered):
                take(flow.outcomes(TICK_S))
            take(flow.outcomes(0))

        for number, chunk in enumerate(_parts(chunks)):
            under_way.add(number)
            hand_on(Numbered(number, chunk))
        hand_on(None)
        while not flow.ended:
            take(flow.outcomes(TICK_S))
        take(flow.outcomes(0))
        if under_way:
            raise ClusterLost(self._address, f"nothing was heard of {len(under_way)} chunks")


def for_worker(settings: Settings, cores: int) -> Settings:
    """The settings of a worker, which sees no GPU but its own, and that as the first."""
    device = "cuda" if settings.device.startswith("cuda:") else settings.device
    return dataclasses.replace(settings, threads=cores, device=device)


def _parts(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same files in smaller chunks, so that all workers have something to do."""
    for chunk in chunks:
        for start in range(0, len(chunk.files), CHUNK_FILES):
            files = chunk.files[start : start + CHUNK_FILES]
            fields = {
                file.path: chunk.fields[file.path] for file in files if file.path in chunk.fields
            }
            yield Chunk(files, fields)
