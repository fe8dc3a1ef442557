"""How many pictures a second do 1, 2 and 3 workers of a Ray cluster index, against a local run?

All have one thread, the same pictures under several names, and an empty collection on the same
Milvus server each. Every turn is a process of its own; those with workers start a cluster on this
machine with a core for each. A rate is counted from the first pictures that are committed to the
last, so that starting Ray and loading models, which is a column of its own, is not in it.

Run it on an idle machine, which the last line tells. The server and the command take their share of
the cores, too.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import arguments, in_fresh_process, multiply, pictures_in, publish

from lookalike import Index, Progress, Settings

LOCAL = 0


@dataclass(frozen=True)
class Turn:
    """What one process measured."""

    images_per_second: float
    seconds_to_the_first: float


def turn(server: str, token: str | None, folder: Path, files: int, count: int) -> Turn:
    """Index the folder with `count` workers; 0 is a local run."""
    workers = None
    if count != LOCAL:
        # Imported here: a local run is a process without Ray.
        from lookalike.cluster import RayWorkers  # noqa: PLC0415
        from lookalike.cluster.connection import ray  # noqa: PLC0415

        ray.init(
            num_cpus=count,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="CRITICAL",
            object_store_memory=100_000_000,
            _node_ip_address="127.0.0.1",
        )
        workers = RayWorkers("local", token=token)
    moments: list[tuple[float, int]] = []

    def on_progress(progress: Progress) -> None:
        if progress.added:
            moments.append((time.perf_counter(), progress.added))

    collection = f"ray_{uuid.uuid4().hex}"
    settings = Settings(threads=1)
    with Index.open(server, token=token, collection=collection, settings=settings) as index:
        started = time.perf_counter()
        report = index.add(folder, workers=workers, on_progress=on_progress)
        index._store._database.ask("drop_collection", collection)  # type: ignore[union-attr]
    if report.added != files:
        raise SystemExit(f"Only {report.added} of {files} pictures could be used.")
    (first, before), (last, after) = moments[0], moments[-1]
    return Turn((after - before) / (last - first), first - started)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="pictures, some hundred")
    parser.add_argument("server", help="http://HOST:PORT of a Milvus server")
    parser.add_argument("--files", type=int, default=1500, help="names (default 1,500)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each (default 2)")
    args = parser.parse_args()

    token, kinds = os.environ.get("LOOKALIKE_TOKEN"), (LOCAL, 1, 2, 3)
    load_before = os.getloadavg()[0]
    turns: dict[int, list[Turn]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as temporary:
        multiply(pictures_in(args.folder), args.files, into=Path(temporary))
        for _ in range(args.rounds):
            for kind in kinds:
                said = (args.server, token, Path(temporary), args.files, kind)
                turns[kind].append(in_fresh_process(turn, *said))

    def median(name: str) -> list[float]:
        return [statistics.median(getattr(each, name) for each in turns[kind]) for kind in kinds]

    rates, firsts = median("images_per_second"), median("seconds_to_the_first")
    publish(
        f"Indexing {args.files:,} pictures, medians of {args.rounds} turns, one thread each",
        [
            ("", "local", "1 worker", "2 workers", "3 workers"),
            ("images/s", *(f"{rate:.1f}" for rate in rates)),
            ("times the local run", *(f"{rate / rates[0]:.2f}" for rate in rates)),
            ("times one worker", "", *(f"{rate / rates[1]:.2f}" for rate in rates[1:])),
            ("seconds to the first pictures", *(f"{each:.1f}" for each in firsts)),
            ("load average before the first turn", f"{load_before:.1f}", "", "", ""),
        ],
        figures={
            "turns": {str(kind): [asdict(each) for each in turns[kind]] for kind in kinds},
            "load_average_before": load_before,
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
