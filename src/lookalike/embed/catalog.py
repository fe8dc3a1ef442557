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
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from lookalike.embed import exports, extras
from lookalike.embed.description import ModelDescription
from lookalike.embed.embedder import Engine, ModelEmbedder, prepare_file
from lookalike.embed.presets import DEFAULT_MODEL, PRESETS
from lookalike.errors import InvalidSetting, ModelUnusable, PictureError
from lookalike.records import Pixels
from lookalike.settings import Settings
from lookalike.sources.reader import Reader

CALIBRATION_PICTURES = 300  # NNCF's own default
COMPARED_PICTURES = 200

_PACKAGED = {DEFAULT_MODEL: Path(__file__).parent / "default_model"}
_log = logging.getLogger("lookalike")


@dataclass(frozen=True)
class Source:
    """Where a model comes from: its name here and in timm, and perhaps a file of weights."""

    name: str
    weights: Path | None = None
    weights_sum: str = ""
    recalled: bool = False  # the file may be gone or have changed since

    @property
    def timm_name(self) -> str:
        """The name that timm knows."""
        preset = PRESETS.get(self.name)
        return preset.timm_model if preset else self.name

    @classmethod
    def of(cls, name: str, weights: str | os.PathLike[str] | None) -> Source:
        """Raises `ModelUnusable` where the file of weights cannot be read."""
        if weights is None:
            return cls(name)
        path = Path(weights).expanduser().absolute()
        try:
            return cls(name, path, exports.file_sum(path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ModelUnusable(f"The weights {path} cannot be read ({reason}).") from error

    @classmethod
    def recall(cls, name: str, fingerprint: str) -> Source:
        """What a model was made from, as far as that has been kept."""
        weights = exports.weights_of(fingerprint)
        return cls(name, *weights, recalled=True) if weights else cls(name)

    def check(self) -> None:
        """Raise `ModelUnusable` where a recalled file is not the one that it was."""
        if self.weights is None or not self.recalled:
            return
        try:
            same = exports.file_sum(self.weights) == self.weights_sum
        except OSError:
            same = False
        if not same:
            raise ModelUnusable(
                f"The weights {self.weights}, which the {self.name} of this index was made from, "
                "are gone or have changed: name them again with --weights FILE."
            )


def load_embedder(
    model: str = DEFAULT_MODEL,
    *,
    weights: str | os.PathLike[str] | None = None,
    calibration: Sequence[str | os.PathLike[str]] | None = None,
    settings: Settings | None = None,
) -> ModelEmbedder:
    """The embedder of a model, by name.

    A timm model is exported for the CPU at its first use; after that neither timm nor PyTorch is
    loaded for it.

    Args:
        model: the packaged model, a preset, or any name that timm knows: ``resnet34``,
            ``resnet34.a1_in1k``, ``hf-hub:owner/model``.
        weights: a checkpoint of that model, ``.safetensors`` or ``.pth``, instead of timm's own.
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


def _embedder(folder: Path, name: str, source: Source | None, settings: Settings) -> ModelEmbedder:
    """The embedder of an exported model; `source` is what it can be made from again, if known."""
    description = exports.described(folder, name=name)
    device = _device(settings.device, description, source)

    def start_engine() -> Engine:
        if device != "cpu" and source:
            return _torch_engine(source, description, device, settings)
        whole = folder
        if folder not in _PACKAGED.values():
            if not exports.is_whole(folder):
                whole = _mended(folder, description, source)
            elif source and exports.may_be_convertible(folder):
                # In the same place, if it is of the same weights. Else PyTorch says what is wrong.
                with contextlib.suppress(ModelUnusable):
                    _exported(source)
        if source and not exports.has_graph(whole):
            _log.warning("OpenVINO cannot run %s; it runs on PyTorch, which is slower.", name)
            return _torch_engine(source, description, "cpu", settings)
        # Imported here: OpenVINO takes 0.3 s, and a run that finds nothing new needs no model.
        from lookalike.embed.openvino_engine import OpenVINOEngine  # noqa: PLC0415

        precision = "auto" if settings.precision == "int8" else settings.precision
        return OpenVINOEngine(whole, precision=precision, streams=settings.workers)

    return ModelEmbedder(description, start_engine, batch_size=16 if device == "cpu" else 128)


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
            f"The exported model {name} in {folder} is damaged, and timm's own weights are not "
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
        return _timm_room("torch_engine", "A GPU").best_device()  # type: ignore[no-any-return]
    if (sys.platform, platform.machine()) == ("darwin", "arm64"):
        return _timm_room("torch_engine", "A GPU").best_device()  # type: ignore[no-any-return]
    return "cpu"


def _exported(source: Source) -> Path:
    source.check()
    return _timm_room("openvino_export", f"The model {source.name}").exported(  # type: ignore[no-any-return]
        source.name, source.timm_name, source.weights, source.weights_sum
    )


def _torch_engine(
    source: Source, description: ModelDescription, device: str, settings: Settings
) -> Engine:
    source.check()
    room = _timm_room("torch_engine", f"The model {source.name}")
    return room.start(  # type: ignore[no-any-return]
        description, source.timm_name, source.weights, device, settings.precision
    )


def _timm_room(module: str, what: str) -> ModuleType:
    """A module that needs the extra; never loaded for a model that has been exported."""
    return extras.load(module, what, extra="timm")


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
