"""How fast does ``Index.add`` pass over files that have not changed, and does it open any?

The files are one small picture under many names, in folders of 500. Their rows are written
straight through the store, with random vectors and the stamps that the files have. Each round is a
fresh process that opens the index and adds the folder twice: the first time is measured (by
``IndexReport.seconds``, so without start-up), the second time every file that Python opens is
counted, and must be none.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    write_random_rows,
)

from lookalike import Index, IndexReport
from lookalike.records import ImageFile, Stamp
from lookalike.store.milvus import MilvusStore


@dataclass(frozen=True)
class Round:
    """What one process measured."""

    seconds: float
    files_opened: int
    model_loaded: bool


def fill(database: Path, files: Sequence[Path]) -> None:
    """Rows as if all `files` had been indexed."""
    with Index.open(database) as index:
        collection = index.info().collection
    store = MilvusStore(str(database), collection, create=None)
    stats = [(str(path), path.stat()) for path in files]
    write_random_rows(
        store, [ImageFile(path, Stamp(stat.st_size, stat.st_mtime_ns)) for path, stat in stats]
    )
    store.close()


def add_twice(database: Path, folder: Path, files: int) -> Round:
    with Index.open(database) as index:
        timed = index.add(folder)
        opened = []

        def note(event: str, args: tuple[Any, ...]) -> None:
            if event == "open" and str(args[0]).startswith(str(folder)):
                opened.append(args[0])

        sys.addaudithook(note)
        counted = index.add(folder)
    for report in (timed, counted):
        check(report, files)
    return Round(timed.seconds, len(opened), "openvino" in sys.modules)


def check(report: IndexReport, files: int) -> None:
    if report.unchanged != files or report.total != files:
        raise SystemExit(f"{report.unchanged} of {files} files were seen as unchanged.")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="how many (default 20,000)")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (default 3)")
    args = parser.parse_args()

    smallest = min(pictures_in(SAMPLES), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory() as temporary:
        folder, database = Path(temporary) / "pictures", Path(temporary) / "lookalike.db"
        folder.mkdir()
        in_fresh_process(fill, database, multiply([smallest], args.files, into=folder))
        rounds = [
            in_fresh_process(add_twice, database, folder, args.files) for _ in range(args.rounds)
        ]

    seconds = statistics.median(each.seconds for each in rounds)
    opened = max(each.files_opened for each in rounds)
    model_loaded = any(each.model_loaded for each in rounds)
    publish(
        f"Index.add of unchanged files, median of {args.rounds} processes",
        [
            ("", "lookalike"),
            ("files", f"{args.files:,}"),
            ("seconds", f"{seconds:.2f}"),
            ("files/s", f"{args.files / seconds:,.0f}"),
            ("unchanged", f"{args.files:,}"),
            ("files opened", f"{opened:,}"),
            ("model loaded", "yes" if model_loaded else "no"),
        ],
        figures={
            "files": args.files,
            "files_per_second": args.files / seconds,
            "files_opened": opened,
            "model_loaded": model_loaded,
            "rounds": [asdict(each) for each in rounds],
        },
        json_file=args.json,
    )
    if opened:
        raise SystemExit("Unchanged files were opened.")


if __name__ == "__main__":
    main()
