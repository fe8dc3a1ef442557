"""Where a model comes from: its names, and perhaps a file of weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lookalike.embed import exports
from lookalike.embed.presets import PRESETS
from lookalike.errors import ModelUnusable

CLIP_PREFIX = "clip:"
CLIP_CONFIG = "open_clip_config.json"
# In the order in which open_clip prefers them.
CLIP_WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "model.safetensors", "pytorch_model.bin",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a model comes from: its name here and in its library, and perhaps a file of weights."""

    name: str
    weights: Path | None = None
    weights_sum: str = ""
    recalled: bool = False  # the file may be gone or have changed since

    @property
    def full_name(self) -> str:
        """The name that timm knows, or open_clip's behind ``clip:``."""
        preset = PRESETS.get(self.name)
        return preset.full_name if preset else self.name

    @property
    def reads_words(self) -> bool:
        """Whether it is one of open_clip's, which have a text tower."""
        return self.full_name.startswith(CLIP_PREFIX)

    @classmethod
    def of(cls, name: str, weights: str | os.PathLike[str] | None) -> Source:
        """Raises `ModelUnusable` where the file of weights cannot be read."""
        if folder := clip_folder(name):
            # Remembered with the index, which may be opened from elsewhere.
            name = f"{CLIP_PREFIX}{folder}"
            weights = weights or _weights_in(folder)
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


def clip_folder(name: str) -> Path | None:
    """The folder that ``clip:FOLDER`` names; None for a name of open_clip's or the hub's."""
    prefix, found, place = name.partition(CLIP_PREFIX)
    if prefix or not found:
        return None
    folder = Path(place).expanduser()
    is_path = place.startswith(("/", ".", "~")) or folder.is_absolute()
    return folder.absolute() if is_path or (folder / CLIP_CONFIG).is_file() else None


def _weights_in(folder: Path) -> Path:
    if not (folder / CLIP_CONFIG).is_file():
        raise ModelUnusable(
            f"There is no {CLIP_CONFIG} in {folder}, so it holds no text-image model of open_clip."
        )
    for name in CLIP_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelUnusable(
        f"There are no weights in {folder}, neither {CLIP_WEIGHTS[0]} nor {CLIP_WEIGHTS[2]}; "
        "name a file with --weights FILE."
    )
