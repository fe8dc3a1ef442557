"""Exported models on this machine: made once, then run without PyTorch.

A model is a folder named by its fingerprint: ``model.json`` (its description), ``model.xml`` and
``model.bin`` (OpenVINO's graph and weights), and ``sums.json`` with their sizes and SHA-256. It is
written beside its place and renamed, so that one is there as a whole or not at all; sums that do
not match mean that it has been damaged since. A model that OpenVINO cannot run has no graph.

What people ask for, a name and perhaps a file of weights, leads to a fingerprint through a small
file in ``requests``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from lookalike.embed.description import ModelDescription
from lookalike.errors import ModelUnusable

GRAPH, WEIGHTS, DESCRIPTION, SUMS = "model.xml", "model.bin", "model.json", "sums.json"


def exports_folder() -> Path:
    """Where this platform keeps what a program can make again."""
    return Path(platformdirs.user_cache_dir("lookalike", appauthor=False)) / "models"


def calibrated_folder() -> Path:
    """Where int8 models are kept: the same pictures will not be there to calibrate them again."""
    return Path(platformdirs.user_data_dir("lookalike", appauthor=False)) / "models"


def file_sum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def find(fingerprint: str) -> Path | None:
    """The folder of a model that has been exported here."""
    # It may come from a database of somebody else's, and is about to be part of a path.
    if not re.fullmatch(r"[0-9a-f]{32}", fingerprint):
        return None
    for folder in (exports_folder() / fingerprint, calibrated_folder() / fingerprint):
        # Only what is read at once is checked at once: the weights may be a gigabyte.
        if _is_intact(folder, DESCRIPTION):
            return folder
    return None


def requested(model: str, weights_sum: str) -> Path | None:
    """The folder of what was last asked for under this name, with this file of weights."""
    try:
        return find(_request(model, weights_sum).read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None


def remember(model: str, weights_sum: str, fingerprint: str) -> None:
    """Let `requested` find a model."""
    request = _request(model, weights_sum)
    try:
        request.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=request.parent, delete=False) as file:
            file.write(fingerprint)
        os.replace(file.name, request)  # noqa: PTH105
    except OSError as error:
        raise ModelUnusable(f"{request} cannot be written ({error.strerror or error}).") from error


def _request(model: str, weights_sum: str) -> Path:
    key = hashlib.sha256(f"{model}\0{weights_sum}".encode()).hexdigest()[:32]
    return exports_folder() / "requests" / key


def has_graph(folder: Path) -> bool:
    """Whether OpenVINO can run the model."""
    return GRAPH in _sums(folder)


def is_whole(folder: Path) -> bool:
    """Whether all files of a model are as they were written."""
    return all(_is_intact(folder, name) for name in {DESCRIPTION, *_sums(folder)})


def _is_intact(folder: Path, name: str) -> bool:
    size, digest = _sums(folder).get(name, (0, ""))
    try:
        return (folder / name).stat().st_size == size and file_sum(folder / name) == digest
    except OSError:
        return False


def _sums(folder: Path) -> dict[str, tuple[int, str]]:
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return {str(name): (int(size), str(digest)) for name, (size, digest) in sums.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write(
    root: Path, description: ModelDescription, save_graph: Callable[[Path], None] | None
) -> Path:
    """Put a model into its place, instead of a damaged one that may be there; returns its folder.

    Args:
        root: `exports_folder` or `calibrated_folder`.
        description: what the model is.
        save_graph: writes ``model.xml`` and ``model.bin`` into a folder; None where there is none.
    """
    place = root / description.fingerprint
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=root, ignore_cleanup_errors=True) as made:
            folder = Path(made) / "model"
            folder.mkdir()
            if save_graph:
                save_graph(folder)
            description.write(folder / DESCRIPTION)
            sums = {path.name: (path.stat().st_size, file_sum(path)) for path in folder.iterdir()}
            (folder / SUMS).write_text(json.dumps(sums), encoding="utf-8")
            if place.exists() and not is_whole(place):
                os.replace(place, Path(made) / "damaged")  # noqa: PTH105
            os.replace(folder, place)  # noqa: PTH105
    except OSError as error:
        if is_whole(place):  # another process was faster
            return place
        raise ModelUnusable(
            f"The exported model {description.name} cannot be kept in {root} "
            f"({error.strerror or error}). Make room there, or check its rights."
        ) from error
    return place


def described(folder: Path, *, name: str | None = None) -> ModelDescription:
    """The description of an exported model, under the name that was asked for."""
    description = ModelDescription.read(folder / DESCRIPTION)
    return dataclasses.replace(description, name=name) if name else description
