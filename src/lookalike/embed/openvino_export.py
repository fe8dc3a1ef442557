"""PyTorch models become OpenVINO graphs: uint8 NHWC pictures in, unit rows out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from lookalike.embed import exports
from lookalike.embed.description import ModelDescription
from lookalike.embed.openvino_engine import ov
from lookalike.embed.timm_models import TimmModel, UnitFeatures, build
from lookalike.errors import ModelUnusable, reason_of

_log = logging.getLogger("lookalike")

LEAST_COSINE = 0.999

Vectors = npt.NDArray[np.float32]
SaveGraph = Callable[[Path], None]


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
    graph, expected = traced(features, normalised(pictures, model.description))
    return checked(with_preprocessing(graph, model.description), pictures.numpy(), expected)


def traced(module: torch.nn.Module, example: torch.Tensor) -> tuple[ov.Model, Vectors]:
    """The graph of a module for any number of rows, and what the module gives for the example.

    Raises:
        NotConvertible: it has an operation that OpenVINO lacks.
    """
    try:
        # Tracing, which PyTorch calls deprecated, is what OpenVINO's converter does.
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected: Vectors = module(example).numpy()
            # What PyTorch would check here is checked afterwards, in a third of the time.
            recorded = torch.jit.trace(  # type: ignore[no-untyped-call]
                module, example[:2], check_trace=False, strict=False
            )
            graph = ov.convert_model(recorded, example_input=example[:2])
        graph.reshape([-1, *example.shape[1:]])
    except Exception as error:
        raise NotConvertible(reason_of(error)) from error
    return graph, expected


def checked(graph: ov.Model, inputs: npt.NDArray[np.generic], expected: Vectors) -> ov.Model:
    """The graph, having given the expected unit rows for several sizes of a batch.

    Raises:
        NotConvertible: it cannot be run, or the vectors differ.
    """
    try:
        compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        vectors = np.concatenate([compiled([part])[0].copy() for part in (inputs[:1], inputs[1:])])
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

    Raises:
        ModelError: the model cannot be had.
    """

    def build_one() -> tuple[ModelDescription, Callable[[], SaveGraph | None]]:
        model = build(name, timm_name=timm_name, weights=weights)
        return model.description, lambda: _graph_writer(model)

    return exported_once(name, weights_sum, build_one)


def exported_once(
    name: str,
    weights_sum: str,
    build: Callable[[], tuple[ModelDescription, Callable[[], SaveGraph | None]]],
) -> Path:
    """The folder of a model that has been exported, now if need be.

    A second process that wants the same waits for the first one.

    Args:
        name: what it is called here.
        weights_sum: SHA-256 of its file of weights, if it was named.
        build: says what the model is, and gives what converts it, if it is not there: to what
            `exports.write` takes.

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
        description, convert_it = build()
        _log.info("Getting %s ready for this machine; this is done once.", name)
        folder = root / description.fingerprint
        if not _is_usable(folder):
            folder = exports.write(root, description, convert_it())
        exports.remember(name, weights_sum, description.fingerprint)
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


def _graph_writer(model: TimmModel) -> SaveGraph | None:
    try:
        graph = convert(model)
    except NotConvertible as error:
        _log.info("OpenVINO cannot convert %s: %s.", model.description.name, error)
        return None

    def save(folder: Path) -> None:
        save_graph(graph, folder / exports.GRAPH)

    return save


def save_graph(graph: ov.Model, path: Path) -> None:
    """Write a graph and its weights, with all their digits: the vectors are to be the model's own.

    Args:
        graph: what is written.
        path: of the file that ends in ``.xml``.
    """
    ov.save_model(graph, path, compress_to_fp16=False)
