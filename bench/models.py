"""How much faster than the tutorial loop is indexing with ResNet-34, in 16 bits and in int8?

The tutorial loop opens, embeds and inserts one picture at a time, with PyTorch and timm; lookalike
is ``Index.add`` of the same pictures, under several names where they are few, on the processor.
All have the same weights, random ones, start with an empty Milvus Lite database, and take turns.
Every turn is a process of its own that has loaded its model and embedded a few pictures before its
clock starts. int8 is calibrated on the same pictures, once, before all turns.

The time until a model can embed is that of a whole process, from its start to its exit, with all
imports. The first use has an empty cache, so the export for this machine is in it; for int8 it is
the calibration instead, after that export. A later use must not load PyTorch.

Run it on an idle machine, which the last line tells: PyTorch's threads wait for
each other, so a busy neighbour slows the tutorial more than lookalike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from measure import (
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    save_random_weights,
)

from lookalike import Index, Settings, load_embedder
from lookalike.embed.embedder import ModelEmbedder

MODEL = "resnet34"
WARM_UP_PICTURES = 16
STEADY_PICTURES = 800  # so many, that filling and draining the pipeline hardly counts

LOAD = """
import sys
from lookalike import Settings, load_embedder
named = dict(zip(("model", "weights"), sys.argv[1:]))
load_embedder(**named, settings=Settings(device="cpu")).load()
print("torch" in sys.modules)
"""


def lookalike_embedder(precision: str, weights: Path, pictures: Sequence[Path]) -> ModelEmbedder:
    return load_embedder(
        MODEL,
        weights=weights,
        calibration=pictures if precision == "int8" else None,
        settings=settings_of(precision),
    )


def settings_of(precision: str) -> Settings:
    return replace(Settings.from_environment(), device="cpu", precision=precision)


def precisions() -> tuple[str, str]:
    """What this processor computes with: bf16 where it has it, and int8."""
    from lookalike.embed.openvino_engine import ov  # noqa: PLC0415

    can_bf16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if can_bf16 else "fp32", "int8"


def tutorial_turn(pictures: list[Path], database: Path, weights: Path) -> float:
    """Images per second."""
    # Imported here: lookalike's turn is a process without PyTorch.
    from tutorial_search import COLLECTION, FeatureExtractor, create_database  # noqa: PLC0415

    extract = FeatureExtractor(MODEL, weights)
    for path in pictures[:WARM_UP_PICTURES]:
        extract(path)
    client = create_database(database, dim=extract.dim)
    started = time.perf_counter()
    for path in pictures:
        client.insert(COLLECTION, {"vector": extract(path), "filename": str(path)})
    return len(pictures) / (time.perf_counter() - started)


def lookalike_turn(
    precision: str, pictures: list[Path], database: Path, weights: Path, folder: Path, files: int
) -> float:
    """Images per second."""
    embedder = lookalike_embedder(precision, weights, pictures)
    embedder.embed_files(pictures[:WARM_UP_PICTURES])
    with Index.open(database, model=embedder, settings=settings_of(precision)) as index:
        started = time.perf_counter()
        report = index.add(folder)
        seconds = time.perf_counter() - started
    if report.added != files:
        raise SystemExit(f"Only {report.added} of {files} pictures could be used.")
    return files / seconds


def calibration_seconds(weights: Path, pictures: list[Path]) -> float:
    started = time.perf_counter()
    lookalike_embedder("int8", weights, pictures).load()
    return time.perf_counter() - started


def load_seconds(*model: str, cache: Path, torch_expected: bool) -> float:
    """Seconds of a process that loads a model, by its name and file of weights, and ends."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", LOAD, *model]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - started
    if done.stdout.strip() != str(torch_expected):
        raise SystemExit(f"PyTorch was {'not ' if torch_expected else ''}loaded for {model}.")
    return seconds


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="pictures, some hundred")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--repeat", type=int, help="names per picture for lookalike's turns")
    args = parser.parse_args()

    pictures = pictures_in(args.folder)
    files = len(pictures) * (args.repeat or -(-STEADY_PICTURES // len(pictures)))
    load_before = os.getloadavg()[0]
    ours = in_fresh_process(precisions)
    rates: dict[str, list[float]] = {side: [] for side in ("tutorial", *ours)}
    loads: dict[str, list[float]] = {kind: [] for kind in ("first", "later", "packaged")}
    with tempfile.TemporaryDirectory() as temporary:
        home, folder, weights = (Path(temporary) / name for name in ("home", "pictures", "weights"))
        weights = weights.with_suffix(".safetensors")
        folder.mkdir()
        multiply(pictures, files, into=folder)
        in_fresh_process(save_random_weights, MODEL, weights)
        # Nothing made for random weights is kept.
        os.environ.update(XDG_CACHE_HOME=str(home), XDG_DATA_HOME=str(home))

        named = (MODEL, str(weights))
        for turn in range(args.rounds):
            cache = Path(temporary) / f"cache{turn}"
            loads["first"].append(load_seconds(*named, cache=cache, torch_expected=True))
            loads["later"].append(load_seconds(*named, cache=cache, torch_expected=False))
            loads["packaged"].append(load_seconds(cache=cache, torch_expected=False))
        load_seconds(*named, cache=home, torch_expected=True)
        calibration = in_fresh_process(calibration_seconds, weights, pictures)

        for turn in range(args.rounds):
            databases = {side: Path(temporary) / f"{side}{turn}.db" for side in rates}
            rates["tutorial"].append(
                in_fresh_process(tutorial_turn, pictures, databases["tutorial"], weights)
            )
            for side in ours:
                rate = in_fresh_process(
                    lookalike_turn, side, pictures, databases[side], weights, folder, files
                )
                rates[side].append(rate)

    compare(
        rates,
        loads,
        calibration=calibration,
        counts=(len(pictures), files),
        load_before=load_before,
        json_file=args.json,
    )


def compare(
    rates: dict[str, list[float]],
    loads: dict[str, list[float]],
    *,
    calibration: float,
    counts: tuple[int, int],
    load_before: float,
    json_file: Path | None,
) -> None:
    tutorial, *ours = rates
    medians = {side: statistics.median(turns) for side, turns in rates.items()}
    by_medians = {side: medians[side] / medians[tutorial] for side in ours}
    by_rounds = {
        side: statistics.median(
            our / their for our, their in zip(rates[side], rates[tutorial], strict=True)
        )
        for side in ours
    }
    seconds = {kind: statistics.median(turns) for kind, turns in loads.items()}
    cores, rounds = Settings.from_environment().workers, len(rates[tutorial])
    publish(
        f"Indexing with {MODEL}, {rounds} turns each, medians, {cores} cores",
        [
            ("", tutorial, *(f"lookalike {side}" for side in ours)),
            ("pictures per turn", f"{counts[0]:,}", *(f"{counts[1]:,}" for _ in ours)),
            ("images/s", *(f"{rate:.1f}" for rate in medians.values())),
            ("times as fast, by the medians", "", *(f"{by_medians[side]:.2f}" for side in ours)),
            ("times as fast, median of rounds", "", *(f"{by_rounds[side]:.2f}" for side in ours)),
            ("first use of the model, s", "", f"{seconds['first']:.2f}", f"{calibration:.2f}"),
            ("later use, without PyTorch, s", "", f"{seconds['later']:.2f}", ""),
            ("use of the packaged model, s", "", f"{seconds['packaged']:.2f}", ""),
            ("load average before the first turn", "", "", f"{load_before:.1f}"),
        ],
        figures={
            "times_as_fast_by_medians": by_medians,
            "times_as_fast_median_of_rounds": by_rounds,
            "calibration_seconds": calibration,
            "load_seconds": loads,
            "load_average_before": load_before,
            "pictures": {"tutorial": counts[0], "lookalike": counts[1]},
            "images_per_second": rates,
        },
        json_file=json_file,
    )


if __name__ == "__main__":
    main()
