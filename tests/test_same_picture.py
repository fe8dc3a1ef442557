"""Pictures in pairs that look the same have the same embedding, however they are stored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image

from lookalike import load_embedder
from lookalike.embed.embedder import ModelEmbedder
from tests.encode import (
    ADOBE_RGB,
    DISPLAY_P3,
    TURNED,
    Array,
    cmyk_profile,
    dng,
    encoded,
    exif,
    noise,
    png,
    rgb_profile,
)
from tests.test_colour import in_gamut, lab_of, paint

PICTURES = ("birds/crow.jpg", "insects/mantis.jpg")


@pytest.fixture(scope="module")
def embedder() -> ModelEmbedder:
    return load_embedder()


@pytest.fixture(params=PICTURES)
def original(samples: Path, request: pytest.FixtureRequest) -> Array:
    """The pixels of a photo."""
    with Image.open(samples / request.param) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def likeness(embedder: ModelEmbedder, tmp_path: Path) -> Any:
    """The cosine between the embeddings of two files."""

    def compare(one: bytes, other: bytes) -> float:
        for name, data in (("one", one), ("other", other)):
            (tmp_path / name).write_bytes(data)
        first, second = embedder.embed_files([tmp_path / "one", tmp_path / "other"])
        return float(first @ second)

    return compare


def plainly_decoded(data: bytes) -> Array:
    if data[4:8] == b"ftyp" and data[8:12] == b"heic":
        return np.asarray(pillow_heif.open_heif(data, convert_hdr_to_8bit=True).to_pillow())
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_turned_by_exif_and_turned_in_pixels(likeness: Any, original: Array, kind: str) -> None:
    stored = plainly_decoded(encoded(original, kind))
    for orientation, turn in TURNED.items():
        said = encoded(original, kind, exif=exif(orientation).tobytes())
        done = encoded(np.ascontiguousarray(turn(stored)), "PNG")
        assert likeness(said, done) >= 0.999, orientation


@pytest.mark.parametrize(
    ("kind", "options", "least"),
    [
        ("BMP", {}, 0.9999),
        ("TIFF", {"compression": "tiff_lzw"}, 0.9999),
        ("TGA", {}, 0.9999),
        ("PPM", {}, 0.9999),
        ("JPEG2000", {"irreversible": False}, 0.9999),
        ("WEBP", {"lossless": True}, 0.9999),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}, 0.98),
        ("WEBP", {"quality": 95}, 0.98),
        ("AVIF", {"quality": 95}, 0.98),
        ("HEIF", {"quality": 95}, 0.98),
    ],
)
def test_in_every_format(
    likeness: Any, original: Array, kind: str, options: dict[str, Any], least: float
) -> None:
    assert likeness(encoded(original, kind, **options), encoded(original, "PNG")) >= least


def test_a_raw_file_and_its_preview(likeness: Any, original: Array) -> None:
    preview = encoded(original, "JPEG", quality=95)
    assert likeness(dng(preview, size=(960, 640)), preview) >= 0.9999


@pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
def test_in_a_wide_gamut_and_in_srgb(
    likeness: Any, original: Array, primaries: npt.NDArray[np.float64]
) -> None:
    wide = in_gamut(original, primaries, 2.2)
    profile = rgb_profile(primaries, gamma=2.2)
    said = encoded(wide, "PNG", icc_profile=profile)
    assert likeness(said, encoded(original, "PNG")) >= 0.99
    assert likeness(said, encoded(original, "PNG")) > likeness(
        encoded(wide, "PNG"), encoded(original, "PNG")
    )


def test_with_a_transparent_part_and_that_part_white(likeness: Any, original: Array) -> None:
    alpha = np.full(original.shape[:2], 255, np.uint8)
    alpha[:, : original.shape[1] // 3] = np.linspace(0, 255, len(original)).astype(int)[:, None]
    weight = alpha[..., None] / 255
    flat = (original * weight + 255 * (1 - weight)).round().astype(np.uint8)
    for kind in ("PNG", "WEBP", "TIFF"):
        clear = encoded(np.dstack([original, alpha]), kind, lossless=True, exact=True)
        assert likeness(clear, encoded(flat, "PNG")) >= 0.999


def test_of_sixteen_and_of_eight_bits(likeness: Any, original: Array) -> None:
    height, width = original.shape[:2]
    deep = original.astype(np.uint16) << 8 | noise(height, width, 3)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert likeness(png(16, 2, width, height, rows), encoded(original, "PNG")) >= 0.999
    grey = np.asarray(Image.fromarray(original).convert("L"))
    for kind in ("PNG", "TIFF"):
        sixteen = encoded(grey.astype(np.uint16) * 257, kind)
        assert likeness(sixteen, encoded(grey, "PNG")) >= 0.999
    fractions = encoded((grey / 255).astype(np.float32), "TIFF")
    assert likeness(fractions, encoded(grey, "PNG")) >= 0.999


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_in_inks_and_in_light(likeness: Any, original: Array, kind: str) -> None:
    light = original / 255
    black = 1 - light.max(axis=2, keepdims=True)
    colours = (1 - light - black) / np.maximum(1 - black, 1e-6)
    inks = (255 * np.concatenate([colours, black], axis=2)).round().astype(np.uint8)
    quality = {"quality": 98} if kind == "JPEG" else {}
    cmyk = Image.merge("CMYK", [Image.fromarray(inks[..., band]) for band in range(4)])
    assert likeness(encoded(cmyk, kind, **quality), encoded(original, "PNG")) >= 0.99
    # The same inks on a press with other hues, which the profile describes.
    printed = paint(inks.reshape(-1, 4) / 255).reshape(original.shape).round().astype(np.uint8)
    profile = cmyk_profile(lambda ink: lab_of(paint(ink)))
    said = encoded(cmyk, kind, icc_profile=profile, **quality)
    assert likeness(said, encoded(printed, "PNG")) >= 0.99


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_large_and_at_a_smaller_scale(
    likeness: Any, embedder: ModelEmbedder, original: Array, kind: str
) -> None:
    whole = Image.fromarray(original).resize((2000, 1500), Image.Resampling.BICUBIC)
    large = encoded(whole, kind, **({"quality": 95} if kind == "JPEG" else {}))
    by_model = embedder.prepare(whole)
    small = Image.fromarray(np.ascontiguousarray(by_model))
    assert likeness(large, encoded(small, "PNG")) >= 0.99
