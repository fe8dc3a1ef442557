"""Both ways to resize do the same; Pillow is the reference."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import load_embedder
from lookalike.embed import resize as module
from lookalike.embed.resize import Box, resize

needs_simd = pytest.mark.skipif(
    importlib.util.find_spec("cykooz_resizer") is None,
    reason="cykooz-resizer is not built for this",
)


def photo(samples: Path) -> Image.Image:
    with Image.open(samples / "birds" / "magpie.jpg") as opened:
        return opened.convert("RGB")


@needs_simd
@pytest.mark.parametrize("resampling", ["BILINEAR", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("size", [(224, 224), (64, 96), (500, 300)])
def test_vector_instructions_give_the_pixels_of_pillow(
    samples: Path, resampling: str, size: tuple[int, int]
) -> None:
    image = photo(samples)
    box: Box = (3.25, 0.0, image.width - 7.5, image.height - 1.0)
    chosen = Image.Resampling[resampling]
    found = resize(image, size, box=box, resampling=chosen).astype(np.int16)
    expected = np.asarray(image.resize(size, chosen, box=box), np.int16)
    assert found.shape == (size[1], size[0], 3)
    # They differ where kernels reach beyond the box, and where sharp edges overshoot: one clips
    # after the rows, the other after the columns.
    difference = np.abs(found - expected)
    assert difference.mean() < 0.5
    assert (difference <= 2).mean() > 0.98


def test_without_vector_instructions_pillow_resizes_and_the_embeddings_agree(
    samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((samples / "birds").iterdir())
    embedder = load_embedder()
    usual = embedder.embed_files(paths)
    monkeypatch.setattr(module, "simd", None)
    image = photo(samples)
    box: Box = (10.0, 0.0, 150.0, 140.0)
    plain = resize(image, (32, 32), box=box, resampling=Image.Resampling.BICUBIC)
    assert (plain == np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC, box=box))).all()
    assert (embedder.embed_files(paths) * usual).sum(axis=1).min() > 0.99
