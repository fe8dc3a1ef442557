"""PyTorch models become OpenVINO graphs: uint8 NHWC pictures in, unit rows out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from lookalike.embed import exports
from lookalike.embed.description import ModelDescription
from lookalike.embed.openvino_engine import ov
from lookalike.embed.timm_models import TimmModel, UnitFeatures, build
from lookalike.errors import ModelUnusable, reason_of

_log = logging.getLogger("lookalike")

LEAST_COSINE = 0.999


class NotConvertible(Exception):
    """OpenVINO cannot run this model, or not as PyTorch does."""


def convert(model: TimmModel) -> ov.Model:
    """The model as an OpenVINO graph, checked against PyTorch for several sizes of a batch.

    Raises:
        NotConvertible: it has an operation that OpenVINO lacks, or the vectors differ.
    """
    features = UnitFeatures(model.module).eval()
    height, width = model.description.size
    random = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, height, width, 3), generator=random, dtype=torch.uint8)
    example = normalised(pictures, model.description)
    try:
        # Tracing, which PyTorch calls deprecated, is what OpenVINO's converter does.
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = features(example).numpy()
            # What PyTorch would check here is checked below, in a third of the time.
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                features, example[:2], check_trace=False, strict=False
            )
            graph = ov.convert_model(traced, example_input=example[:2])
        graph.reshape([-1, 3, height, width])
        graph = with_preprocessing(graph, model.description)
        compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        parts = [pictures[:1].numpy(), pictures[1:].numpy()]
        vectors = np.concatenate([compiled([part])[0].copy() for part in parts])
    except Exception as error:
        raise NotConvertible(reason_of(error)) from error
    cosine = float((vectors * expected).sum(axis=1).min())
    if not cosine >= LEAST_COSINE:
        raise NotConvertible(f"its vectors differ: cosine {cosine:.3f}")
    return graph


def normalised(pictures: torch.Tensor, description: ModelDescription) -> torch.Tensor:
    """(n, height, width, 3) uint8 -> (n, 3, height, width) float32, as the model was trained."""
    mean, std = (torch.tensor(channels) * 255 for channels in (description.mean, description.std))
    return ((pictures - mean) / std).permute(0, 3, 1, 2).contiguous()


def with_preprocessing(graph: ov.Model, description: ModelDescription) -> ov.Model:
    """The graph with normalisation in front of it."""
    steps = ov.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    pixels = steps.input().preprocess().convert_element_type(ov.Type.f32)
    pixels.mean([255 * channel for channel in description.mean])
    pixels.scale([255 * channel for channel in description.std])
    return steps.build()


def exported(name: str, timm_name: str, weights: Path | None, weights_sum: str) -> Path:
    """The folder of a timm model that has been exported, now if need be.

    A second process that wants the same waits for the first one.

    Raises:
        ModelError: the model cannot be had.
    """
    root = exports.exports_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelUnusable(f"{root} cannot be made ({error.strerror or error}).") from error
    with _locked(root):
        # Who has left something there has been killed, or would hold the lock.
        exports.sweep(root, older_than_s=0)
        folder = exports.requested(name, weights_sum)
        if folder and _is_usable(folder):
            return folder
        model = build(name, timm_name=timm_name, weights=weights)
        _log.info("Getting %s ready for this machine; this is done once.", name)
        fingerprint = model.description.fingerprint
        folder = root / fingerprint
        if not _is_usable(folder):
            folder = exports.write(root, model.description, _graph_writer(model))
        exports.remember(name, weights_sum, fingerprint)
    return folder


def _is_usable(folder: Path) -> bool:
    return exports.is_whole(folder) and not exports.may_be_convertible(folder)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    lock = FileLock(root / "export.lock")
    try:
        lock.acquire()
    except OSError as error:
        raise ModelUnusable(
            f"{root} cannot be written ({error.strerror or error}); check its rights, or name "
            "another folder for caches with XDG_CACHE_HOME."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _graph_writer(model: TimmModel) -> Callable[[Path], None] | None:
    try:
        graph = convert(model)
    except NotConvertible as error:
        _log.info("OpenVINO cannot convert %s: %s.", model.description.name, error)
        return None

    def save(folder: Path) -> None:
        # All digits of the weights are kept: the vectors are to be timm's own.
        ov.save_model(graph, folder / exports.GRAPH, compress_to_fp16=False)

    return save
