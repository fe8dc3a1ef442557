"""int8 models, calibrated on a sample of the pictures that they are for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookalike.embed import exports
from lookalike.embed.description import ModelDescription
from lookalike.embed.openvino_engine import OpenVINOEngine, ov
from lookalike.records import Pixels

import nncf  # isort: skip  # after OpenVINO's module, which keeps the telemetry of both off

nncf.set_log_level(logging.ERROR)

NEIGHBOURS = 10
DAY_S = 86_400


@dataclass(frozen=True)
class Calibrated:
    """An int8 model, and how many of the ten nearest neighbours it has in common with fp32."""

    folder: Path
    description: ModelDescription
    overlap: float
    compared: int


def calibrate(
    folder: Path, description: ModelDescription, *, sample: Pixels, compare: Pixels, streams: int
) -> Calibrated:
    """Quantise an exported model and keep it.

    Post-training quantisation as NNCF does it: weights per channel, activations by their range
    over the `sample`.

    Args:
        folder: the exported fp32 model.
        description: what it is.
        sample: (n, height, width, 3) uint8, what it is calibrated on.
        compare: (m, height, width, 3) uint8, what its neighbours are compared on.
        streams: threads that embed.
    """
    int8 = replace(
        description,
        arithmetic="int8",
        fingerprint=_fingerprint(description, sample),
        calibrated_from=description.fingerprint,
    )
    root = exports.calibrated_folder()
    # Another process may be calibrating, but not for a day.
    exports.sweep(root, older_than_s=DAY_S)
    place = root / int8.fingerprint
    if not exports.is_whole(place):
        graph = ov.Core().read_model(folder / exports.GRAPH)
        pictures = nncf.Dataset(sample, lambda picture: picture[np.newaxis])
        with contextlib.redirect_stdout(io.StringIO()):  # where NNCF draws progress bars
            quantised = nncf.quantize(graph, pictures, subset_size=len(sample))

        def save(into: Path) -> None:
            ov.save_model(quantised, into / exports.GRAPH, compress_to_fp16=False)
            if description.reads_words:  # its text tower stays as it is
                for name in (exports.TEXT_GRAPH, exports.TEXT_WEIGHTS, exports.TOKENIZER):
                    shutil.copyfile(folder / name, into / name)

        exports.write(root, int8, save)
    vectors = [
        OpenVINOEngine(where, precision=precision, streams=streams)(compare)
        for where, precision in ((folder, "fp32"), (place, "auto"))
    ]
    return Calibrated(place, int8, overlap(*vectors), len(compare))


def _fingerprint(description: ModelDescription, sample: Pixels) -> str:
    digest = hashlib.sha256(f"int8 {description.fingerprint} ".encode())
    digest.update(np.ascontiguousarray(sample).data)
    return digest.hexdigest()[:32]


def overlap(some: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> float:
    """The part of each row's ten nearest other rows that both have, on average; (n, dim) each."""
    count = min(NEIGHBOURS, len(some) - 1)
    if count < 1:
        return 1.0

    def nearest(vectors: npt.NDArray[np.float32]) -> list[set[int]]:
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        return [set(row) for row in np.argsort(-scores, axis=1)[:, :count].tolist()]

    pairs = zip(nearest(some), nearest(others), strict=True)
    return float(np.mean([len(one & other) / count for one, other in pairs]))
