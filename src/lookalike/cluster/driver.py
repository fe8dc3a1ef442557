"""A driver of a Ray cluster: chunks come to its stdin, and its stdout tells what came of them.

Ray ends a driver that it cannot serve any more, without a word, takes its signals, and writes on
both of its outputs. So it is a process of its own.

    read chunks → a bounded queue, on this machine
                        ↓
        read ──(one task of Ray Data's, on this machine)
                        ↓ chunks
        compare, decode, embed, upsert ──(actors, one for some cores or a GPU: `ChunkWorker`)
                        ↓ outcomes
                  tell what was committed

Rows are idempotent, so a chunk whose worker is lost is given to another one. What the lost one had
committed is then counted as unchanged.

    stdin   a frame with the `Start`, one with a `Chunk` whenever one was asked for, and the end
    stdout  frames with `Committed`, with None to ask for a chunk, and the end, an error of ours, or
            what has gone wrong in this program
"""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from lookalike.cluster.connection import connect, reach, reason_why
from lookalike.errors import ClusterLost, LookalikeError, WorkerFailed
from lookalike.ingest.work import Chunk, Job
from lookalike.owner.messages import END, ITEM, decode, encode, error_frame, frame, read_frame
from lookalike.settings import Settings
from lookalike.version import __version__

if TYPE_CHECKING:
    from lookalike.cluster.flow import Flow
    from lookalike.cluster.worker import Numbered, Outcome

FAULT = b"F"
TICK_S = 0.2
LOOKED_EVERY_S = 5.0


@dataclass(frozen=True)
class Start:
    """What the process has to know. `weights` is a path on the machines of the workers."""

    address: str
    job: Job
    token: str | None
    weights: str | None


class Pipe:
    """What is said between this process and the one that has started it."""

    def __init__(self, said: IO[bytes], told: IO[bytes]) -> None:
        """Begin to listen; this process ends when the other one has."""
        self._told = told
        self._frames: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=[said], daemon=True).start()

    def _listen(self, said: IO[bytes]) -> None:
        while read := read_frame(said):
            self._frames.put(read)
        os.killpg(0, signal.SIGKILL)  # with what Ray has started here, some of which would stay

    def next(self, kind: Any) -> Any:
        """What is said next; None at the end."""
        frame_kind, payload = self._frames.get()
        return decode(payload, kind) if frame_kind == ITEM else None

    def tell(self, part: bytes) -> None:
        """Write a frame."""
        self._told.write(part)
        self._told.flush()


def serve(pipe: Pipe) -> None:
    """Have all chunks worked on that are said."""
    try:
        start: Start = pipe.next(Start)
        reach(start.address)
        connect(start.address)
        _work(start, pipe)
    except LookalikeError as error:
        pipe.tell(error_frame(error))
    except Exception:  # noqa: BLE001 - who has started this process raises it
        pipe.tell(frame(FAULT, traceback.format_exc().encode(errors="replace")))
    else:
        pipe.tell(frame(END))


def _work(start: Start, pipe: Pipe) -> None:
    # Imported here: nothing of Ray's is, before it has been told what it shall not do.
    from ray.exceptions import RayError  # noqa: PLC0415

    from lookalike.cluster.flow import Flow, crew_of  # noqa: PLC0415
    from lookalike.cluster.worker import Assignment, Secret  # noqa: PLC0415

    def chunks() -> Iterator[Chunk]:
        while True:
            pipe.tell(frame(ITEM, encode(None)))
            chunk = pipe.next(Chunk)
            if chunk is None:
                return
            yield chunk

    try:
        crew = crew_of(start.job.settings)
        assignment = Assignment(
            job=dataclasses.replace(
                start.job, settings=for_worker(start.job.settings, crew.cores, crew.gpus)
            ),
            token=Secret(start.token),
            weights=start.weights,
            version=__version__,
        )
        _run(Flow(crew, assignment), chunks(), start.address, pipe)
    except (RayError, SystemExit) as error:
        raise ClusterLost(start.address, reason_why(error)) from error


def _run(flow: Flow, chunks: Iterable[Chunk], address: str, pipe: Pipe) -> None:
    from lookalike.cluster.worker import Numbered  # noqa: PLC0415 - as above

    under_way: set[int] = set()
    looked = time.monotonic()

    def take(outcomes: Iterable[Outcome]) -> None:
        nonlocal looked
        for outcome in outcomes:
            looked = time.monotonic()
            if outcome.error:
                raise WorkerFailed(outcome.node, outcome.kind, outcome.error)
            if outcome.number in under_way:
                under_way.remove(outcome.number)
                for committed in outcome.committed:
                    pipe.tell(frame(ITEM, encode(committed)))
        if not flow.failure and time.monotonic() - looked > LOOKED_EVERY_S:
            flow.look(len(under_way))
            looked = time.monotonic()
        if flow.failure:
            raise ClusterLost(address, flow.failure)

    def hand_on(numbered: Numbered | None) -> None:
        while not flow.put(numbered):
            take(flow.outcomes(TICK_S))
        take(flow.outcomes(0))

    for number, chunk in enumerate(chunks):
        under_way.add(number)
        hand_on(Numbered(number, chunk))
    hand_on(None)
    while not flow.ended:
        take(flow.outcomes(TICK_S))
    take(flow.outcomes(0))
    if under_way:
        raise ClusterLost(address, f"nothing was heard of {len(under_way)} chunks")


def for_worker(settings: Settings, cores: int, gpus: int) -> Settings:
    """The settings of a worker: one with a GPU sees it as the first, others leave all alone."""
    own = "cpu" if settings.device == "auto" else settings.device
    return dataclasses.replace(settings, threads=cores, device="cuda" if gpus else own)


def main() -> None:
    """Serve the process that has started this one, and keep all else away from the pipes."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it reports its use over the network else
    said, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    try:
        serve(Pipe(said, told))
        import ray  # noqa: PLC0415 - as above

        ray.shutdown()
    finally:
        os._exit(0)  # whatever still asks Ray, which would end this process, too
