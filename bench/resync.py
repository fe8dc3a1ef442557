"""What does it cost to index a folder again of which little has changed?

The files are the packaged sample pictures under many names, each with a few bytes of its own behind
the picture, so that no two have the same content. They are indexed in one run. Then one in a
hundred is replaced by another picture, one in a hundred is moved to another folder, and one in a
hundred is deleted, and they are indexed again; the pictures that the model embeds are counted. Both
times are those of ``IndexReport.seconds``, so without start-up; each run is a process of its own.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import FILES_PER_FOLDER, SAMPLES, arguments, in_fresh_process, pictures_in, publish

from lookalike import Index, IndexReport, load_embedder
from lookalike.embed.embedder import ModelEmbedder
from lookalike.records import Pixels


class CountingEmbedder(ModelEmbedder):
    """The packaged model, which counts the pictures that it embeds."""

    def __init__(self) -> None:
        packaged = load_embedder()
        super().__init__(packaged.description, packaged._start_engine)
        self.pictures = 0

    def embed(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """As the packaged model does."""
        self.pictures += len(pictures)
        return super().embed(pictures)


@dataclass(frozen=True)
class Run:
    """What one process did."""

    report: IndexReport
    embedded: int


def write(folder: Path, count: int) -> list[Path]:
    """`count` pictures of different content in folders of 500."""
    numbered: Iterator[tuple[int, Path]] = enumerate(
        itertools.islice(itertools.cycle(pictures_in(SAMPLES)), count)
    )
    files = []
    for number, picture in numbered:
        target = folder / str(number // FILES_PER_FOLDER) / f"{number}{picture.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_as(target, picture, number)
        files.append(target)
    return files


def write_as(target: Path, picture: Path, number: int) -> None:
    # What stands behind the end of a picture is no part of it.
    target.write_bytes(picture.read_bytes() + f"{number:012}".encode())


def change(files: list[Path], folder: Path, each: int) -> None:
    """Replace, move and delete `each` of the files, from the front of the list."""
    changed, moved, deleted = (files[start * each : (start + 1) * each] for start in range(3))
    by_suffix: dict[str, list[Path]] = {}
    for picture in pictures_in(SAMPLES):
        by_suffix.setdefault(picture.suffix, []).append(picture)
    for number, path in enumerate(changed):
        others = by_suffix[path.suffix]
        write_as(path, others[number % len(others)], len(files) + number)
    (folder / "moved").mkdir()
    for path in moved:
        shutil.move(path, folder / "moved" / path.name)
    for path in deleted:
        path.unlink()


def run(database: Path, folder: Path) -> Run:
    embedder = CountingEmbedder()
    embedder.load()
    with Index.open(database, model=embedder) as index:
        return Run(index.add(folder), embedder.pictures)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="how many (default 20,000)")
    args = parser.parse_args()
    each = args.files // 100

    with tempfile.TemporaryDirectory() as temporary:
        folder, database = Path(temporary) / "pictures", Path(temporary) / "lookalike.db"
        files = write(folder, args.files)
        full = in_fresh_process(run, database, folder)
        change(files, folder, each)
        again = in_fresh_process(run, database, folder)

    rows = [
        (name, f"{getattr(full.report, name):,}", f"{getattr(again.report, name):,}")
        for name in ("added", "updated", "moved", "removed", "unchanged")
    ]
    publish(
        f"Index.add of {args.files:,} files, and again with 1 % changed, moved and deleted each",
        [
            ("", "first run", "second run"),
            *rows,
            ("embedded", f"{full.embedded:,}", f"{again.embedded:,}"),
            ("seconds", f"{full.report.seconds:.1f}", f"{again.report.seconds:.1f}"),
        ],
        figures={
            "files": args.files,
            "embedded": [full.embedded, again.embedded],
            "seconds": [full.report.seconds, again.report.seconds],
        },
        json_file=args.json,
    )
    report = again.report
    counts = (report.updated, report.moved, report.removed, again.embedded, report.added)
    if counts != (each, each, each, each, 0):
        raise SystemExit("More was done than had changed.")


if __name__ == "__main__":
    main()
