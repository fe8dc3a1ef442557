"""How long does a search take from a cold shell, against the tutorial's script?

Whole processes, from start to exit, taking turns: ``lookalike search PICTURE --format json`` and
``tutorial_search.py``, each over a Milvus Lite database of its own with the same number of rows.
Those of the pictures come first, random unit vectors fill up the rest. One untimed run of each
comes before, so files are in the system's cache. Every answer must begin with the picture itself,
or its equal.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    pictures_in,
    publish,
    random_units,
    write_random_rows,
)

from lookalike import Index
from lookalike.records import ImageFile, Stamp
from lookalike.store.milvus import MilvusStore

TUTORIAL_SCRIPT = Path(__file__).with_name("tutorial_search.py")
SAME_PICTURE = 0.99  # less than 1 because a row's vector was computed among others


@dataclass(frozen=True)
class Run:
    """One process: seconds by the clock, processor seconds in user code, what it printed."""

    seconds: float
    user_seconds: float
    output: str


def fill_lookalike(database: Path, pictures: Sequence[Path], rows: int) -> None:
    with Index.open(database) as index:
        index.add(*pictures)
        info = index.info()
    store = MilvusStore(str(database), info.collection, create=None)
    write_random_rows(
        store,
        [
            ImageFile(f"/pictures/{number:08d}.jpg", Stamp(size_bytes=number, mtime_ns=number))
            for number in range(rows - info.pictures)
        ],
    )
    store.close()


def fill_tutorial(database: Path, pictures: Sequence[Path], rows: int) -> None:
    # Imported here: lookalike's database is made without PyTorch.
    from tutorial_search import COLLECTION, DIM, FeatureExtractor, create_database  # noqa: PLC0415

    extract = FeatureExtractor()
    client = create_database(database)
    client.insert(COLLECTION, [{"vector": extract(p), "filename": str(p)} for p in pictures])
    for block in random_units(rows - len(pictures), DIM):
        client.insert(COLLECTION, [{"vector": row, "filename": "/random.jpg"} for row in block])
    client.flush(COLLECTION)
    client.close()


def run(command: Sequence[str]) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    user_seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return Run(seconds, user_seconds, done.stdout)


def loads_torch(arguments: Sequence[str]) -> bool:
    """Whether ``python -m lookalike`` with these arguments imports PyTorch."""
    command = [sys.executable, "-X", "importtime", "-m", "lookalike", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return any(line.rpartition("|")[2].strip() == "torch" for line in done.stderr.splitlines())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLES, help="else the samples")
    parser.add_argument("--rows", type=int, default=10_000, help="in each database (10,000)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (default 5)")
    args = parser.parse_args()
    command = shutil.which("lookalike", path=sysconfig.get_path("scripts"))
    if command is None:
        raise SystemExit("lookalike is not installed beside this Python.")

    pictures = [path.absolute() for path in pictures_in(args.folder)[: args.rows]]
    with tempfile.TemporaryDirectory() as temporary:
        ours, theirs = Path(temporary) / "lookalike.db", Path(temporary) / "tutorial.db"
        in_fresh_process(fill_lookalike, ours, pictures, args.rows)
        in_fresh_process(fill_tutorial, theirs, pictures, args.rows)

        search = ["search", str(pictures[0]), "--db", str(ours), "--format", "json"]
        tutorial = [sys.executable, str(TUTORIAL_SCRIPT), str(pictures[0]), str(theirs)]
        turns = [(run(tutorial), run([command, *search])) for _ in range(args.rounds + 1)][1:]
        torch_loaded = loads_torch(search)

    for theirs_run, our_run in turns:
        scores = [
            float(theirs_run.output.split()[0]),
            json.loads(our_run.output)["hits"][0]["score"],
        ]
        if min(scores) < SAME_PICTURE:
            raise SystemExit("A search did not find the picture itself.")
    seconds = [statistics.median(turn[side].seconds for turn in turns) for side in (0, 1)]
    user = [statistics.median(turn[side].user_seconds for turn in turns) for side in (0, 1)]
    share = statistics.median(our.seconds / their.seconds for their, our in turns)
    publish(
        f"One search from a cold shell, {args.rows:,} rows, {args.rounds} runs each, medians",
        [
            ("", "tutorial", "lookalike"),
            ("seconds", *(f"{value:.2f}" for value in seconds)),
            ("user processor seconds", *(f"{value:.2f}" for value in user)),
            ("share of the tutorial's time, by the medians", "", f"{seconds[1] / seconds[0]:.1%}"),
            ("share of the tutorial's time, median of rounds", "", f"{share:.1%}"),
            ("PyTorch loaded", "yes", "yes" if torch_loaded else "no"),
        ],
        figures={
            "rows": args.rows,
            "pictures": len(pictures),
            "share_of_medians": seconds[1] / seconds[0],
            "median_share": share,
            "torch_loaded": torch_loaded,
            "turns": [
                {
                    f"{name}_{figure}": getattr(turn, figure)
                    for name, turn in zip(("tutorial", "lookalike"), both, strict=True)
                    for figure in ("seconds", "user_seconds")
                }
                for both in turns
            ],
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
