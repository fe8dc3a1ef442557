"""What the benchmarks share: many pictures from few, fresh processes, one table, one JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

import lookalike
from lookalike.decode import EXTENSIONS
from lookalike.records import ImageFile, ImageRecord

if TYPE_CHECKING:
    from lookalike.store.milvus import MilvusStore

PACKAGES = ("lookalike", "openvino", "pymilvus", "milvus-lite", "torch", "timm", "pillow")
SAMPLES = Path(lookalike.__file__).parent / "samples"

FILES_PER_FOLDER = 500
# File systems limit the names of one file: ext4 to 65,000.
LINKS_PER_COPY = 10_000
ROWS_PER_WRITE = 512  # as often as the store flushes

Row = Sequence[str | float]
Result = TypeVar("Result")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    summary = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, formatter_class=summary)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    return parser


def pictures_in(folder: Path) -> list[Path]:
    """The picture files below a folder, in order of their paths."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not found:
        raise SystemExit(f"There are no pictures in {folder}.")
    return found


def multiply(pictures: Sequence[Path], count: int, *, into: Path) -> list[Path]:
    """`count` files in folders of 500: copies of all pictures, then hard links to the copies."""
    files: list[Path] = []
    for number in range(count):
        original, turn = number % len(pictures), number // len(pictures) % LINKS_PER_COPY
        folder = into / f"{number // FILES_PER_FOLDER:05d}"
        folder.mkdir(exist_ok=True)
        files.append(folder / f"{number:08d}{pictures[original].suffix}")
        if turn == 0:
            shutil.copyfile(pictures[original], files[number])
        else:
            os.link(files[number - turn * len(pictures)], files[number])
    return files


def random_units(count: int, dim: int) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks of (n, dim) float32, unit rows; `count` rows in all."""
    random = np.random.default_rng(seed=0)
    for start in range(0, count, ROWS_PER_WRITE):
        shape = (min(ROWS_PER_WRITE, count - start), dim)
        block = random.standard_normal(shape, dtype=np.float32)
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def write_random_rows(store: MilvusStore, files: Sequence[ImageFile]) -> None:
    """Rows of `files` as indexing would write them, but with random vectors."""
    rest = iter(files)
    for block in random_units(len(files), store.model.dim):
        store.upsert(
            [
                ImageRecord(
                    path=file.path,
                    content=f"{file.stamp.mtime_ns:032x}",
                    stamp=file.stamp,
                    width=500,
                    height=375,
                    taken_at=0,
                    format="jpeg",
                    vector=vector,
                )
                for vector, file in zip(block, rest, strict=False)
            ]
        )
    store.flush()


def save_random_weights(model: str, file: Path) -> None:
    """Weights of a timm model as they are before any training, with seed 0, as .safetensors."""
    # Imported here: most benchmarks are processes without PyTorch.
    import timm  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    torch.manual_seed(0)
    module = timm.create_model(model, pretrained=False)
    for part in module.modules():
        # timm starts some of these with 0, which takes their branches out of the model.
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)
    save_file(module.state_dict(), file)


def in_fresh_process(work: Callable[..., Result], *args: object) -> Result:
    """What `work` returns, from a new interpreter that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def peak_rss_mb() -> float:
    """The most physical memory that this process has had so far, in 10^6 bytes.

    Linux lets a new process start with the figure of the one that started it, so that one has to
    be small.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def publish(
    title: str, rows: Sequence[Row], *, figures: Mapping[str, Any], json_file: Path | None
) -> None:
    """Print rows under a title, the first as the heads of columns; write the figures as JSON."""
    texts = [[cell if isinstance(cell, str) else f"{cell:,.4g}" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    print(f"{title}\n")
    for label, *cells in texts:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([label.ljust(widths[0]), *aligned]).rstrip())
    if json_file:
        document = {"title": title, "figures": figures, **_environment()}
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _environment() -> dict[str, Any]:
    versions = {package: version(package) for package in PACKAGES}
    machine = {
        "cpu": _cpu_model(),
        "cores": lookalike.Settings().workers,
        "system": platform.system(),
    }
    return {"versions": {"python": platform.python_version(), **versions}, "machine": machine}


def _cpu_model() -> str:
    """Linux keeps the name in a file; elsewhere Python's guess has to do."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
