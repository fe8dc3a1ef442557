"""What a picture costs at least: the core-seconds of decoding it and of running the model on it.

Decode: processor time of one thread that reads, decodes and resizes, median of passes over the
pictures. Inference: cores / (images/s of as many threads as there are workers, each with a batch at
a time, and nothing else to do).
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lookalike import Settings
from lookalike.decode import decode
from lookalike.embed.embedder import Embedder
from lookalike.records import Pixels
from lookalike.sources.local import read_file

DECODE_PASSES = 3
INFERENCE_BATCHES = 96


def bound_core_seconds(
    pictures: list[Path], embedder: Embedder, settings: Settings
) -> tuple[float, float]:
    """Core-seconds per picture: to decode, and to run the model with all cores busy."""
    least, max_pixels = embedder.least, settings.max_pixels

    def prepare(path: str) -> Pixels:
        data, _ = read_file(path, max_bytes=settings.max_bytes)
        return embedder.prepare(decode(data, path=path, least=least, max_pixels=max_pixels).image)

    passes = []
    for _ in range(DECODE_PASSES):
        started = time.thread_time()
        pixels = [prepare(str(path)) for path in pictures]
        passes.append((time.thread_time() - started) / len(pictures))

    size = settings.batch_size or embedder.batch_size
    numbers = np.arange(INFERENCE_BATCHES * size).reshape(-1, size) % len(pictures)
    batches = [np.stack([pixels[number] for number in row]) for row in numbers]
    with ThreadPoolExecutor(settings.workers) as pool:
        list(pool.map(embedder.embed, batches[: 2 * settings.workers]))
        started = time.perf_counter()
        list(pool.map(embedder.embed, batches))
        seconds = time.perf_counter() - started
    return statistics.median(passes), settings.workers * seconds / numbers.size
