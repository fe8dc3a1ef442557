"""Colours become sRGB; what they must be is computed with NumPy, by the formulas of IEC and CIE."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from lookalike.decode import decode, upright_rgb
from lookalike.formats.colour import to_srgb
from tests.encode import (
    ADOBE_RGB,
    D50,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    encoded,
    grey_profile,
    noise,
    rgb_profile,
    smooth,
)

Floats = npt.NDArray[np.float64]


def pixels(data: bytes) -> npt.NDArray[np.int64]:
    picture = decode(data, path="picture", least=(10_000, 10_000), max_pixels=10**8)
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image).astype(np.int64)


def linear(srgb: npt.ArrayLike) -> Floats:
    """sRGB in 0–255 -> linear light in 0–1, by IEC 61966-2-1."""
    value = np.asarray(srgb) / 255
    light: Floats = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return light


def gamma_coded(light: Floats) -> Floats:
    """Linear light -> sRGB in 0–255."""
    light = light.clip(0, 1)
    low = light <= 0.0031308
    value: Floats = 255 * np.where(low, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return value


def in_gamut(original: npt.ArrayLike, primaries: Floats, gamma: float) -> npt.NDArray[np.uint8]:
    """What colours of sRGB are called in a wide gamut."""
    light = linear(original) @ SRGB.T @ np.linalg.inv(primaries).T
    called: npt.NDArray[np.uint8] = (255 * light.clip(0, 1) ** (1 / gamma)).round().astype(np.uint8)
    return called


def out_of_gamut(called: npt.ArrayLike, primaries: Floats, gamma: float) -> Floats:
    """What sRGB calls colours of a wide gamut."""
    light = (np.asarray(called) / 255) ** gamma
    return gamma_coded(light @ primaries.T @ np.linalg.inv(SRGB).T)


def lab_of(srgb: npt.ArrayLike) -> Floats:
    """sRGB in 0–255 -> CIELAB with D50."""
    xyz = linear(srgb) @ SRGB.T / D50
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    lab: Floats = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab


@pytest.mark.parametrize(
    ("primaries", "gamma"), [(DISPLAY_P3, 2.2), (ADOBE_RGB, 2.2), (ADOBE_RGB, 1.8)]
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF", "HEIF"])
def test_wide_gamuts_become_srgb(kind: str, primaries: Floats, gamma: float) -> None:
    original = smooth(96, 64) // 2 + 60  # not so dark that eight bits are too few
    wide = in_gamut(original, primaries, gamma)
    profile = rgb_profile(primaries, gamma=gamma)
    stored = pixels(encoded(wide, kind, quality=95))
    found = pixels(encoded(wide, kind, quality=95, icc_profile=profile))
    assert abs(found - out_of_gamut(stored, primaries, gamma)).max() <= 2
    assert abs(found - original).mean() <= 3
    assert abs(stored - original).max() > 10, "the profile makes a change"


def test_a_profile_that_is_srgb_changes_nothing() -> None:
    original = noise(64, 64, 3)
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(pixels(encoded(original, "PNG", icc_profile=own)), original)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        b"\0" * 200,
        rgb_profile(ADOBE_RGB, gamma=2.2)[:150],
        rgb_profile(ADOBE_RGB, gamma=2.2).replace(b"acsp", b"pcsa"),
        rgb_profile(ADOBE_RGB, gamma=2.2).replace(b"rXYZ", b"rXXX"),
        rgb_profile(ADOBE_RGB, gamma=2.2).replace(b"RGB ", b"MCH7"),
        grey_profile(gamma=1.0),
        cmyk_profile(lambda ink: np.zeros((len(ink), 3))),
    ],
    ids=["nonsense", "zeros", "cut", "unsigned", "incomplete", "seven inks", "of grey", "of inks"],
)
def test_a_profile_that_is_damaged_or_of_another_kind_costs_nothing(profile: bytes) -> None:
    original = noise(64, 64, 3)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encoded(original, kind, icc_profile=profile)), original)


def test_grey_with_a_profile_becomes_srgb_and_so_does_grey_of_sixteen_bits() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    profile = grey_profile(gamma=1.0)
    expected = np.repeat(gamma_coded(ramp / 255)[..., np.newaxis], 3, axis=2)
    assert abs(pixels(encoded(ramp, "PNG", icc_profile=profile)) - expected).max() <= 1
    deep = ramp.astype(np.uint16) * 257
    assert abs(pixels(encoded(deep, "PNG", icc_profile=profile)) - expected).max() <= 1


def test_a_profile_of_light_counts_for_grey_palettes_and_transparent_pictures() -> None:
    profile = rgb_profile(ADOBE_RGB, gamma=1.8)
    ramp = np.tile(np.arange(60, 256, dtype=np.uint8), (8, 1))
    same = np.repeat(ramp[..., np.newaxis], 3, axis=2)
    expected = pixels(encoded(same, "PNG", icc_profile=profile))
    assert abs(expected - gamma_coded((same / 255) ** 1.8)).max() <= 1
    assert np.array_equal(pixels(encoded(ramp, "PNG", icc_profile=profile)), expected)
    colours = Image.fromarray(smooth(96, 64)).quantize(64)
    opaque = colours.convert("RGB")
    expected = pixels(encoded(opaque, "PNG", icc_profile=profile))
    assert np.array_equal(pixels(encoded(colours, "PNG", icc_profile=profile)), expected)
    alpha = noise(64, 96)
    opaque.putalpha(Image.fromarray(alpha))
    weight = alpha[..., np.newaxis] / 255
    found = pixels(encoded(opaque, "PNG", icc_profile=profile))
    assert abs(found - (expected * weight + 255 * (1 - weight))).max() <= 1


def paint(ink: Floats) -> Floats:
    """Light of inks that are no pure cyan, magenta and yellow: (n, 4) in 0–1 -> sRGB in 0–255."""
    hues = np.array([[0.15, 0.45, 0.75], [0.75, 0.2, 0.4], [0.9, 0.8, 0.2], [0.1, 0.1, 0.12]])
    light: Floats = np.prod(1 - ink[:, :, np.newaxis] * (1 - hues), axis=1)
    return 255 * light


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_with_a_profile_look_as_it_says(kind: str) -> None:
    profile = cmyk_profile(lambda ink: lab_of(paint(ink)))
    blocks = noise(4, 4, 4).repeat(16, axis=0).repeat(16, axis=1)  # flat, so JPEG keeps them
    inks = Image.merge("CMYK", [Image.fromarray(blocks[..., band]) for band in range(4)])
    expected = paint(blocks.reshape(-1, 4) / 255).reshape(64, 64, 3)
    quality = {"quality": 100} if kind == "JPEG" else {}
    found = pixels(encoded(inks, kind, icc_profile=profile, **quality))
    # The table has nine steps, of eight bits each; so Lab is right to about one unit.
    assert abs(found - expected).max() <= 8
    assert abs(found - expected).mean() <= 2
    assert abs(pixels(encoded(inks, kind, **quality)) - expected).mean() > 15, "it makes a change"


def test_lab_becomes_srgb() -> None:
    original = smooth(96, 64) // 2 + 60  # not at the edge of the gamut, where Lab has small steps
    lab = (lab_of(original) * (255 / 100, 1, 1) + (0, 128, 128)).round()
    bands = [Image.fromarray(lab[..., band].astype(np.uint8)) for band in range(3)]
    found = pixels(encoded(Image.merge("LAB", bands), "TIFF"))
    assert abs(lab_of(found) * (255 / 100, 1, 1) + (0, 128, 128) - lab).max() <= 1.5
    assert abs(found - original).mean() <= 1.5


def test_threads_that_share_a_conversion_do_not_disturb_each_other() -> None:
    profile = rgb_profile(DISPLAY_P3, gamma=2.2)
    files = [encoded(noise(64, 64, 3) + np.uint8(k), "PNG", icc_profile=profile) for k in range(40)]
    alone = [pixels(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels, files))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_picture_in_memory_is_converted_too_and_only_once() -> None:
    wide = in_gamut(smooth(96, 64) // 2 + 60, DISPLAY_P3, 2.2)
    data = encoded(wide, "PNG", icc_profile=rgb_profile(DISPLAY_P3, gamma=2.2))
    once = upright_rgb(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(once), pixels(data))
    assert np.array_equal(np.asarray(upright_rgb(once)), pixels(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.convert("L"),
        lambda image: image.convert("CMYK"),
        lambda image: image.convert("RGBA"),
        lambda image: image.quantize(256),
        lambda image: image.convert("1"),
        lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
        lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.float32)),
    ],
    ids=["RGB", "L", "CMYK", "RGBA", "P", "1", "I;16", "F"],
)
def test_large_pictures_of_every_kind_are_reduced_but_never_below_what_is_needed(
    change: Callable[[Image.Image], Image.Image],
) -> None:
    image = change(Image.fromarray(smooth(1500, 1000)))
    data = encoded(image, "TIFF")
    picture = decode(data, path="picture", least=(100, 80), max_pixels=10**8)
    assert picture.image.size == (300, 200)
    assert (picture.facts.width, picture.facts.height) == (1500, 1000)
    whole = pixels(data).reshape(200, 5, 300, 5, 3).mean(axis=(1, 3))
    assert abs(np.asarray(picture.image) - whole).max() <= 2


def test_only_one_giant_at_a_time_is_in_memory_and_smaller_ones_do_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lookalike.decode.GIANT_PIXELS", 100 * 100)
    inside: list[int] = []
    most: dict[str, int] = {"giant": 0, "small": 0}
    together = threading.Barrier(4, timeout=30)

    def slow(image: Image.Image, *, least: int | None = None) -> Image.Image:
        kind = "giant" if image.width > 100 else "small"
        if kind == "small":
            together.wait()
            most[kind] = 4
            return to_srgb(image, least=least)
        inside.append(1)
        most[kind] = max(most[kind], len(inside))
        time.sleep(0.01)
        inside.pop()
        return to_srgb(image, least=least)

    monkeypatch.setattr("lookalike.decode.to_srgb", slow)
    files = [encoded(smooth(side, side), "PNG") for side in [120] * 8 + [80] * 4]
    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(pixels, files))
    assert most == {"giant": 1, "small": 4}


def test_the_colour_of_what_is_transparent_does_not_leak_when_a_picture_is_reduced() -> None:
    red = np.zeros((800, 800, 4), np.uint8)
    red[::2, :, 0], red[::2, :, 3] = 255, 255  # every second row opaque red, the rest nothing
    picture = decode(encoded(red, "PNG"), path="picture", least=(100, 100), max_pixels=10**8)
    assert picture.image.size == (200, 200)
    assert (abs(np.asarray(picture.image).astype(int) - (255, 127, 127)) <= 1).all()
