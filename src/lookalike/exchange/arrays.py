"""All vectors as one NumPy file, which can be mapped into memory, and the rows as lines of JSON.

Row n of ``vectors.npy`` belongs to line n of ``rows.jsonl``. A third file, ``model.json``, says
which model the vectors are from; its hashes of the other two tell a kill between their
replacements.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lookalike.errors import InvalidSetting
from lookalike.exchange.replacing import replacing
from lookalike.exchange.rows import Unusable, facts_of, model_of, record_of
from lookalike.records import ImageRecord
from lookalike.store.schema import METADATA_BYTES, PATH_BYTES, CollectionModel

READ_ROWS = 512
LINE_BYTES = 6 * (METADATA_BYTES + PATH_BYTES) + 1024  # \u00e9 for each é, where others wrote it
MODEL_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Files:
    """The three files of an export."""

    vectors: Path
    rows: Path
    model: Path

    @classmethod
    def at(cls, place: Path) -> Files:
        """In a folder under fixed names, or beside ``NAME.npy`` under its name."""
        if place.suffix.lower() == ".npy":
            return cls(place, place.with_suffix(".jsonl"), place.with_suffix(".json"))
        return cls(place / "vectors.npy", place / "rows.jsonl", place / "model.json")

    def beside(self, place: Path) -> list[Path]:
        """Those that are there, but were not named by `place`."""
        files = (self.vectors, self.rows, self.model)
        return [file for file in files if file != place and os.path.lexists(file)]


def write(place: Path, pages: Iterable[list[ImageRecord]], model: CollectionModel) -> int:
    """Write all rows; existing files are replaced when all are written.

    Returns:
        How many rows there were.

    Raises:
        InvalidSetting: what would be replaced is not of an export.
    """
    files = Files.at(place)
    if others := files.beside(place):
        try:
            read_model(place)
        except (Unusable, OSError) as error:
            free = f"another name: {others[0]} would be replaced, and is of no export"
            raise InvalidSetting("the export", str(place), free) from error
    files.vectors.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        replacing(files.model) as about,
        replacing(files.rows) as lines,
        replacing(files.vectors) as numbers,
    ):
        _write_header(numbers, (0, model.dim))
        for page in pages:
            for record in page:
                line = json.dumps(facts_of(record), ensure_ascii=False)
                lines.write(f"{line}\n".encode())
                numbers.write(record.vector.astype("<f4", copy=False).tobytes())
            count += len(page)
        numbers.seek(0)
        _write_header(numbers, (count, model.dim))  # as long as before: NumPy leaves room for it
        known = {**model.to_properties(), "rows": _hash(lines), "vectors": _hash(numbers)}
        about.write(json.dumps(known, indent=1).encode())
    return count


def read_model(place: Path) -> CollectionModel:
    """The model that an export's vectors are from.

    Raises:
        Unusable: it is not an export.
    """
    return model_of(_about(Files.at(place)))


def pages(place: Path) -> Iterator[list[ImageRecord]]:
    """All rows, in pages.

    Raises:
        Unusable: a file is missing or damaged, or holds what is no row.
    """
    files = Files.at(place)
    known = _about(files)
    model = model_of(known)
    for file, name in ((files.vectors, "vectors"), (files.rows, "rows")):
        with _opened(file) as stream:
            if _hash(stream) != known.get(name):
                raise Unusable(
                    f"{file.name} is not the one that was exported with {files.model.name}"
                )
    vectors = _mapped(files.vectors, model.dim)
    with _opened(files.rows) as stream:
        for start in range(0, len(vectors), READ_ROWS):
            part = np.array(vectors[start : start + READ_ROWS])
            yield [record_of(_facts(stream), vector) for vector in part]
        if stream.read(1):
            raise Unusable(f"{files.rows.name} has more lines than {files.vectors.name} has rows")


def _write_header(stream: BinaryIO, shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _hash(stream: BinaryIO) -> str:
    stream.seek(0)
    digest = hashlib.blake2b(digest_size=16)
    while part := stream.read(1 << 20):
        digest.update(part)
    stream.seek(0, 2)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        raise Unusable(f"there is no {file.name}") from None
    with stream:
        yield stream


def _about(files: Files) -> dict[str, str]:
    with _opened(files.model) as stream:
        try:
            known = json.loads(stream.read(MODEL_BYTES))
        except (ValueError, RecursionError):
            known = None
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise Unusable(f"{files.model.name} was not made by: lookalike export")
    return known


def _mapped(file: Path, dim: int) -> npt.NDArray[np.float32]:
    try:
        # Never np.load: that may run what is in a file.
        found: npt.NDArray[Any] = np.lib.format.open_memmap(file, mode="r")
    except (ValueError, OSError) as error:
        raise Unusable(f"{file.name} is damaged, or no NumPy file of numbers") from error
    if found.dtype != np.dtype("<f4") or found.ndim != 2 or found.shape[1] != dim:  # noqa: PLR2004
        raise Unusable(f"{file.name} holds {found.dtype} {found.shape}, not float32 (n, {dim})")
    return found


def _facts(stream: BinaryIO) -> dict[str, Any]:
    line = stream.readline(LINE_BYTES)
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unusable("a line is missing, or no row in JSON")
    return found
