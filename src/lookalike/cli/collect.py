"""Hits are copied or linked into one folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import LookalikeError, PictureError
from lookalike.records import Hit, Skipped
from lookalike.settings import Settings
from lookalike.sources.names import is_address, split_member
from lookalike.sources.reader import Reader

NAME_BYTES = 200  # file systems take 255
MOST_OF_A_NAME = 1000
# What Windows does not take in names, and what would command a terminal.
_UNUSABLE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Collected:
    """How many hits are in the folder now, and those that are not."""

    done: int
    left_out: tuple[Skipped, ...]


def copy(hits: Sequence[Hit], folder: Path) -> Collected:
    """Copy the files of hits, also out of archives and storages.

    Raises:
        OSError: the folder cannot be made.
    """
    with Reader.of(Settings.from_environment(), public=True) as reader:

        def put(path: str, target: Path) -> None:
            data, stamp = reader.read(path)
            with target.open("xb") as stream:
                try:
                    stream.write(data)
                except OSError:
                    target.unlink()
                    raise
            os.utime(target, ns=(stamp.mtime_ns, stamp.mtime_ns))

        return _collect(hits, folder, put)


def link(hits: Sequence[Hit], folder: Path) -> Collected:
    """Make symbolic links to the files of hits.

    Raises:
        OSError: the folder cannot be made.
    """
    return _collect(hits, folder, _link)


def _link(path: str, target: Path) -> None:
    if is_address(path):
        raise PictureError(path, "nothing can link to an address; --copy-to fetches it")
    if split_member(path) and not Path(path).exists():
        raise PictureError(path, "nothing can link into an archive; --copy-to takes it out")
    if not Path(path).exists():
        raise PictureError(path, "there is no such file")
    target.symlink_to(path)


def _collect(hits: Sequence[Hit], folder: Path, put: Callable[[str, Path], None]) -> Collected:
    folder.mkdir(parents=True, exist_ok=True)
    left_out = []
    digits = len(str(len(hits)))
    for rank, hit in enumerate(hits, 1):
        name = f"{rank:0{digits}}-{_name(hit.path)}"
        if reason := _fault(put, hit.path, folder, name):
            left_out.append(Skipped(hit.path, reason))
    return Collected(len(hits) - len(left_out), tuple(left_out))


def _fault(put: Callable[[str, Path], None], path: str, folder: Path, name: str) -> str | None:
    """Why a file could not be put there, None where it was."""
    try:
        _put_under_free_name(put, path, folder, name)
    except PictureError as error:
        return error.reason
    except LookalikeError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _put_under_free_name(
    put: Callable[[str, Path], None], path: str, folder: Path, name: str
) -> None:
    """Both ways of making a file fail where there is one of that name, or a link."""
    stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
    for number in range(1, MOST_OF_A_NAME):
        tried = name if number == 1 else f"{stem}-{number}{dot}{ending}"
        try:
            put(path, folder / tried)
        except FileExistsError:
            continue
        return
    raise PictureError(path, f"{folder} has {MOST_OF_A_NAME} files of its name")


def _name(path: str) -> str:
    """A file's name that every system takes; the rank stands before it, so it is never ``..``."""
    name = _UNUSABLE.sub("_", path.rsplit("/", 1)[-1])
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 10:  # noqa: PLR2004
        stem, dot, ending = name, "", ""
    short = stem.encode()[: NAME_BYTES - len(ending.encode())].decode(errors="ignore")
    return f"{short}{dot}{ending}"
