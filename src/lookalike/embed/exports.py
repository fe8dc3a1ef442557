"""Exported models on this machine: made once, then run without PyTorch.

A model is a folder named by its fingerprint: ``model.json`` (its description), ``model.xml`` and
``model.bin`` (OpenVINO's graph and weights), and ``sums.json`` with their sizes, SHA-256 and times.
It is written beside its place, onto the disk, and renamed, so that one is there as a whole or not
at all. A file with the size and time that it was written with is taken for whole; else its sum
decides. A model that OpenVINO cannot run has, instead of a graph, ``refused.txt`` with the version
of OpenVINO that could not. One that reads words has its text tower beside the graph: ``text.xml``,
``text.bin`` and ``tokenizer.json``.

What people ask for, a name and perhaps a file of weights, leads to a fingerprint through a small
file in ``requests``; a fingerprint leads back to that file through one in ``weights``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import platformdirs

from lookalike.embed.description import ModelDescription
from lookalike.errors import ModelUnusable

GRAPH, DESCRIPTION, SUMS, REFUSED = "model.xml", "model.json", "sums.json", "refused.txt"
TEXT_GRAPH, TEXT_WEIGHTS, TOKENIZER = "text.xml", "text.bin", "tokenizer.json"


class _Sum(NamedTuple):
    """What a file was when it was written; `mtime_ns` is 0 where that has not been kept."""

    size_bytes: int
    sha256: str
    mtime_ns: int = 0


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
    if not _may_be_a_name(fingerprint):
        return None
    for folder in (exports_folder() / fingerprint, calibrated_folder() / fingerprint):
        # Only what is read at once is checked at once: the weights may be a gigabyte.
        if _is_intact(folder, DESCRIPTION):
            return folder
    return None


def _may_be_a_name(fingerprint: str) -> bool:
    # It may come from a database of somebody else's, and is about to be part of a path.
    return re.fullmatch(r"[0-9a-f]{32}", fingerprint) is not None


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
        _put(request, fingerprint)
    except OSError as error:
        raise ModelUnusable(f"{request} cannot be written ({error.strerror or error}).") from error


def _request(model: str, weights_sum: str) -> Path:
    key = hashlib.sha256(f"{model}\0{weights_sum}".encode()).hexdigest()[:32]
    return exports_folder() / "requests" / key


def weights_of(fingerprint: str) -> tuple[Path, str] | None:
    """The file of weights that a model was last asked for with, and its SHA-256 at that time."""
    if not _may_be_a_name(fingerprint):
        return None
    try:
        kept = json.loads(_weights_note(fingerprint).read_text(encoding="utf-8"))
        return Path(kept["path"]), str(kept["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember_weights(fingerprint: str, path: Path, weights_sum: str) -> None:
    """Let `weights_of` find a file, so that its index need not be told of it again."""
    if weights_of(fingerprint) == (path, weights_sum):
        return
    # Where the folder cannot be written, the file has to be named again: no reason to stop.
    with contextlib.suppress(OSError):
        note = json.dumps({"path": str(path), "sha256": weights_sum})
        _put(_weights_note(fingerprint), note)


def _weights_note(fingerprint: str) -> Path:
    return exports_folder() / "weights" / f"{fingerprint}.json"


def _put(path: Path, text: str) -> None:
    """Write a small file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)  # noqa: PTH105


def has_graph(folder: Path) -> bool:
    """Whether OpenVINO can run the model."""
    return GRAPH in _sums(folder)


def may_be_convertible(folder: Path) -> bool:
    """Whether the model has no graph because another version of OpenVINO could not run it."""
    if has_graph(folder):
        return False
    try:
        refused_by = (folder / REFUSED).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return True
    return refused_by != openvino_version()


def openvino_version() -> str:
    """The version that is installed, without the import, which takes 0.3 s."""
    from importlib.metadata import version  # noqa: PLC0415  # it takes 20 ms, and is rarely needed

    return version("openvino")


def is_whole(folder: Path) -> bool:
    """Whether all files of a model are as they were written."""
    return all(_is_intact(folder, name) for name in {DESCRIPTION, *_sums(folder)})


def _is_intact(folder: Path, name: str) -> bool:
    known = _sums(folder).get(name)
    try:
        found = (folder / name).stat()
        if known is None or found.st_size != known.size_bytes:
            return False
        return found.st_mtime_ns == known.mtime_ns or file_sum(folder / name) == known.sha256
    except OSError:
        return False


def _sums(folder: Path) -> dict[str, _Sum]:
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return {
            str(name): _Sum(int(size), str(digest), *map(int, mtime_ns))
            for name, (size, digest, *mtime_ns) in sums.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write(
    root: Path, description: ModelDescription, save_graph: Callable[[Path], None] | None
) -> Path:
    """Put a model into its place, instead of a damaged one that may be there; returns its folder.

    Args:
        root: `exports_folder` or `calibrated_folder`.
        description: what the model is.
        save_graph: writes ``model.xml`` and ``model.bin``, and what a text tower needs, into a
            folder; None where this version of OpenVINO cannot run the model.
    """
    place = root / description.fingerprint
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=root, ignore_cleanup_errors=True) as made:
            folder = Path(made) / "model"
            folder.mkdir()
            if save_graph:
                save_graph(folder)
            else:
                (folder / REFUSED).write_text(openvino_version(), encoding="utf-8")
            description.write(folder / DESCRIPTION)
            sums = {path.name: _written(path) for path in folder.iterdir()}
            (folder / SUMS).write_text(json.dumps(sums), encoding="utf-8")
            _written(folder / SUMS)
            if place.exists() and not (is_whole(place) and not may_be_convertible(place)):
                os.replace(place, Path(made) / "before")  # noqa: PTH105
            os.replace(folder, place)  # noqa: PTH105
    except OSError as error:
        if is_whole(place):  # another process was faster
            return place
        raise ModelUnusable(
            f"The exported model {description.name} cannot be kept in {root} "
            f"({error.strerror or error}). Make room there, or check its rights."
        ) from error
    return place


def _written(path: Path) -> _Sum:
    """A file's sum, once it is on the disk: a power cut could leave zeros of the right size."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    found = path.stat()
    return _Sum(found.st_size, file_sum(path), found.st_mtime_ns)


def sweep(root: Path, *, older_than_s: float) -> None:
    """Remove what `write` has left unfinished in a folder, having been killed."""
    for path in root.glob(".*"):
        # What another process removes, or does not let go, is not ours to mind.
        with contextlib.suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime >= older_than_s:
                shutil.rmtree(path, ignore_errors=True)


def described(folder: Path, *, name: str | None = None) -> ModelDescription:
    """The description of an exported model, under the name that was asked for."""
    description = ModelDescription.read(folder / DESCRIPTION)
    return dataclasses.replace(description, name=name) if name else description
