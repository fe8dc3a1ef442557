"""Text-image models become OpenVINO graphs, one for each tower, beside a tokenizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lookalike.embed import exports, torch_engine
from lookalike.embed.clip_models import ClipModel, build
from lookalike.embed.clip_tokens import PROBES
from lookalike.embed.description import ModelDescription
from lookalike.embed.openvino_export import (
    NotConvertible,
    SaveGraph,
    checked,
    convert,
    exported_once,
    save_graph,
    traced,
)
from lookalike.errors import ModelUnusable


def exported(name: str, clip_name: str, weights: Path | None, weights_sum: str) -> Path:
    """The folder of a text-image model that has been exported, now if need be.

    Raises:
        ModelError: the model cannot be had.
    """

    def build_one() -> tuple[ModelDescription, Callable[[], SaveGraph]]:
        model = build(name, clip_name=clip_name, weights=weights)
        return model.images.description, lambda: _graph_writer(model)

    return exported_once(name, weights_sum, build_one)


def _graph_writer(model: ClipModel) -> SaveGraph:
    name = model.images.description.name
    tokens = model.tokens(PROBES)
    try:
        with _plain_attention():
            images = convert(model.images)
            text, expected = traced(model.text, torch.from_numpy(tokens))
        checked(text, tokens, expected)
    except NotConvertible as error:
        raise ModelUnusable(
            f"OpenVINO cannot run {name} ({error}). Choose another model: lookalike models."
        ) from error

    def save(folder: Path) -> None:
        save_graph(images, folder / exports.GRAPH)
        save_graph(text, folder / exports.TEXT_GRAPH)
        model.tokens.write(folder / exports.TOKENIZER)

    return save


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """PyTorch's modules instead of one fused operation, which cannot be converted."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def start(
    description: ModelDescription,
    clip_name: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> torch_engine.TorchEngine:
    """The image tower of a model that has been described before, on PyTorch.

    Raises:
        ModelUnusable: what there is by this name is not that model any more.
        DeviceUnavailable: the device is not there.
    """
    torch_engine.checked_device(device)
    model = build(description.name, clip_name=clip_name, weights=weights)
    return torch_engine.run(model.images, description, device, precision)
