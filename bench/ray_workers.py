"""How many pictures a second do 1, 2 and 3 workers of a Ray cluster index, against a local run?

A worker has one core: it is a node of a cluster on this machine that runs on that core alone, the
second on the second core, and what is more than there are cores on one that has a worker already. A
local run on one core is what one worker is compared with; one on all cores shows what the machine
can do. All index the same pictures under several names into an empty collection each, on the same
Milvus server; every turn is a process of its own. A rate is of the rows that the server has, asked
twice a second, between a quarter of them and three: starting Ray and loading models, which is a
line of its own, is not in it, nor the end, when some workers have no chunk any more.

Run it on an idle machine, which the last line tells. The server, the command and Ray's head have no
core of their own, and take their share of all; what Ray runs on a node is on the worker's core. A
local run on one core also scans, counts and asks for the rows on it, which with workers the command
does elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measure import arguments, in_fresh_process, multiply, pictures_in, publish
from pymilvus import MilvusClient

from lookalike import Index, Settings

if TYPE_CHECKING:
    from lookalike.cluster import RayWorkers

LOCAL, ALL_CORES = 0, -1
FROM, TO = 0.25, 0.75
PAUSE_S, SEEN_WITHIN_S = 0.5, 3.0


@dataclass(frozen=True)
class Turn:
    """What one process measured."""

    images_per_second: float
    seconds_to_the_first: float
    seconds: float


def turn(server: str, token: str | None, folder: Path, files: int, count: int) -> Turn:
    """Index the folder with `count` workers, or in a local run."""
    cores = sorted(os.sched_getaffinity(0))
    if count > 0:
        # Imported here: a local run is a process without Ray.
        from lookalike.cluster import RayWorkers  # noqa: PLC0415

        with nodes_on(cores, count) as address:
            return run(server, token, folder, files, RayWorkers(address, token=token))
    return run(server, token, folder, files)


@contextlib.contextmanager
def nodes_on(cores: list[int], count: int) -> Iterator[str]:
    """The address of a cluster that has so many nodes of one core, besides its head."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before it is imported; nothing is sent then
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    small = {"object_store_memory": 100_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **small}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for number in range(count):
            os.sched_setaffinity(0, {cores[number % len(cores)]})  # which its processes inherit
            cluster.add_node(num_cpus=1, **small)
        os.sched_setaffinity(0, cores)
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def run(
    server: str, token: str | None, folder: Path, files: int, workers: RayWorkers | None = None
) -> Turn:
    """Index the folder into an empty collection."""
    collection = f"ray_{uuid.uuid4().hex}"
    settings = Settings(threads=1 if workers or len(os.sched_getaffinity(0)) == 1 else 0)
    with Index.open(server, token=token, collection=collection, settings=settings) as index:
        rows = Growth(server, token or "", collection)
        rows.start()
        started = time.perf_counter()
        report = index.add(folder, workers=workers)
        ended = time.perf_counter()
        rows.ended.set()
        rows.join()
        rows.client.drop_collection(collection)
    if not report.added == rows.moments[-1][1] == files:
        raise SystemExit(f"Only {report.added} of {files} pictures could be used.")
    begun, done = rows.moment_of(FROM * files), rows.moment_of(TO * files)
    first = next(at for at, count in rows.moments if count)
    return Turn((TO - FROM) * files / (done - begun), first - started, ended - started)


class Growth(threading.Thread):
    """Asks now and then how many rows a collection has."""

    def __init__(self, server: str, token: str, collection: str) -> None:
        super().__init__()
        self.client = MilvusClient(server, token=token, dedicated=True)
        self._collection = collection
        self.ended = threading.Event()
        self.moments: list[tuple[float, int]] = [(time.perf_counter(), 0)]

    def run(self) -> None:
        """Until the run has ended and its last rows are seen."""
        while not self.ended.wait(PAUSE_S):
            self._look()
        time.sleep(SEEN_WITHIN_S)
        self._look()

    def _look(self) -> None:
        (row,) = self.client.query(
            self._collection, output_fields=["count(*)"], consistency_level="Eventually"
        )
        self.moments.append((time.perf_counter(), int(row["count(*)"])))

    def moment_of(self, rows: float) -> float:
        """When it had so many rows, on the straight line between two looks."""
        times, counts = np.array(self.moments).T
        return float(np.interp(rows, np.maximum.accumulate(counts), times))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="pictures, some hundreds")
    parser.add_argument("server", help="http://HOST:PORT of a Milvus server")
    parser.add_argument("--files", type=int, default=4000, help="names (default 4,000)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each (default 2)")
    args = parser.parse_args()

    token, kinds = os.environ.get("LOOKALIKE_TOKEN"), (LOCAL, ALL_CORES, 1, 2, 3)
    load_before, cores = os.getloadavg()[0], sorted(os.sched_getaffinity(0))
    turns: dict[int, list[Turn]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as temporary:
        multiply(pictures_in(args.folder), args.files, into=Path(temporary))
        for _ in range(args.rounds):
            for kind in kinds:
                # OpenVINO's threads use all cores that the process had when it began.
                os.sched_setaffinity(0, cores[:1] if kind == LOCAL else cores)
                said = (args.server, token, Path(temporary), args.files, kind)
                turns[kind].append(in_fresh_process(turn, *said))

    def median(name: str) -> list[float]:
        return [statistics.median(getattr(each, name) for each in turns[kind]) for kind in kinds]

    rates, firsts = median("images_per_second"), median("seconds_to_the_first")
    wholes = median("seconds")
    publish(
        f"Indexing {args.files:,} pictures, medians of {args.rounds} turns",
        [
            ("", "local, a core", "local, all cores", "1 worker", "2 workers", "3 workers"),
            ("images/s", *(f"{rate:.1f}" for rate in rates)),
            ("times the local run", *(f"{rate / rates[0]:.2f}" for rate in rates)),
            ("times one worker", "", "", *(f"{rate / rates[2]:.2f}" for rate in rates[2:])),
            ("seconds to the first pictures", *(f"{each:.1f}" for each in firsts)),
            ("seconds in all", *(f"{each:.1f}" for each in wholes)),
            ("load average before the first turn", f"{load_before:.1f}", "", "", "", ""),
        ],
        figures={
            "turns": {str(kind): [asdict(each) for each in turns[kind]] for kind in kinds},
            "load_average_before": load_before,
            "ray": version("ray"),
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
