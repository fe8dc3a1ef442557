"""How well, and how fast, are planted duplicates found? ``python bench/duplicates.py FOLDER...``.

The pictures in the folders are originals; of some of them four copies are planted, until there are
``--pictures`` files in all: one resized to 50-90 % of its sides, one compressed as JPEG of quality
30-70, one with 5 % of its width and height cut off at the edges, one of 70-130 % of its brightness.
A pair of pictures is right if both are from one original. Recall is the part of the right pairs
that are together in a group, precision the part of the pairs together that are right. Originals
that are copies of each other already count as wrong. imagededup's hashing is asked for the same
files, where it is installed (pip install imagededup), at its own default threshold and at others.

Growth is that of looking alone: rows with random vectors, each three times with some noise and a
few changed bits of its hash, in a database with ``--rows`` of them and one of four times as many.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, arguments, in_fresh_process, peak_rss_mb, pictures_in, publish
from PIL import Image, ImageEnhance

from lookalike import Index
from lookalike.records import ImageRecord, Stamp
from lookalike.store.milvus import MilvusStore

COPIES = 3
NOISE = 0.35  # cosines of about 0.9 between copies
CHANGED_BITS = 3
THRESHOLDS = (4, 8, 10, 12, 14)  # imagededup's own is 10


@dataclass(frozen=True)
class Found:
    """How well one way has found the planted copies, and what it took."""

    way: str
    recall: float
    precision: float
    seconds: float


@dataclass(frozen=True)
class Timed:
    """One process that looked for duplicates in random rows."""

    rows: int
    groups: int
    open_seconds: float
    seconds: float
    peak_mb: float


def plant(originals: Sequence[Path], count: int, folder: Path) -> None:
    """Fill the folder with `count` files, named by the number of their original."""
    with_copies = min(len(originals), (count - len(originals)) // 4)
    if with_copies < 1:
        raise SystemExit(f"{len(originals)} originals are too many for {count} pictures.")
    chosen = set(random.Random(1).sample(range(len(originals)), with_copies))
    for number, original in enumerate(originals):
        place = folder / f"{number // 100:03d}"
        place.mkdir(exist_ok=True)
        shutil.copyfile(original, place / f"{number:05d}_original{original.suffix}")
        if number in chosen:
            for name, (image, quality) in edited(original, random.Random(number)).items():
                image.save(place / f"{number:05d}_{name}.jpg", quality=quality)


def edited(path: Path, choice: random.Random) -> dict[str, tuple[Image.Image, int]]:
    """The four copies of a picture, and the quality that each is saved with."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    factor = choice.uniform(0.5, 0.9)
    smaller = image.resize(
        (round(width * factor), round(height * factor)), Image.Resampling.LANCZOS
    )
    left, top = choice.uniform(0, 0.05) * width, choice.uniform(0, 0.05) * height
    edges = (left, top, left + 0.95 * width, top + 0.95 * height)
    light = ImageEnhance.Brightness(image).enhance(choice.choice([0.7, 0.8, 1.2, 1.3]))
    return {
        "resized": (smaller, 90),
        "recompressed": (image, choice.randint(30, 70)),
        "cropped": (image.crop(edges), 90),
        "brightness": (light, 90),
    }


def original_of(path: str) -> str:
    return Path(path).name.partition("_")[0]


def judge(way: str, pairs: set[tuple[str, str]], files: Iterable[Path], seconds: float) -> Found:
    """Compare pairs of names of files with what was planted."""
    copies: dict[str, int] = {}
    for file in files:
        copies[original_of(file.name)] = copies.get(original_of(file.name), 0) + 1
    planted = sum(math.comb(count, 2) for count in copies.values())
    right = sum(original_of(first) == original_of(second) for first, second in pairs)
    return Found(way, right / planted, right / max(len(pairs), 1), seconds)


def together(groups: Iterable[Iterable[str]]) -> set[tuple[str, str]]:
    """The pairs of files that are in one group."""
    return {
        pair
        for group in groups
        for pair in itertools.combinations(sorted(Path(path).name for path in group), 2)
    }


def ours(folder: Path, database: Path) -> tuple[float, list[Found]]:
    files = pictures_in(folder)
    found = []
    with Index.open(database) as index:
        report = index.add(folder)
        if report.added != len(files):
            raise SystemExit(f"Only {report.added} of {len(files)} pictures could be used.")
    for level in ("exact", "near"):
        # Opened anew, as the command does.
        with Index.open(database, create=False) as index:
            started = time.perf_counter()
            groups = index.duplicates(level=level)
            seconds = time.perf_counter() - started
        paths = [[group.keep.path, *(other.path for other in group.others)] for group in groups]
        found.append(judge(f"lookalike, {level}", together(paths), files, seconds))
    return report.seconds, found


def theirs(folder: Path) -> list[Found]:
    # Imported here: it is not among what the project installs.
    try:
        from imagededup.methods import DHash, PHash  # noqa: PLC0415
    except ImportError as error:
        print(f"imagededup is left out: {error} (pip install imagededup)\n")
        return []
    files, found = pictures_in(folder), []
    for method in (PHash(verbose=False), DHash(verbose=False)):
        started = time.perf_counter()
        hashes = method.encode_images(image_dir=folder, recursive=True)
        hashing = time.perf_counter() - started
        for threshold in THRESHOLDS:
            started = time.perf_counter()
            near = method.find_duplicates(encoding_map=hashes, max_distance_threshold=threshold)
            seconds = hashing + time.perf_counter() - started
            pairs = together([path, other] for path, others in near.items() for other in others)
            name = f"imagededup {type(method).__name__}, {threshold} bits"
            found.append(judge(name, pairs, files, seconds))
    return found


def fill(database: Path, rows: int) -> None:
    """Random rows in threes."""
    with Index.open(database) as index:
        collection = index.info().collection
    store = MilvusStore(str(database), collection, create=None)
    for start in range(0, rows, 3 * 512):
        store.upsert(list(_threes(start, min(3 * 512, rows - start), store.model.dim)))
    store.flush()
    store.close()


def _threes(start: int, count: int, dim: int) -> Iterator[ImageRecord]:
    random_ = np.random.default_rng(start)
    for number in range(start, start + count):
        if number % COPIES == 0 or number == start:
            centre = random_.standard_normal(dim, dtype=np.float32)
            bits = int(random_.integers(0, 2**63))
        vector = centre + NOISE * random_.standard_normal(dim, dtype=np.float32)
        changed = sum(1 << int(bit) for bit in random_.choice(64, CHANGED_BITS, replace=False))
        yield ImageRecord(
            path=f"/pictures/{number:08d}.jpg",
            content=f"{number:032x}",
            stamp=Stamp(number, number),
            width=500,
            height=375,
            taken_at=0,
            format="jpeg",
            vector=vector / np.linalg.norm(vector),
            phash=f"{bits ^ changed:016x}",
        )


def look(database: Path) -> Timed:
    started = time.perf_counter()
    with Index.open(database, create=False) as index:
        opened = time.perf_counter()
        groups = index.duplicates()
        seconds = time.perf_counter() - opened
        return Timed(len(index), len(groups), opened - started, seconds, peak_rss_mb())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folders", type=Path, nargs="*", help="originals, some thousand")
    parser.add_argument("--pictures", type=int, default=10_000, help="files (default 10,000)")
    parser.add_argument("--rows", type=int, default=10_000, help="for growth (default 10,000)")
    args = parser.parse_args()

    table: list[Row] = []
    figures: dict[str, Any] = {"load_average_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as temporary:
        if args.folders:
            folder = Path(temporary) / "pictures"
            folder.mkdir()
            originals = [path for each in args.folders for path in pictures_in(each)]
            plant(originals, args.pictures, folder)
            count = len(pictures_in(folder))
            indexing, found = in_fresh_process(ours, folder, Path(temporary) / "planted.db")
            found += in_fresh_process(theirs, folder)
            table += [(f"{count:,} pictures", "recall", "precision", "s")]
            table += [
                (each.way, f"{each.recall:.4f}", f"{each.precision:.4f}", f"{each.seconds:.1f}")
                for each in found
            ]
            table += [("indexing them before", "", "", f"{indexing:.1f}")]
            figures |= {"pictures": count, "indexing_seconds": indexing}
            figures["found"] = [asdict(each) for each in found]
        timed = []
        for rows in (args.rows, 4 * args.rows):
            database = Path(temporary) / f"{rows}.db"
            in_fresh_process(fill, database, rows)
            timed.append(in_fresh_process(look, database))
        table += [("random rows", "groups", "peak MB", "s")]
        table += [
            (f"{each.rows:,}", f"{each.groups:,}", f"{each.peak_mb:.0f}", f"{each.seconds:.2f}")
            for each in timed
        ]
        growth = timed[1].seconds / timed[0].seconds
        table += [("times as long for 4 times as many", "", "", f"{growth:.2f}")]
        figures |= {"timed": [asdict(each) for each in timed], "growth": growth}
    publish("Duplicates", table, figures=figures, json_file=args.json)


if __name__ == "__main__":
    main()
