"""How long does it take to see that a million pictures on a Milvus server have not changed?

The rows, with vectors of 8 numbers, are written through the store; the files are not on the disk:
they stream through the functions that plan a run, as if a scan had found them. Peak memory is that
of a fresh process that does nothing else. The server's address is the argument; the development
extra has one: ``tests/milvus_server.py``.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from measure import arguments, in_fresh_process, peak_rss_mb, publish, write_random_rows

from lookalike import Settings
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.sync import PLANNED_FILES
from lookalike.ingest.work import Chunk, Job, compare
from lookalike.records import ImageFile, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel

DIM = 8
WRITTEN_AT_ONCE = 20_000


@dataclass(frozen=True)
class Planned:
    """What one process measured."""

    seconds: float
    peak_mb: float
    first_mb: float


def files(count: int) -> Iterator[ImageFile]:
    """Pictures in folders of 500, each of other bytes."""
    for number in range(count):
        path = f"/photos/{number // 500:06d}/{number:09d}.jpg"
        yield ImageFile(path, Stamp(100_000 + number, 1_700_000_000_000_000_000 + number))


def fill(address: str, token: str | None, collection: str, count: int) -> float:
    model = CollectionModel(model="random", fingerprint="0" * 32, dim=DIM)
    store = MilvusStore(address, collection, create=model, token=token)
    started = time.perf_counter()
    rest = files(count)
    while some := list(itertools.islice(rest, WRITTEN_AT_ONCE)):
        write_random_rows(store, some)
    seconds = time.perf_counter() - started
    store.close()
    return seconds


def plan(address: str, token: str | None, collection: str, count: int) -> Planned:
    store = MilvusStore(address, collection, create=None, token=token)
    if store.count() != count:
        raise SystemExit(f"{store.count()} rows were written, not {count}.")
    job = Job(
        database=store.database,
        collection=collection,
        settings=Settings(),
        checksum=False,
        may_be_known=True,
    )
    rest, seen, first_mb = files(count), Committed(), 0.0
    unchanged = 0
    started = time.perf_counter()
    while found := list(itertools.islice(rest, PLANNED_FILES)):
        seen, changed = compare(Chunk(found), job, store)
        unchanged += seen.unchanged
        if changed:
            raise SystemExit(f"{len(changed)} files were seen as changed.")
        first_mb = first_mb or peak_rss_mb()
    seconds = time.perf_counter() - started
    store.close()
    if unchanged != count:
        raise SystemExit(f"{unchanged} of {count} files were seen as unchanged.")
    return Planned(seconds, peak_rss_mb(), first_mb)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("server", help="http://HOST:PORT of a Milvus server")
    parser.add_argument("--files", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=2, help="fresh processes (default 2)")
    args = parser.parse_args()

    token, collection = os.environ.get("LOOKALIKE_TOKEN"), f"plan_{uuid.uuid4().hex}"
    written = in_fresh_process(fill, args.server, token, collection, args.files)
    rounds = [
        in_fresh_process(plan, args.server, token, collection, args.files)
        for _ in range(args.rounds)
    ]
    publish(
        "Planning unchanged pictures against a Milvus server",
        [
            ("", *(f"round {number + 1}" for number in range(args.rounds))),
            ("files", *(f"{args.files:,}" for _ in rounds)),
            ("seconds", *(f"{each.seconds:.1f}" for each in rounds)),
            ("files/s", *(f"{args.files / each.seconds:,.0f}" for each in rounds)),
            ("memory after the first files, MB", *(f"{each.first_mb:.0f}" for each in rounds)),
            ("peak memory, MB", *(f"{each.peak_mb:.0f}" for each in rounds)),
        ],
        figures={
            "files": args.files,
            "rows_written_per_second": args.files / written,
            "rounds": [asdict(each) for each in rounds],
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
