"""How much faster than the tutorial loop is indexing, and how near to what the cores can do?

The tutorial loop opens, embeds and inserts one picture at a time, with PyTorch and timm; lookalike
is ``Index.add`` of the same pictures, under several names where they are few. Both have the same
weights, start with an empty Milvus Lite database, and take turns. Every turn is a process of its
own that has loaded its model and embedded a few pictures before its clock starts.

The bound is ``cores / (decode + inference)``, both in core-seconds per picture, measured by
``bound.py`` in lookalike's process after its clock has stopped. Peak memory is that of the whole
process up to the end of the indexing; the model and all libraries are in it.

Run it on an idle machine, which the last line tells: PyTorch's threads wait for
each other, so a busy neighbour slows the tutorial ten times and lookalike only twice.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bound import bound_core_seconds
from measure import arguments, in_fresh_process, multiply, peak_rss_mb, pictures_in, publish

from lookalike import Index, Settings, load_embedder

SIDES = ("tutorial", "lookalike")
WARM_UP_PICTURES = 16
STEADY_PICTURES = 800  # so many, that filling and draining the pipeline hardly counts


@dataclass(frozen=True)
class Turn:
    """What one process measured; the core-seconds are per picture and 0 for the tutorial."""

    images_per_second: float
    peak_mb: float
    decode_core_seconds: float = 0.0
    inference_core_seconds: float = 0.0

    @property
    def core_seconds(self) -> float:
        """What one picture costs at least."""
        return self.decode_core_seconds + self.inference_core_seconds


def tutorial_turn(pictures: list[Path], database: Path) -> Turn:
    # Imported here: lookalike's turn is a process without PyTorch.
    from tutorial_search import COLLECTION, FeatureExtractor, create_database  # noqa: PLC0415

    extract = FeatureExtractor()
    for path in pictures[:WARM_UP_PICTURES]:
        extract(path)
    client = create_database(database)
    started = time.perf_counter()
    for path in pictures:
        client.insert(COLLECTION, {"vector": extract(path), "filename": str(path)})
    seconds = time.perf_counter() - started
    return Turn(len(pictures) / seconds, peak_rss_mb())


def lookalike_turn(pictures: list[Path], database: Path, folder: Path, files: int) -> Turn:
    settings = Settings.from_environment()
    embedder = load_embedder(settings=settings)
    embedder.embed_files(pictures[:WARM_UP_PICTURES])
    with Index.open(database, model=embedder, settings=settings) as index:
        started = time.perf_counter()
        report = index.add(folder)
        seconds = time.perf_counter() - started
    if report.added != files:
        raise SystemExit(f"Only {report.added} of {files} pictures could be used.")
    peak_mb = peak_rss_mb()
    return Turn(files / seconds, peak_mb, *bound_core_seconds(pictures, embedder, settings))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="pictures, some hundred")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--repeat", type=int, help="names per picture for lookalike's turns")
    args = parser.parse_args()

    pictures = pictures_in(args.folder)
    files = len(pictures) * (args.repeat or -(-STEADY_PICTURES // len(pictures)))
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pictures"
        folder.mkdir()
        multiply(pictures, files, into=folder)
        tutorial, ours = [], []
        for turn in range(args.rounds):
            databases = [Path(temporary) / f"{side}{turn}.db" for side in SIDES]
            tutorial.append(in_fresh_process(tutorial_turn, pictures, databases[0]))
            ours.append(in_fresh_process(lookalike_turn, pictures, databases[1], folder, files))

    compare(
        tutorial, ours, counts=(len(pictures), files), load_before=load_before, json_file=args.json
    )


def compare(
    tutorial: list[Turn],
    ours: list[Turn],
    *,
    counts: tuple[int, int],
    load_before: float,
    json_file: Path | None,
) -> None:
    cores = Settings.from_environment().workers

    def medians(name: str) -> tuple[float, float]:
        both = [[getattr(turn, name) for turn in turns] for turns in (tutorial, ours)]
        return statistics.median(both[0]), statistics.median(both[1])

    def median_of_rounds(ratio: Callable[[Turn, Turn], float]) -> float:
        return statistics.median(map(ratio, tutorial, ours))

    rates = medians("images_per_second")
    ratio = rates[1] / rates[0]
    median_ratio = median_of_rounds(lambda a, b: b.images_per_second / a.images_per_second)
    _, decode_seconds = medians("decode_core_seconds")
    _, inference_seconds = medians("inference_core_seconds")
    bound = median_of_rounds(lambda _, turn: cores / turn.core_seconds)
    share = median_of_rounds(lambda _, turn: turn.images_per_second * turn.core_seconds / cores)
    publish(
        f"Indexing, {len(ours)} turns each, medians, {cores} cores",
        [
            ("", *SIDES),
            ("pictures per turn", *(f"{count:,}" for count in counts)),
            ("images/s", *(f"{rate:.1f}" for rate in rates)),
            ("peak memory, MB", *(f"{peak:.0f}" for peak in medians("peak_mb"))),
            ("times as fast, by the medians", "", f"{ratio:.2f}"),
            ("times as fast, median of rounds", "", f"{median_ratio:.2f}"),
            ("decode, core-ms per picture", "", f"{decode_seconds * 1e3:.2f}"),
            ("inference, core-ms per picture", "", f"{inference_seconds * 1e3:.2f}"),
            ("bound, images/s", "", f"{bound:.1f}"),
            ("share of the bound", "", f"{share:.1%}"),
            ("load average before the first turn", "", f"{load_before:.1f}"),
        ],
        figures={
            "times_as_fast_by_medians": ratio,
            "times_as_fast_median_of_rounds": median_ratio,
            "bound_images_per_second": bound,
            "share_of_bound": share,
            "load_average_before": load_before,
            "pictures": dict(zip(SIDES, counts, strict=True)),
            "turns": {
                side: [asdict(turn) for turn in turns]
                for side, turns in zip(SIDES, (tutorial, ours), strict=True)
            },
        },
        json_file=json_file,
    )


if __name__ == "__main__":
    main()
