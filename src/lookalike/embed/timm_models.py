"""timm's models: built by name, with the data config that they were trained with."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import logging
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import timm.data
import timm.models
import torch
from safetensors import SafetensorError

from lookalike.embed import hub
from lookalike.embed.description import CROP_MODES, ModelDescription
from lookalike.embed.presets import PRESETS
from lookalike.errors import ModelUnusable, UnknownModel, reason_of

HUB_PREFIX = "hf-hub:"
BAD_CHECKPOINT = (
    RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError, EOFError,
    pickle.UnpicklingError, SafetensorError,
)  # fmt: skip

logging.getLogger("timm").setLevel(logging.ERROR)


@dataclass(frozen=True)
class TimmModel:
    """A model with its weights, in evaluation mode, and what it is."""

    module: torch.nn.Module
    description: ModelDescription


class UnitFeatures(torch.nn.Module):
    """(n, 3, height, width) normalised pictures -> (n, dim) unit rows."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return torch.nn.functional.normalize(self.module(pictures), dim=1)


def build(name: str, *, timm_name: str, weights: Path | None) -> TimmModel:
    """The model with its pooled features as output.

    Args:
        name: what it is called here.
        timm_name: what it is called there.
        weights: a checkpoint in the form of ``.safetensors`` or ``.pth``; without it, timm's own
            pretrained weights, which are downloaded if they are not in the hub's cache.

    Raises:
        UnknownModel: timm has no such model.
        ModelUnusable: the weights cannot be had or do not fit, or it has no pooled features.
    """
    must_exist(name, timm_name)
    if weights:
        # A checkpoint that is none is told before a large model is built.
        state = read_checkpoint(weights)
        module = _create(name, timm_name, pretrained=False)
        _load(module, name, state, weights)
    else:
        module = _create(name, timm_name, pretrained=True)
    module.eval().requires_grad_(False)
    config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    channels, height, width = config["input_size"]
    crop_mode = config["crop_mode"] or "center"
    if channels != 3 or crop_mode not in CROP_MODES:  # noqa: PLR2004
        raise ModelUnusable(
            f"The model {name} takes pictures of {channels} channels, cropped by {crop_mode!r}; "
            "only RGB pictures can be indexed. Choose another model: lookalike models."
        )
    preprocessing = {
        "size": (height, width),
        "crop": config["crop_pct"],
        "crop_mode": crop_mode,
        "interpolation": config["interpolation"],
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
    }
    description = ModelDescription(
        name=name,
        dim=dim_of(module, name, (height, width)),
        fingerprint=_fingerprint(module, preprocessing),
        **preprocessing,
    )
    return TimmModel(module, description)


def must_exist(name: str, timm_name: str) -> None:
    """Raise `UnknownModel` where timm has no model of that name; the hub is not asked."""
    if timm_name.startswith(HUB_PREFIX):
        return
    architecture, _, tag = timm_name.partition(".")
    if not timm.is_model(architecture):
        known = [*PRESETS, *timm.list_models(), *timm.list_pretrained()]
        raise UnknownModel(name, tuple(difflib.get_close_matches(timm_name, known, n=3)))
    if tag and timm_name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise UnknownModel(name, tuple(difflib.get_close_matches(timm_name, tagged, 3, 0.0)))


def _create(name: str, timm_name: str, *, pretrained: bool) -> torch.nn.Module:
    asks_the_hub = pretrained or timm_name.startswith(HUB_PREFIX)
    try:
        with hub.reachable_or_offline() if asks_the_hub else contextlib.nullcontext():
            module: torch.nn.Module = timm.create_model(
                timm_name, pretrained=pretrained, num_classes=0, exportable=True
            )
    except hub.HUB_ERRORS as error:
        raise hub.unusable(name, error) from error
    except (*BAD_CHECKPOINT, AssertionError, IndexError, ImportError) as error:
        raise ModelUnusable(
            f"timm cannot build {name} as a model of pooled features ({reason_of(error)}). Its "
            "weights may have to be named: --weights FILE. Else choose another model: lookalike "
            "models."
        ) from error
    return module


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Its tensors; raises `ModelUnusable` where it is none, or holds code."""
    try:
        state: dict[str, Any] = timm.models.load_state_dict(str(path), weights_only=True)
        if state and all(isinstance(name, str) for name in state):
            return state
        reason = "it holds no tensors"
    except FileNotFoundError as error:
        raise ModelUnusable(f"There is no file of weights {path}; check --weights.") from error
    except SafetensorError as error:
        reason = reason_of(error)
    except BAD_CHECKPOINT as error:
        blocked = "weights_only" in str(error)
        reason = "it holds code besides tensors" if blocked else "it is no file of PyTorch's"
    raise ModelUnusable(
        f"{path} is no checkpoint that can be loaded safely ({reason.rstrip('.')}). Use a "
        ".safetensors file, or a .pth file that holds a state dict of tensors alone."
    )


def _load(module: torch.nn.Module, name: str, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load all of the weights; only those of a classifier are left out."""
    wanted = module.state_dict()
    if not wanted.keys() <= state.keys():
        # Checkpoints of a model's authors name the same tensors differently; timm knows how.
        renamed = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
        # One that is not of this form either fails in it; its first difference is named below.
        with contextlib.suppress(*BAD_CHECKPOINT):
            state = renamed(state, module) if renamed else state
    if mismatch := _first_mismatch(wanted, state, _classifiers(module)):
        raise ModelUnusable(f"The weights in {path} are not those of {name}: {mismatch}.")
    module.load_state_dict({key: state[key] for key in wanted})


def _classifiers(module: torch.nn.Module) -> tuple[str, ...]:
    named: str | tuple[str, ...] | None = getattr(module, "pretrained_cfg", {}).get("classifier")
    names = (named,) if isinstance(named, str) else tuple(named or ())
    # Some have a norm in front of their classifier that is dropped with it: head.linear, head.bn.
    return tuple(f"{name.partition('.')[0]}." for name in names)


def _first_mismatch(
    wanted: Mapping[str, torch.Tensor], state: Mapping[str, Any], classifiers: tuple[str, ...]
) -> str | None:
    for key, tensor in wanted.items():
        if key not in state:
            return f"{key} is missing"
        shapes = tuple(tensor.shape), tuple(getattr(state[key], "shape", ()))
        if shapes[0] != shapes[1]:
            return f"{key} has the shape {shapes[1]} instead of {shapes[0]}"
    for key in state:
        if key not in wanted and not key.startswith(classifiers):
            return f"{key} belongs to another model"
    return None


def dim_of(module: torch.nn.Module, name: str, size: tuple[int, int]) -> int:
    """The length of its vectors; raises `ModelUnusable` where it gives none for a picture."""
    try:
        with torch.inference_mode():
            features = module(torch.zeros(1, 3, *size))
    except (RuntimeError, TypeError, ValueError, AssertionError, AttributeError) as error:
        raise ModelUnusable(f"The model {name} cannot be run ({reason_of(error)}).") from error
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or not features.shape[1]:  # noqa: PLR2004
        raise ModelUnusable(
            f"The model {name} has no pooled features, one vector for each picture. Choose "
            "another model: lookalike models."
        )
    if not bool(features.isfinite().all()):
        raise ModelUnusable(f"The weights of {name} are damaged: they give NaN.")
    return int(features.shape[1])


def _fingerprint(module: torch.nn.Module, preprocessing: Mapping[str, Any]) -> str:
    """SHA-256 of weights, architecture and preprocessing; not of how or where it is run."""
    config = getattr(module, "pretrained_cfg", {})
    described = {
        **preprocessing,
        "architecture": config.get("architecture", type(module).__name__),
        "arguments": repr(
            sorted(
                (key, value)
                for key, value in getattr(module, "_model_args", {}).items()
                if key != "num_classes"
            )
        ),
    }
    return digest_of(described, module.state_dict())


def digest_of(described: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """SHA-256 of what can be said as JSON and of PyTorch's tensors, shortened to 32 digits."""
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for key, tensor in state.items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).numpy().view("uint8"))
    return digest.hexdigest()[:32]
