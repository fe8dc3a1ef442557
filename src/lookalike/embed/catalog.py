"""A model's name becomes an embedder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import random
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lookalike.embed import exports, extras
from lookalike.embed.description import ModelDescription
from lookalike.embed.embedder import (
    Engine,
    ModelEmbedder,
    TextImageEmbedder,
    TextTower,
    prepare_file,
)
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.embed.source import Source
from lookalike.errors import InvalidSetting, ModelUnusable, PictureError
from lookalike.records import Pixels
from lookalike.settings import Settings
from lookalike.sources.reader import Reader

CALIBRATION_PICTURES = 300  # NNCF's own default
COMPARED_PICTURES = 200

_PACKAGED = {DEFAULT_MODEL: Path(__file__).parent / "default_model"}
_log = logging.getLogger("lookalike")


def load_embedder(
    model: str = DEFAULT_MODEL,
    *,
    weights: str | os.PathLike[str] | None = None,
    calibration: Sequence[str | os.PathLike[str]] | None = None,
    settings: Settings | None = None,
) -> ModelEmbedder:
    """The embedder of a model, by name.

    A model is exported for the CPU at its first use; after that neither PyTorch nor timm nor
    open_clip is loaded for it. Those of open_clip read words: they are `TextImageEmbedder`.

    Args:
        model: the packaged model, a preset, or any name that timm knows: ``resnet34``,
            ``resnet34.a1_in1k``, ``hf-hub:owner/model``; or, behind ``clip:``, that open_clip
            knows: ``clip:ViT-B-32/laion2b_s34b_b79k``, ``clip:hf-hub:owner/model``, or a folder
            with its ``open_clip_config.json``.
        weights: a checkpoint of that model, ``.safetensors`` or ``.pth``, instead of its
            published ones.
        calibration: pictures for the precision ``int8``, some hundred; only that one needs them.
        settings: by default from the environment variables.

    Raises:
        ModelError: the model is unknown, cannot be had, or cannot be run here.
    """
    settings = settings or Settings.from_environment()
    if settings.precision == "int8" and calibration is None:
        raise InvalidSetting("precision", "int8", "given together with pictures to calibrate on")
    if model in _PACKAGED:
        if weights is not None:
            raise ModelUnusable(f"{model} has weights of its own; name a timm model for {weights}.")
        source, folder = None, _PACKAGED[model]
    else:
        source = Source.of(model, weights)
        model = source.name
        folder = exports.requested(source.name, source.weights_sum) or _exported(source)
        if source.weights:
            exports.remember_weights(folder.name, source.weights, source.weights_sum)
    if settings.precision != "int8":
        return _embedder(folder, model, source, settings)
    settings = dataclasses.replace(settings, device="cpu")
    embedder = _embedder(folder, model, source, settings)
    embedder.load()  # A damaged export is mended by this, before it is read again.
    if source and not exports.has_graph(folder):
        raise ModelUnusable(f"OpenVINO cannot run {model}, so there is no int8 of it.")
    return _calibrated(folder, embedder, calibration or (), settings)


def load_remembered(name: str, fingerprint: str, *, settings: Settings) -> ModelEmbedder:
    """The embedder that an index was made with; its fingerprint may differ if it is not here.

    Raises:
        ModelError: it cannot be had.
    """
    packaged = _PACKAGED.get(name)
    if packaged and exports.described(packaged).fingerprint == fingerprint:
        folder: Path | None = packaged
    else:
        folder = exports.find(fingerprint)
    if folder is None:
        return load_embedder(name, settings=settings)
    source = None if packaged else Source.recall(name, fingerprint)
    embedder = _embedder(folder, name, source, settings)
    arithmetic = embedder.description.arithmetic
    # The environment's wish for int8 is one for new indexes.
    if settings.precision in ("fp32", "bf16") and arithmetic == "int8":
        raise InvalidSetting(
            "precision", settings.precision, "auto or int8, for this index has int8 vectors"
        )
    return embedder


def is_ready(name: str, fingerprint: str) -> bool:
    """Whether `load_remembered` gives this model without fetching or exporting anything."""
    if (packaged := _PACKAGED.get(name)) and exports.described(packaged).fingerprint == fingerprint:
        return True
    folder = exports.find(fingerprint)
    return folder is not None and exports.has_graph(folder) and exports.is_whole(folder)


def _embedder(folder: Path, name: str, source: Source | None, settings: Settings) -> ModelEmbedder:
    """The embedder of an exported model; `source` is what it can be made from again, if known."""
    description = exports.described(folder, name=name)
    device = _device(settings.device, description, source)

    def whole() -> Path:
        if folder in _PACKAGED.values() or exports.is_whole(folder):
            return folder
        return _mended(folder, description, source)

    def start_engine() -> Engine:
        if device != "cpu" and source:
            return _torch_engine(source, description, device, settings)
        export = whole()
        if source and exports.may_be_convertible(export):
            # In the same place, if it is of the same weights. Else PyTorch says what is wrong.
            with contextlib.suppress(ModelUnusable):
                _exported(source)
        if source and not exports.has_graph(export):
            _log.warning("OpenVINO cannot run %s; it runs on PyTorch, which is slower.", name)
            return _torch_engine(source, description, "cpu", settings)
        # Imported here: OpenVINO takes 0.3 s, and a run that finds nothing new needs no model.
        from lookalike.embed.openvino_engine import OpenVINOEngine  # noqa: PLC0415

        precision = "auto" if settings.precision == "int8" else settings.precision
        return OpenVINOEngine(export, precision=precision, streams=settings.workers)

    def start_text() -> TextTower:
        room = extras.load("text_engine", f"Words for {name}", extra="text")
        return room.TextEngine(  # type: ignore[no-any-return]
            whole(), cleaning=description.cleaning, streams=settings.workers
        )

    batch_size = 16 if device == "cpu" else 128
    if description.reads_words:
        return TextImageEmbedder(description, start_engine, start_text, batch_size=batch_size)
    return ModelEmbedder(description, start_engine, batch_size=batch_size)


def _mended(folder: Path, description: ModelDescription, source: Source | None) -> Path:
    """A damaged export, made again."""
    name = description.name
    if source is None or description.arithmetic == "int8":
        raise ModelUnusable(
            f"The int8 model in {folder} is damaged, and can be calibrated again only for a new "
            "index: lookalike index FOLDER --db OTHER.db --precision int8, with its --model."
        )
    _log.info("The exported model %s is damaged; making it again.", name)
    whole = _exported(source)
    if whole != folder:
        raise ModelUnusable(
            f"The exported model {name} in {folder} is damaged, and the published weights are not "
            "those it was made from: name them again with --weights FILE."
        )
    return whole


def _device(wanted: str, description: ModelDescription, source: Source | None) -> str:
    """What runs the model: ``auto`` is a GPU where there is one and the model can run on it."""
    if source is None or description.arithmetic == "int8":
        if wanted in ("auto", "cpu"):
            return "cpu"
        raise InvalidSetting(
            "device", wanted, f"cpu for {description.name}: for a GPU, name a timm model in float"
        )
    if wanted != "auto":
        return wanted
    if find_spec("torch") is None:
        return "cpu"
    # PyTorch is asked only where there may be a GPU: its import takes seconds.
    if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        return extras.load("torch_engine", "A GPU", extra="timm").best_device()  # type: ignore[no-any-return]
    if (sys.platform, platform.machine()) == ("darwin", "arm64"):
        return extras.load("torch_engine", "A GPU", extra="timm").best_device()  # type: ignore[no-any-return]
    return "cpu"


def _exported(source: Source) -> Path:
    source.check()
    what = f"The model {source.name}"
    if source.reads_words:
        room = extras.load("clip_export", what, extra="text")
    else:
        room = extras.load("openvino_export", what, extra="timm")
    return room.exported(  # type: ignore[no-any-return]
        source.name, source.full_name, source.weights, source.weights_sum
    )


def _torch_engine(
    source: Source, description: ModelDescription, device: str, settings: Settings
) -> Engine:
    source.check()
    what = f"The model {source.name}"
    if source.reads_words:
        room = extras.load("clip_export", what, extra="text")
    else:
        room = extras.load("torch_engine", what, extra="timm")
    return room.start(  # type: ignore[no-any-return]
        description, source.full_name, source.weights, device, settings.precision
    )


def _calibrated(
    folder: Path,
    embedder: ModelEmbedder,
    files: Sequence[str | os.PathLike[str]],
    settings: Settings,
) -> ModelEmbedder:
    # PyTorch's tools, which NNCF imports, announce that there is no GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    int8 = extras.load("int8", "The precision int8", extra="int8")
    pictures = _sample(files, embedder, settings)
    calibrated = int8.calibrate(
        folder,
        embedder.description,
        sample=pictures[:CALIBRATION_PICTURES],
        compare=pictures[-COMPARED_PICTURES:],
        streams=settings.workers,
    )
    _log.info(
        "int8: top-10 overlap with fp32 on %d of your pictures: %.2f",
        calibrated.compared,
        calibrated.overlap,
    )
    return _embedder(calibrated.folder, embedder.name, None, settings)


def _sample(
    files: Sequence[str | os.PathLike[str]], embedder: ModelEmbedder, settings: Settings
) -> Pixels:
    """(n, height, width, 3): pictures drawn from those of `files` that can be used."""
    drawn = sorted(map(str, files))
    random.Random(0).shuffle(drawn)  # noqa: S311
    pictures: list[Pixels] = []
    with Reader.of(settings) as reader:
        for path in drawn:
            with contextlib.suppress(PictureError):
                pictures.append(
                    prepare_file(path, embedder=embedder, reader=reader, settings=settings)
                )
            if len(pictures) == CALIBRATION_PICTURES + COMPARED_PICTURES:
                break
    if not pictures:
        raise ModelUnusable("int8 is calibrated on your pictures, and none of them can be used.")
    return np.stack(pictures)
