"""Pictures made for tests: of known pixels, in every format, with what else is in a file."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import ExifTags, Image

Array = npt.NDArray[np.uint8]
# From the EXIF standard: on which sides the stored picture's 0th row and 0th column belong.
TURNED: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],  # right, top
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],  # right, bottom
    8: lambda a: a.swapaxes(0, 1)[::-1],  # left, bottom
}


def noise(*shape: int, top: int = 256) -> Array:
    return np.random.default_rng(7).integers(0, top, shape).astype(np.uint8)


def smooth(width: int, height: int) -> Array:
    """A picture that JPEG keeps almost exactly, with no symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 255 * (x + y) / (width + height))
    return np.stack(channels, axis=2).astype(np.uint8)


def encoded(pixels: npt.NDArray[Any] | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(out, **options)
    else:
        image.save(out, kind, **options)
    return out.getvalue()


def png(depth: int, colour_type: int, width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def exif(orientation: int, **camera: str | None) -> Image.Exif:
    data = Image.Exif()
    data[ExifTags.Base.Orientation] = orientation
    for name, text in camera.items():
        if text is not None:
            data.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base[name]] = text
    return data


TAKEN_AT = b"2021:06:15 12:00:00"


def dng(preview: bytes, *, size: tuple[int, int], orientation: int = 1) -> bytes:
    """A camera's raw file: a JPEG as preview, and a grey plane of sensor values of this size."""
    with Image.open(io.BytesIO(preview)) as image:
        shown = image.size
    sensor = b"\0\x08" * (size[0] * size[1])

    def first(preview_at: int, second_at: int) -> list[Tag]:
        return [
            (254, "I", [1]), (256, "I", [shown[0]]), (257, "I", [shown[1]]), (258, "H", [8, 8, 8]),
            (259, "H", [7]), (262, "H", [6]), (271, "s", b"Acme\0"), (272, "s", b"Acme One\0"),
            (273, "I", [preview_at]), (274, "H", [orientation]), (277, "H", [3]),
            (278, "I", [shown[1]]), (279, "I", [len(preview)]), (306, "s", TAKEN_AT + b"\0"),
            (330, "I", [second_at]), (0xC612, "B", [1, 4, 0, 0]), (0xC614, "s", b"Acme One\0"),
        ]  # fmt: skip

    def second(sensor_at: int) -> list[Tag]:
        return [
            (254, "I", [0]), (256, "I", [size[0]]), (257, "I", [size[1]]), (258, "H", [16]),
            (259, "H", [1]), (262, "H", [32803]), (273, "I", [sensor_at]), (277, "H", [1]),
            (278, "I", [size[1]]), (279, "I", [len(sensor)]), (33421, "H", [2, 2]),
            (33422, "B", [0, 1, 1, 2]),
        ]  # fmt: skip

    second_at = 8 + len(_tags(first(0, 0), at=8))
    preview_at = second_at + len(_tags(second(0), at=second_at))
    directories = _tags(first(preview_at, second_at), at=8) + _tags(
        second(preview_at + len(preview)), at=second_at
    )
    return b"II*\0" + struct.pack("<I", 8) + directories + preview + sensor


Tag = tuple[int, str, Sequence[int]]


def _tags(tags: Sequence[Tag], *, at: int) -> bytes:
    """A TIFF's directory that lies `at` this place, with its values behind it."""
    kinds = {"B": 1, "s": 2, "H": 3, "I": 4}
    head, behind = struct.pack("<H", len(tags)), b""
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, code, values in tags:
        packed = isinstance(values, bytes)
        value = bytes(values) if packed else struct.pack(f"<{len(values)}{code}", *values)
        if len(value) > 4:
            place = struct.pack("<I", values_at + len(behind))
            behind += value + b"\0" * (len(value) % 2)
            value = place
        head += struct.pack("<HHI", tag, kinds[code], len(values)) + value.ljust(4, b"\0")
    return head + bytes(4) + behind


# D50, and what the primaries of wide gamuts look like there (columns are red, green and blue).
D50 = (0.9642, 1.0, 0.8249)
DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
ADOBE_RGB = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
"""https://www.color.org/chardata/rgb/rgb_registry.xalter, adapted to D50 by Bradford."""


def rgb_profile(primaries: npt.NDArray[np.float64], *, gamma: float) -> bytes:
    """An ICC profile of light: linear light to the power of 1 / gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    tags = {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T, strict=True):
        tags[name] = _xyz(column)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def cmyk_profile(lab: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> bytes:
    """An ICC profile of inks; `lab` maps (n, 4) amounts of ink in 0–1 to (n, 3) CIELAB."""
    steps = 9
    axes = np.meshgrid(*[np.linspace(0, 1, steps)] * 4, indexing="ij")
    colours = lab(np.stack([axis.ravel() for axis in axes], axis=1))
    scaled = (colours + np.array([0, 128, 128])) * (255 / 100, 1, 1)
    table = scaled.round().clip(0, 255).astype(np.uint8).tobytes()
    identity = np.eye(3).ravel() * 65536
    head = b"mft1" + struct.pack(">IBBBx9i", 0, 4, 3, steps, *identity.astype(int))
    body = head + bytes(range(256)) * 4 + table + bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": body})


def grey_profile(*, gamma: float) -> bytes:
    """An ICC profile of grey light: linear light to the power of 1 / gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def _xyz(values: npt.ArrayLike) -> bytes:
    return b"XYZ \0\0\0\0" + (np.asarray(values) * 65536).round().astype(">i4").tobytes()


def _profile(kind: bytes, colours: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    words = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": words, b"wtpt": _xyz(D50), b"cprt": b"text\0\0\0\0none\0", **tags}
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        at = 132 + 12 * len(tags) + len(bodies)
        table += name + struct.pack(">II", at, len(tag))
        bodies += tag + bytes(-len(tag) % 4)
    body = table + bodies
    head = struct.pack(">I4x", 128 + len(body)) + struct.pack(">I", 0x02400000) + kind + colours
    head += between + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    return head + (np.array(D50) * 65536).round().astype(">i4").tobytes() + bytes(48) + body
