"""Chunks flow to the workers of a Ray cluster, and outcomes back, through Ray Data."""

from __future__ import annotations

import contextlib
import queue
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import GetTimeoutError, RayError
from ray.util.queue import Full, Queue

from lookalike.cluster.connection import listening, reason_why
from lookalike.cluster.worker import Assignment, ChunkWorker, Numbered, Outcome
from lookalike.errors import InvalidSetting
from lookalike.owner.messages import decode, encode
from lookalike.settings import Settings, environment_variable

WORKER_CORES = 4  # fewer, where these would leave too many of the cluster's cores over
USED = 0.9  # of all cores, at least
CALLS_AT_ONCE = 2
CHUNKS_AHEAD = 2  # for each worker, in the queue
# A worker that is out of memory is started again and again; one whose machine is lost is tried a
# few times each second until the cluster has noticed that.
RETRIES = 60
RESTARTS = 4  # for each worker that has something to do, without an outcome of any
MISSES, ANSWERS_WITHIN_S = 2, 5.0


@dataclass(frozen=True)
class Crew:
    """The workers that a cluster has room for."""

    workers: int
    cores: int
    gpus: int


def crew_of(settings: Settings) -> Crew:
    """One worker for each GPU where those are asked for, else for some cores.

    Raises:
        InvalidSetting: no machine has as much.
    """
    machines = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    return crew_for(machines, settings)


def crew_for(machines: Sequence[tuple[int, int]], settings: Settings) -> Crew:
    """The crew of machines with so many cores and GPUs each; as `crew_of`."""
    on_gpus = settings.device.startswith("cuda")
    if on_gpus:
        machines = [(cores, gpus) for cores, gpus in machines if gpus]
        if not machines:
            raise InvalidSetting("device", settings.device, "cpu: the Ray cluster has no GPU")
        for_each = min(cores // gpus for cores, gpus in machines)
        wanted = settings.threads or max(1, min(WORKER_CORES, for_each))
    else:
        wanted = settings.threads or _cores_of_workers([cores for cores, _ in machines])
    workers = sum(
        min(cores // wanted, gpus) if on_gpus else cores // wanted for cores, gpus in machines
    )
    if not workers:
        name = environment_variable("threads")
        cores = max((cores for cores, _ in machines), default=0)
        expected = f"at most {cores}, what a machine of the Ray cluster has"
        raise InvalidSetting(name, wanted, expected)
    return Crew(workers, wanted, int(on_gpus))


def _cores_of_workers(machines: list[int]) -> int:
    return next(
        cores
        for cores in range(WORKER_CORES, 0, -1)
        if sum(has - has % cores for has in machines) >= USED * sum(machines)
    )


class Flow:
    """What is under way ends with this process.

    Attributes:
        failure: why the cluster has failed; empty as long as it has not.
        ended: whether all outcomes have come, or none will come any more.
    """

    def __init__(self, crew: Crew, assignment: Assignment) -> None:
        """Start to take chunks."""
        self.failure, self.ended = "", False
        self._workers = crew.workers
        self._restarts: dict[str, int] | None = None  # at the first look since an outcome
        self._misses = 0
        self._head = str(ray.get_runtime_context().gcs_address)
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        self._chunks = Queue(crew.workers * CHUNKS_AHEAD, {"num_cpus": 0, "label_selector": here})
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # a scan may find nothing for long
        context.target_max_block_size = 1  # what was read is handed on at once
        with DataContext.current(context), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an option that has no other name yet
            self._dataset = self._pipeline(crew, assignment, here)
        threading.Thread(target=self._collect, daemon=True).start()

    def _pipeline(self, crew: Crew, assignment: Assignment, here: dict[str, str]) -> Any:
        return ray.data.read_datasource(
            _Waiting(self._chunks),
            override_num_blocks=1,
            num_cpus=0,
            label_selector=here,
            # What another attempt yields would be taken for what the lost one had yielded already.
            ray_remote_args={"max_retries": 0},
        ).map_batches(
            ChunkWorker,
            fn_constructor_args=[assignment],
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=crew.cores,
            num_gpus=crew.gpus,
            compute=ActorPoolStrategy(
                min_size=1,
                initial_size=crew.workers,
                max_size=crew.workers,
                max_concurrent_calls_per_actor=CALLS_AT_ONCE,
                enable_true_multi_threading=True,
            ),
            max_task_retries=RETRIES,
        )

    def put(self, numbered: Numbered | None) -> bool:
        """Hand on a chunk, or None behind the last one; False where too many wait already."""
        try:
            self._chunks.put(numbered and encode(numbered), block=False)
        except Full:
            return False
        except RayError as error:
            self.failure = self.failure or reason_why(error)
            return False
        return True

    def outcomes(self, wait_s: float) -> Iterator[Outcome]:
        """Those that have come; one is waited for."""
        with contextlib.suppress(queue.Empty):
            yield self._outcomes.get(timeout=wait_s) if wait_s else self._outcomes.get_nowait()
            self._restarts, self._misses = None, 0
            while True:
                yield self._outcomes.get_nowait()

    def look(self, under_way: int) -> None:
        """See whether the cluster has failed, where no outcome has come for some time."""
        if not listening(self._head):
            self._miss("its head does not answer any more")
            return
        try:
            ray.get(self._chunks.actor.qsize.remote(), timeout=ANSWERS_WITHIN_S)
            restarts = _restarts_of_workers()
        except GetTimeoutError:
            return  # it has much to do, or is being started
        except RayError as error:
            self._miss(reason_why(error))
            return
        self._misses = 0
        if self._restarts is None or not under_way:
            self._restarts = restarts
            return
        # One of each may be of a machine that was lost, with all of its workers.
        again = {
            worker: count - self._restarts.get(worker, 0) - 1 for worker, count in restarts.items()
        }
        if sum(max(0, count) for count in again.values()) >= RESTARTS * min(
            under_way, self._workers
        ):
            self.failure = self.failure or (
                "its workers are started again and again, and none has finished anything "
                "meanwhile: they are low on memory, or crash"
            )

    def _miss(self, reason: str) -> None:
        self._misses += 1
        if self._misses == MISSES:
            self.failure = self.failure or reason

    def _collect(self) -> None:
        try:
            for batch in self._dataset.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for row in batch["outcome"]:
                    self._outcomes.put(decode(row.as_py(), Outcome))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the caller's thread raises it
            self.failure = self.failure or reason_why(error)
        finally:
            self.ended = True


def _restarts_of_workers() -> dict[str, int]:
    """How often each worker of this driver has been started again."""
    # There is no public way without Ray's dashboard.
    from ray._private.state import actors  # noqa: PLC0415

    return {
        name: int(actor["NumRestarts"])
        for name, actor in actors(job_id=ray.get_runtime_context().job_id).items()
        if ChunkWorker.__name__ in actor["ActorClassName"]
    }


_UNKNOWN = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None)


class _Waiting(Datasource):  # type: ignore[misc]
    """What waits in a queue, until None comes."""

    def __init__(self, chunks: Queue) -> None:
        self._chunks = chunks

    def estimate_inmemory_data_size(self) -> None:
        """Nobody knows."""

    def get_read_tasks(self, *args: Any, **options: Any) -> list[ReadTask]:
        """One, that reads all."""
        chunks = self._chunks

        def read() -> Iterator[pa.Table]:
            while (item := chunks.get()) is not None:
                yield pa.table({"chunk": [item]})

        return [ReadTask(read, _UNKNOWN)]
