"""Text-image models of open_clip: built by name, with the preprocessing of their weights."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from lookalike.embed import hub
from lookalike.embed.clip_tokens import PROBES, silent, tokens_of
from lookalike.embed.description import ModelDescription
from lookalike.embed.source import CLIP_CONFIG, CLIP_PREFIX, clip_folder
from lookalike.embed.timm_models import (
    BAD_CHECKPOINT,
    HUB_PREFIX,
    TimmModel,
    digest_of,
    dim_of,
    read_checkpoint,
)
from lookalike.embed.tokens import Tokens
from lookalike.errors import ModelUnusable, UnknownModel, reason_of

_PUBLISHED = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
# What open_clip calls the ways to make a picture square, and timm the same ones.
_CROP_MODES = {"shortest": "center", "squash": "squash"}


@dataclass(frozen=True)
class ClipModel:
    """Both towers with their weights, in evaluation mode, what they are, and the tokenizer."""

    images: TimmModel
    text: torch.nn.Module
    tokens: Tokens


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """What open_clip builds a model from.

    `repository` has the weights, under one of `files`; without it they lie in a folder.
    """

    model_name: str
    tokenizer_name: str
    preprocessing: dict[str, Any]
    quick_gelu: bool = False
    repository: str | None = None
    files: tuple[str, ...] = _PUBLISHED


class ImageTower(torch.nn.Module):
    """(n, 3, height, width) normalised pictures -> (n, dim)."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:  # noqa: D102
        features: torch.Tensor = self.model.encode_image(pictures)  # type: ignore[operator]
        return features


class TextTower(ImageTower):
    """(n, length) int64 tokens -> (n, dim) unit rows."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:  # noqa: D102
        features: torch.Tensor = self.model.encode_text(tokens)  # type: ignore[operator]
        return torch.nn.functional.normalize(features, dim=1)


def build(name: str, *, clip_name: str, weights: Path | None) -> ClipModel:
    """Both towers of a model.

    Args:
        name: what it is called here.
        clip_name: ``clip:`` with open_clip's architecture and tag, ``clip:hf-hub:`` with a
            repository, or ``clip:`` with a folder.
        weights: a checkpoint of the whole model; without it, those that the name leads to.

    Raises:
        UnknownModel: open_clip has no such model.
        ModelUnusable: the weights or the tokenizer cannot be had or do not fit.
    """
    place = clip_name.removeprefix(CLIP_PREFIX)
    try:
        with silent(), hub.reachable_or_offline():
            origin = _origin(name, place, has_weights=weights is not None)
            config = open_clip.get_model_config(origin.model_name)
            if weights is None and origin.repository:
                weights = hub.download(origin.repository, origin.files)
    except hub.HUB_ERRORS as error:
        raise hub.unusable(name, error) from error
    except (ValueError, AttributeError) as error:
        raise ModelUnusable(f"{CLIP_CONFIG} of {name} is damaged ({reason_of(error)}).") from error
    if weights is None:
        raise ModelUnusable(f"{name} has no weights; name a file of them with --weights FILE.")
    text_config = dict((config or {}).get("text_cfg", {}))
    if "hf_model_name" in text_config:
        raise ModelUnusable(
            f"The text tower of {name} is none of open_clip's own, and cannot be exported. Choose "
            "another model: lookalike models."
        )
    tokens, cleaning = tokens_of(name, origin.tokenizer_name, text_config)
    module = _created(name, origin)
    _load(module, name, weights)
    architecture = {**(config or {}), "forced_quick_gelu": origin.quick_gelu}
    return _described(name, module, architecture, tokens, cleaning)


def _origin(name: str, place: str, *, has_weights: bool) -> _Origin:
    if folder := clip_folder(CLIP_PREFIX + place):
        return _Origin(
            model_name=f"local-dir:{folder}",
            tokenizer_name=f"local-dir:{folder}",
            preprocessing={},
        )
    if place.startswith(HUB_PREFIX):
        repository = place.removeprefix(HUB_PREFIX)
        config = hub.download(repository, [CLIP_CONFIG])
        return _Origin(
            model_name=f"local-dir:{config.parent}",
            tokenizer_name=place,
            preprocessing={},
            repository=repository,
        )
    return _known(name, place, has_weights=has_weights)


def _known(name: str, place: str, *, has_weights: bool) -> _Origin:
    """One of open_clip's own architectures, with or without the tag of its weights."""
    architecture, _, tag = place.partition("/")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if architecture not in open_clip.list_models() or (tag and tag not in tags):
        known = [f"{CLIP_PREFIX}{model}/{tag}" for model, tag in open_clip.list_pretrained()]
        if not tag:
            known = [CLIP_PREFIX + model for model in open_clip.list_models()]
        near = difflib.get_close_matches(CLIP_PREFIX + place, known, n=3, cutoff=0.5)
        raise UnknownModel(name, tuple(near))
    if not tag and not has_weights and len(tags) != 1:
        some = ", ".join(f"{CLIP_PREFIX}{architecture}/{tag}" for tag in tags[-3:])
        choice = f"name one of its tags, such as {some}" if some else "there are none to download"
        raise ModelUnusable(f"{name} needs weights: {choice}, or a file with --weights FILE.")
    # A file of one's own is taken to have been trained like the first published ones.
    published = open_clip.get_pretrained_cfg(architecture, tag or tags[0]) if tags else {}
    repository, _, file = published.get("hf_hub", "").rpartition("/")
    return _Origin(
        model_name=architecture,
        tokenizer_name=architecture,
        preprocessing={key: published[key] for key in _PREPROCESSING if published.get(key)},
        quick_gelu=bool(tag and published.get("quick_gelu")),
        repository=repository,
        files=(f"{Path(file).stem}.safetensors", file) if file else _PUBLISHED,
    )


def _created(name: str, origin: _Origin) -> torch.nn.Module:
    """The model, without weights of its own."""
    try:
        with silent():
            module: torch.nn.Module = open_clip.create_model(
                origin.model_name,
                load_weights=False,
                force_quick_gelu=origin.quick_gelu,
                force_preprocess_cfg=origin.preprocessing,
            )
    except (*BAD_CHECKPOINT, AssertionError, ImportError) as error:
        raise ModelUnusable(f"open_clip cannot build {name} ({reason_of(error)}).") from error
    return module.eval().requires_grad_(False)


def _load(module: torch.nn.Module, name: str, path: Path) -> None:
    try:
        with silent():
            open_clip.load_checkpoint(module, str(path), strict=True, weights_only=True)
    except BAD_CHECKPOINT as error:
        read_checkpoint(path)  # says what is wrong, unless it is a sound file of another model's
        detail = next((line for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise ModelUnusable(
            f"The weights in {path} are not those of {name}: {detail.strip().rstrip('.')}."
        ) from error


def _described(
    name: str,
    module: torch.nn.Module,
    architecture: dict[str, Any],
    tokens: Tokens,
    cleaning: str,
) -> ClipModel:
    config: dict[str, Any] = module.visual.preprocess_cfg  # type: ignore[union-attr, assignment]
    if config["resize_mode"] not in _CROP_MODES:
        raise ModelUnusable(
            f"{name} takes pictures in the way {config['resize_mode']!r}, which lookalike lacks. "
            "Choose another model: lookalike models."
        )
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    preprocessing: dict[str, Any] = {
        "size": (height, width),
        "crop": 1.0,
        "crop_mode": _CROP_MODES[config["resize_mode"]],
        "interpolation": "bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
    }
    images = ImageTower(module).eval()
    described = {
        **preprocessing,
        "architecture": architecture,
        "cleaning": cleaning,
        "vocabulary": tokens.vocabulary,
        "split": tokens(PROBES).tolist(),
    }
    state = {key: it for key, it in module.state_dict().items() if not key.startswith("logit_")}
    description = ModelDescription(
        name=name,
        dim=dim_of(images, name, (height, width)),
        fingerprint=digest_of(described, state),
        cleaning=cleaning,
        **preprocessing,
    )
    return ClipModel(TimmModel(images, description), TextTower(module).eval(), tokens)
