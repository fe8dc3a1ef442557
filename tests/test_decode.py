"""Files of every kind become upright RGB pixels; the expected pixels are computed with NumPy."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lookalike.decode import Picture, decode, upright_rgb
from lookalike.errors import PictureDamaged
from tests.encode import TURNED, Array, encoded, exif, noise, png, smooth

FULL_SCALE = (100_000, 100_000)


def read(data: bytes, *, least: tuple[int, int] = FULL_SCALE, limit: int = 10**8) -> Picture:
    return decode(data, path="picture", least=least, max_pixels=limit)


def pixels(data: bytes) -> npt.NDArray[np.int64]:
    image = read(data).image
    assert image.mode == "RGB"
    return np.asarray(image).astype(np.int64)


def on_white(colour: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> Array:
    weight = alpha[..., np.newaxis] / 255
    blended: Array = (colour * weight + 255 * (1 - weight)).round().astype(np.uint8)
    return blended


def grey(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.repeat(values[..., np.newaxis], 3, axis=2)


@pytest.mark.parametrize(
    "kind", ["PNG", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "ICO"]
)
def test_formats_without_loss_give_the_very_pixels(kind: str) -> None:
    original = noise(24, 40, 3)
    data = encoded(original, kind, sizes=[(40, 24)], irreversible=False, lossless=True)
    facts = read(data).facts
    assert np.array_equal(pixels(data), original)
    assert (facts.width, facts.height) == (40, 24)
    assert facts.format == {"DIB": "bmp"}.get(kind, kind.lower())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (96, 64))]}),
        ("AVIF", {}),
    ],
)
def test_formats_with_loss_are_close_to_the_original(kind: str, options: dict[str, object]) -> None:
    original = smooth(96, 64)
    data = encoded(original, kind, quality=95, **options)
    assert abs(pixels(data) - original).max() <= 8
    assert read(data).facts.format == ("avif" if kind == "AVIF" else "jpeg")


def test_grey_and_two_coloured_pictures_get_three_equal_channels() -> None:
    values = noise(20, 30)
    assert np.array_equal(pixels(encoded(values, "PNG")), grey(values))
    bits = values > 127
    assert np.array_equal(pixels(encoded(bits, "PNG")), grey(bits * 255))
    ramp = smooth(96, 64)[..., 0]
    assert abs(pixels(encoded(ramp, "JPEG", quality=95)) - grey(ramp)).max() <= 4


def test_palettes_are_looked_up_and_their_transparent_entries_become_white() -> None:
    indices, palette, alpha = noise(20, 30, top=16), noise(16, 3), noise(16)
    alpha[:3] = 0, 128, 255
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    opaque = palette[indices]
    assert np.array_equal(pixels(encoded(image, "PNG")), opaque)
    assert np.array_equal(pixels(encoded(image, "GIF")), opaque)

    half_seen = pixels(encoded(image, "PNG", transparency=alpha.tobytes()))
    assert abs(half_seen - on_white(opaque, alpha[indices])).max() <= 1
    hole = np.where(indices[..., np.newaxis] == 5, 255, opaque)
    assert np.array_equal(pixels(encoded(image, "GIF", transparency=5)), hole)


def test_transparency_is_blended_with_white() -> None:
    rgba = noise(40, 50, 4)
    colour, value, alpha = rgba[..., :3], rgba[..., 0], rgba[..., 3]
    for kind in ("PNG", "WEBP", "TIFF"):
        found = pixels(encoded(rgba, kind, lossless=True, exact=True))
        assert abs(found - on_white(colour, alpha)).max() <= 1
    grey_alpha = Image.merge("LA", [Image.fromarray(value), Image.fromarray(alpha)])
    found = pixels(encoded(grey_alpha, "PNG"))
    assert abs(found - on_white(grey(value), alpha)).max() <= 1


def test_a_colour_key_becomes_white() -> None:
    original = noise(20, 30, 3, top=3)
    key = (original == (0, 1, 2)).all(axis=2)
    assert key.any()
    found = pixels(encoded(original, "PNG", transparency=(0, 1, 2)))
    assert np.array_equal(found, np.where(key[..., np.newaxis], 255, original))


def test_inks_become_light() -> None:
    blocks = noise(4, 4, 4).repeat(16, axis=0).repeat(16, axis=1)  # flat, so JPEG keeps them
    cmyk = Image.merge("CMYK", [Image.fromarray(blocks[..., band]) for band in range(4)])
    light = 255 - blocks.astype(np.float64)
    expected = light[..., :3] * light[..., 3:] / 255
    assert abs(pixels(encoded(cmyk, "JPEG", quality=100)) - expected).max() <= 4


def test_of_sixteen_bits_the_upper_eight_stay() -> None:
    values = np.random.default_rng(7).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    one = values[..., 0]
    assert np.array_equal(pixels(encoded(one, "PNG")), grey(one >> 8))
    assert np.array_equal(pixels(encoded(one, "TIFF")), grey(one >> 8))
    assert np.array_equal(pixels(encoded(one.astype(">u2"), "TIFF")), grey(one >> 8))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    assert abs(pixels(png(16, 2, 30, 20, rows)) - (values >> 8)).max() <= 1


@pytest.mark.parametrize(("low", "top"), [(0, 1.0), (0, 255.0), (0, 65535.0), (-40, 1e6)])
def test_floats_keep_a_range_they_fit_and_are_stretched_otherwise(low: float, top: float) -> None:
    values = np.linspace(low, top, 600).reshape(20, 30).astype(np.float32)
    expected = (values - low) * 255 / (top - low)
    assert abs(pixels(encoded(values, "TIFF")) - grey(expected)).max() <= 1
    values[0, 0] = np.nan
    assert abs(pixels(encoded(values, "TIFF")) - grey(expected))[1:].max() <= 1
    assert (pixels(encoded(np.full((8, 8), 40, np.int32), "TIFF")) == 40).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_counts(kind: str) -> None:
    red, blue = (np.full((24, 24, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    later = [Image.fromarray(blue)]
    data = encoded(red, kind, save_all=True, append_images=later, lossless=True)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames") == 2  # noqa: B009
    assert np.array_equal(pixels(data), red)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP", "HEIF", "AVIF"])
def test_every_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    lossless = {"quality": -1, "chroma": 444} if kind == "HEIF" else {}
    stored = pixels(encoded(smooth(96, 64), kind, **lossless)).astype(np.uint8)
    data = encoded(smooth(96, 64), kind, exif=exif(orientation).tobytes(), **lossless)
    picture, expected = read(data), TURNED[orientation](stored)
    assert np.array_equal(np.asarray(picture.image), expected)
    assert (picture.facts.height, picture.facts.width) == expected.shape[:2]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_a_picture_in_memory_is_turned_upright_once(kind: str) -> None:
    data = encoded(smooth(96, 64), kind, exif=exif(6))
    in_memory = upright_rgb(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(in_memory), np.asarray(read(data).image))


@pytest.mark.parametrize("size", [(1000, 800), (448, 448), (3000, 500), (500, 3000), (1793, 1800)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_smaller_but_never_below_what_is_needed(
    size: tuple[int, int], orientation: int
) -> None:
    original = smooth(*size)
    data = encoded(original, "JPEG", quality=95, exif=exif(orientation))
    picture = read(data, least=(224, 200))
    upright = TURNED[orientation](original)
    assert (picture.facts.height, picture.facts.width) == upright.shape[:2]
    assert min(picture.image.size) >= 224
    assert picture.image.width <= -(-picture.facts.width // 2)
    small = np.asarray(Image.fromarray(upright).resize(picture.image.size)).astype(np.int64)
    assert abs(np.asarray(picture.image) - small).mean() < 3


def test_pictures_less_than_twice_as_large_as_needed_keep_their_scale() -> None:
    assert read(encoded(smooth(447, 900), "JPEG"), least=(224, 224)).image.size == (447, 900)
    assert read(encoded(smooth(100, 900), "JPEG"), least=(224, 224)).image.size == (100, 900)


@pytest.mark.parametrize(
    ("date", "offset", "expected"),
    [
        ("2021:06:15 12:00:00", None, 1_623_758_400),
        ("2021:06:15 12:00:00", "+02:00", 1_623_751_200),
        ("0000:00:00 00:00:00", None, 0),
        ("    :  :     :  :  ", None, 0),
        (None, "+02:00", 0),
        (None, None, 0),
    ],
)
def test_the_capture_time_is_read_and_a_bad_one_does_not_cost_the_orientation(
    date: str | None, offset: str | None, expected: int
) -> None:
    camera = {"DateTimeOriginal": date, "OffsetTimeOriginal": offset}
    facts = read(encoded(smooth(96, 64), "JPEG", exif=exif(6, **camera))).facts
    assert (facts.taken_at, facts.width, facts.height) == (expected, 64, 96)


# Pillow warns of what is wrong; the command line keeps that quiet.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("garbage", [b"", b"nonsense" * 9, b"II*\0\xff\xff\xff\xff", b"MM\0*"])
def test_garbage_in_place_of_camera_data_does_not_cost_the_picture(garbage: bytes) -> None:
    plain = encoded(smooth(96, 64), "JPEG")
    body = b"Exif\0\0" + garbage
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    assert np.array_equal(pixels(data), pixels(plain))
    assert read(data).facts.taken_at == 0


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"just some text\n" * 40, "not a picture"),
        (POSTSCRIPT, "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\xff\xd8\xff\xe0", "picture"),
    ],
)
def test_bytes_that_are_no_picture_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PictureDamaged, match=reason) as caught:
        read(data)
    assert str(caught.value) == f"picture: {caught.value.reason}."
    assert "\n" not in str(caught.value)
    assert Image.open(io.BytesIO(POSTSCRIPT)).format == "EPS", "Pillow itself would run it"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(kind: str, part: float) -> None:
    data = encoded(noise(64, 64, 3), kind)
    with pytest.raises(PictureDamaged):
        read(data[: int(len(data) * part)])


def test_pictures_with_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PictureDamaged, match="LOOKALIKE_MAX_PIXELS=1535"):
        read(encoded(smooth(48, 32), "PNG"), limit=1535)
    assert read(encoded(smooth(48, 32), "PNG"), limit=1536).facts.width == 48
    giant = png(8, 2, 2**20, 2**20, b"")
    with pytest.raises(PictureDamaged, match="MAX_IMAGE_PIXELS sets the limit"):
        read(giant)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as the command line does
    with pytest.raises(PictureDamaged, match=r"1048576 × 1048576.*LOOKALIKE_MAX_PIXELS=1000"):
        read(giant)
