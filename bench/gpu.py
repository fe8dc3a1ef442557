"""How many pictures per second does a GPU embed, and how many of them does indexing reach?

Decoded: batches of random pixels that lie in memory go through the model, from as many threads as
there are workers. End to end: ``Index.add`` of the folder's pictures under several names into an
empty index, so reading, decoding and storing are in it. ResNet-34 and ViT-S/16, both with random
weights; each model in each arithmetic is a process of its own that has loaded the model and run
every size of batch before its clock starts.

Without a GPU there is nothing to measure. ``--device cpu`` measures OpenVINO in its place.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    save_random_weights,
)

from lookalike import Index, LookalikeError, Settings, load_embedder
from lookalike.embed.embedder import ModelEmbedder

MODELS = ("resnet34", "vit_small_patch16_224")
PRECISIONS = ("fp32", "bf16")
BATCHES = [64, 128, 256]


@dataclass(frozen=True)
class Rates:
    """Images per second of one model: decoded, by the size of a batch, and end to end."""

    model: str
    precision: str
    decoded: dict[int, float]
    indexed: float


def unavailable(device: str) -> str:
    """Why the device cannot be used; empty where it can."""
    # Imported here: only processes that measure need PyTorch.
    from lookalike.embed.torch_engine import checked_device  # noqa: PLC0415

    try:
        checked_device(device)
    except LookalikeError as error:
        return str(error)
    return ""


def measure(
    model: str,
    weights: Path,
    settings: Settings,
    folder: Path,
    database: Path,
    batches: list[int],
    files: int,
    rounds: int,
) -> Rates:
    embedder = load_embedder(model, weights=weights, settings=settings)
    decoded = {
        size: decoded_rate(embedder, size, pictures=files, rounds=rounds, threads=settings.workers)
        for size in batches
    }
    indexed = []
    for turn in range(rounds):
        # A database is empty only once.
        path = database.with_name(f"{database.stem}{turn}.db")
        with Index.open(path, model=embedder, settings=settings) as index:
            started = time.perf_counter()
            report = index.add(folder)
            indexed.append(files / (time.perf_counter() - started))
        if report.added != files:
            raise SystemExit(f"Only {report.added} of {files} pictures could be used.")
    return Rates(model, settings.precision, decoded, statistics.median(indexed))


def decoded_rate(
    embedder: ModelEmbedder, size: int, *, pictures: int, rounds: int, threads: int
) -> float:
    height, width = embedder.description.size
    random = np.random.default_rng(seed=0)
    batch = random.integers(0, 256, (size, height, width, 3), np.uint8)
    batches = [batch] * -(-pictures // size)
    rates = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(embedder.embed, batches[: 2 * threads]))
        for _ in range(rounds):
            started = time.perf_counter()
            list(pool.map(embedder.embed, batches))
            rates.append(size * len(batches) / (time.perf_counter() - started))
    return statistics.median(rates)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLES, help="else the samples")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps or cpu (default cuda)")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="pictures in each")
    parser.add_argument("--files", type=int, default=5_000, help="names in all (default 5,000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    args = parser.parse_args()
    if reason := in_fresh_process(unavailable, args.device):
        print(reason)
        return

    measured = []
    with tempfile.TemporaryDirectory() as temporary:
        home, folder = Path(temporary) / "home", Path(temporary) / "pictures"
        folder.mkdir()
        multiply(pictures_in(args.folder), args.files, into=folder)
        # Nothing made for random weights is kept.
        os.environ["XDG_CACHE_HOME"] = str(home)
        for model, precision in itertools.product(MODELS, PRECISIONS):
            weights = Path(temporary) / f"{model}.safetensors"
            if not weights.exists():
                in_fresh_process(save_random_weights, model, weights)
            settings = replace(Settings.from_environment(), device=args.device, precision=precision)
            database = Path(temporary) / f"{model}-{precision}.db"
            sizes = (args.batches, args.files, args.rounds)
            measured.append(
                in_fresh_process(measure, model, weights, settings, folder, database, *sizes)
            )

    publish(
        f"Images/s on {args.device}, {args.files:,} pictures, medians of {args.rounds} turns",
        [
            ("", *(f"decoded, by {size}" for size in args.batches), "Index.add"),
            *(
                (
                    f"{rates.model}, {rates.precision}",
                    *(f"{rate:,.0f}" for rate in (*rates.decoded.values(), rates.indexed)),
                )
                for rates in measured
            ),
        ],
        figures={
            "device": args.device,
            "files": args.files,
            "rounds": args.rounds,
            "images_per_second": [asdict(rates) for rates in measured],
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
