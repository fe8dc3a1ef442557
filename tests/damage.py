"""Damaged picture files, made from good ones of every format by seeded mutation, and by hand."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from tests.encode import (
    ADOBE_RGB,
    Array,
    cmyk_profile,
    dng,
    encoded,
    exif,
    noise,
    png,
    rgb_profile,
    smooth,
)

SIDE = 48


def whole_files() -> dict[str, tuple[str, bytes]]:
    """A good file of every format: kind -> (extension, bytes), with EXIF and ICC where it can."""
    colours = smooth(SIDE, SIDE)
    clear = np.dstack([colours, noise(SIDE, SIDE)])
    extras: dict[str, Any] = {
        "exif": exif(6, DateTimeOriginal="2021:06:15 12:00:00").tobytes(),
        "icc_profile": rgb_profile(ADOBE_RGB, gamma=2.2),
    }
    inks = Image.fromarray(colours).convert("CMYK")
    ink_profile = cmyk_profile(lambda ink: 100 * (1 - ink[:, :3]))
    frame = noise(SIDE, SIDE, 3)

    def more() -> dict[str, Any]:
        # Made for each file: Pillow notes in a picture how it was last written.
        frames = [Image.fromarray(frame ^ np.uint8(number)) for number in (1, 2, 3)]
        return {"save_all": True, "append_images": frames}

    deep = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours.astype(np.uint16) << 8)
    jpeg = encoded(smooth(320, 240), "JPEG", **extras)
    return {
        "jpeg": ("jpg", encoded(colours, "JPEG", **extras)),
        "progressive jpeg": ("jpeg", encoded(colours, "JPEG", progressive=True, **extras)),
        "cmyk jpeg": ("jpg", encoded(inks, "JPEG", icc_profile=ink_profile)),
        "mpo": ("mpo", encoded(colours, "MPO", **more())),
        "png": ("png", encoded(clear, "PNG", **extras)),
        "png, 16 bits": ("png", png(16, 2, SIDE, SIDE, deep)),
        "palette png": ("png", encoded(Image.fromarray(colours).quantize(9), "PNG")),
        "apng": ("apng", encoded(frame, "PNG", **more())),
        "webp": ("webp", encoded(clear, "WEBP", **extras)),
        "lossless webp": ("webp", encoded(clear, "WEBP", lossless=True)),
        "animated webp": ("webp", encoded(frame, "WEBP", **more())),
        "gif": ("gif", encoded(colours, "GIF")),
        "animated gif": ("gif", encoded(frame, "GIF", **more())),
        "tiff": ("tif", encoded(clear, "TIFF", **extras)),
        "lzw tiff": ("tiff", encoded(colours, "TIFF", compression="tiff_lzw")),
        "deflated tiff": ("tiff", encoded(colours, "TIFF", compression="tiff_adobe_deflate")),
        "jpeg in tiff": ("tif", encoded(colours, "TIFF", compression="jpeg")),
        "pages of tiff": ("tif", encoded(colours, "TIFF", **more())),
        "floats in tiff": ("tif", encoded(colours[..., 0].astype(np.float32), "TIFF")),
        "bmp": ("bmp", encoded(colours, "BMP")),
        "ico": ("ico", encoded(clear, "ICO", sizes=[(SIDE, SIDE), (16, 16)])),
        "bmp in ico": ("ico", encoded(clear, "ICO", sizes=[(32, 32)], bitmap_format="bmp")),
        "pnm": ("ppm", encoded(colours, "PPM")),
        "plain pnm": ("pgm", b"P2 9 9 255 " + b" ".join(b"%d" % n for n in range(81))),
        "tga": ("tga", encoded(clear, "TGA", compression="tga_rle")),
        "jpeg 2000": ("jp2", encoded(colours, "JPEG2000")),
        "avif": ("avif", encoded(clear, "AVIF", speed=9, **extras)),
        "heif": ("heic", encoded(colours, "HEIF", **extras)),
        "raw": ("dng", dng(jpeg, size=(SIDE, SIDE))),
    }


def whole_archives() -> dict[str, tuple[str, bytes]]:
    """Archives of three good pictures: kind -> extension and bytes."""
    made = {}
    pictures = [encoded(a_good_picture(1000 + number), "PNG") for number in range(3)]
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, picture in enumerate(pictures):
            archive.writestr(f"{number}.png", picture)
    made["zip"] = ("zip", zipped.getvalue())
    for extension, mode in (("tar", "w:"), ("tgz", "w:gz"), ("tar.xz", "w:xz")):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
            for number, picture in enumerate(pictures):
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(picture)
                tar.addfile(member, io.BytesIO(picture))
        made[extension] = (extension, packed.getvalue())
    return made


def archive_traps(bomb_bytes: int) -> Iterator[tuple[str, str, bytes]]:
    """(kind, extension, bytes): bombs of `bomb_bytes` zeros, told and untold, and a nested one."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("bomb.png", "w", force_zip64=True) as bomb:
            for _ in range(bomb_bytes >> 20):
                bomb.write(bytes(1 << 20))
        size = archive.getinfo("bomb.png").file_size
    yield "bomb", "zip", zipped.getvalue()
    lie = (5000).to_bytes(4, "little")
    yield "lying bomb", "zip", zipped.getvalue().replace(size.to_bytes(4, "little"), lie)
    member = tarfile.TarInfo("bomb.png")
    member.size = bomb_bytes
    yield "bomb", "tgz", gzip.compress(member.tobuf() + bytes(bomb_bytes + 1024), 1)
    inner = zipped.getvalue()
    for _ in range(3):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("inner.zip", inner)
        inner = outer.getvalue()
    yield "nested", "zip", inner


def damaged(
    good: Mapping[str, tuple[str, bytes]], seed: int, per_kind: int
) -> Iterator[tuple[str, str, bytes]]:
    """(kind, extension, bytes): `per_kind` mutations of every good file, always the same."""
    everything = [data for _, data in good.values()]
    for kind, (extension, data) in good.items():
        chance = random.Random(f"{seed} {kind}")
        for number in range(per_kind):
            mutate = MUTATIONS[number % len(MUTATIONS)]
            mutated = bytearray(data)
            mutate(mutated, chance, chance.choice(everything))
            yield kind, extension, bytes(mutated)


def _truncate(data: bytearray, chance: random.Random, other: bytes) -> None:
    del data[chance.randrange(len(data)) :]


def _flip_bits(data: bytearray, chance: random.Random, other: bytes) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _spoil_head(data: bytearray, chance: random.Random, other: bytes) -> None:
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(min(200, len(data)))] = chance.choice((0, 1, 127, 128, 255))


def _spoil_stretch(data: bytearray, chance: random.Random, other: bytes) -> None:
    start, length = chance.randrange(len(data)), chance.randint(1, 64)
    fill = chance.choice((b"\0", b"\xff", None))
    data[start : start + length] = fill * length if fill else chance.randbytes(length)


def _repeat_stretch(data: bytearray, chance: random.Random, other: bytes) -> None:
    start = chance.randrange(len(data))
    stretch = data[start : start + chance.randint(1, 400)]
    data[start:start] = stretch * chance.choice((1, 2, 50))


def _leave_out(data: bytearray, chance: random.Random, other: bytes) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, 100)]


def _lie_about_numbers(data: bytearray, chance: random.Random, other: bytes) -> None:
    """Another size, wherever the file says its own; another number, anywhere near its start."""
    lie = chance.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
    for form in (">I", "<I", ">H", "<H"):
        told = struct.pack(form, lie & (0xFFFFFFFF if form[1] == "I" else 0xFFFF))
        if (place := data.find(struct.pack(form, SIDE))) >= 0 and chance.random() < 0.7:
            data[place : place + len(told)] = told
    place = chance.randrange(min(600, len(data)))
    data[place : place + 4] = struct.pack(chance.choice((">I", "<I")), lie)


def _end_as_another(data: bytearray, chance: random.Random, other: bytes) -> None:
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    _truncate,
    _flip_bits,
    _spoil_head,
    _spoil_stretch,
    _repeat_stretch,
    _leave_out,
    _lie_about_numbers,
    _end_as_another,
)


def traps() -> Iterator[tuple[str, str, bytes]]:
    """(what, extension, bytes): files that are small, and ask for much time or memory."""
    for what, data in _giants():
        yield f"giant {what}", what, data
    for what, data in _bombs():
        yield f"bomb in {what}", what.split()[0], data
    for what, data in _endless():
        yield f"endless {what}", what, data
    picture = smooth(SIDE, SIDE)
    for kind in ("AVIF", "HEIF"):  # Their encoders refuse it.
        good = encoded(picture, kind, exif=exif(6, DateTimeOriginal="x").tobytes())
        yield f"bad exif in {kind}", kind.lower(), good.replace(b"MM\0*", b"\xff" * 4)
    for kind in ("JPEG", "PNG", "WEBP"):
        for rubbish in (b"", b"II*\0\xff\xff\xff\xff", b"\xff" * 60_000, _exif_of_loops()):
            yield f"bad exif in {kind}", kind.lower(), encoded(picture, kind, exif=rubbish)
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"):
        part = rgb_profile(ADOBE_RGB, gamma=2.2)[:200]
        for rubbish in (b"x", bytes(200), b"\xff" * 60_000, part):
            data = encoded(picture, kind, icc_profile=rubbish)
            yield f"bad profile in {kind}", kind.lower(), data


def _giants() -> Iterator[tuple[str, bytes]]:
    """A few bytes that say they are thousands of millions of pixels."""
    yield "png", png(8, 2, 2**31 - 1, 2**31 - 1, b"")
    yield "png", png(8, 6, 60_000, 60_000, bytes(100_000))
    yield (
        "bmp",
        b"BM" + struct.pack("<IIIIiiHHI", 200, 0, 54, 40, 2**31 - 1, 9, 1, 24, 0) + bytes(99),
    )
    yield "gif", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x02\0\0\0;"
    yield "ppm", b"P6 60000 60000 255 " + bytes(100)
    yield "pgm", b"P2 99999 99999 255 1 1 1"
    yield (
        "tga",
        struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 65535, 65535, 32, 0) + b"\xff" * 9,
    )
    yield (
        "webp",
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff" * 6 + b"ANIM\6\0\0\0" + bytes(6),
    )
    yield "webp", b"RIFF\x14\0\0\0WEBPVP8L\x08\0\0\0\x2f\xff\xff\xff\x0f\0\0\0"
    small = bytearray(encoded(smooth(SIDE, SIDE), "JPEG"))
    frame = small.index(b"\xff\xc0") + 5
    small[frame : frame + 4] = struct.pack(">HH", 65500, 65500)
    yield "jpg", bytes(small)
    for kind, extension in (("JPEG2000", "jp2"), ("AVIF", "avif"), ("HEIF", "heic")):
        data = encoded(smooth(SIDE, SIDE), kind)
        wide = struct.pack(">I", SIDE)
        yield extension, data.replace(wide, struct.pack(">I", 60_000))
        yield extension, data.replace(wide, struct.pack(">I", 7_500))
    tiff = encoded(smooth(SIDE, SIDE), "TIFF")
    for side in (60_000, 7_500):
        yield "tif", tiff.replace(struct.pack("<HII", 4, 1, SIDE), struct.pack("<HII", 4, 1, side))


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Much in few bytes."""
    zeros = zlib.compress(bytes(100_000_000))
    for name, start in ((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        yield "png text", _with_chunk(name, start + zeros)
    many = b"".join(_chunk(b"tEXt", b"key\0" + b"x" * 100_000) for _ in range(100))
    yield "png texts", _with_chunks(many)
    yield "png pixels", png(8, 2, 7_500, 7_500, bytes(7_500 * (1 + 3 * 7_500)))
    giant = png(1, 0, 40_000, 40_000, bytes(40_000 * (1 + 5_000)))
    head = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 99, 22)
    yield "ico picture", head + giant
    scans = encoded(noise(SIDE, SIDE, 3), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    yield "jpg scans", scans[:-2] + scans[last:-2] * 2000 + scans[-2:]
    out = io.BytesIO()
    Image.new("1", (30_000, 2_000)).save(out, "TIFF", compression="group4")
    yield "tif fax", out.getvalue()


def _endless() -> Iterator[tuple[str, bytes]]:
    """What goes on and on, or round and round."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    frame = gif[gif.rindex(b"\x21\xf9") : -1]
    yield "gif", gif[:-1] + frame * 200_000 + b";"
    yield "gif", gif[:-1] + b"\x21\xfe\1 \0" * 500_000
    apng = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    at = apng.index(b"acTL")
    body = b"acTL" + struct.pack(">II", 2**31 - 1, 0)
    yield "png", apng[:at] + body + struct.pack(">I", zlib.crc32(body)) + apng[at + 16 :]
    tiff = encoded(smooth(SIDE, SIDE), "TIFF")
    for start in (8, 0, 4, 2**31 - 1):
        (first,) = struct.unpack_from("<I", tiff, 4)
        (count,) = struct.unpack_from("<H", tiff, first)
        after = first + 2 + 12 * count
        yield "tif", tiff[:after] + struct.pack("<I", start or first) + tiff[after + 4 :]
    mpo = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    count = struct.pack("<HHII", 0xB001, 4, 1, 2)
    yield "mpo", mpo.replace(count, struct.pack("<HHII", 0xB001, 4, 1, 2**32 - 1))


def _exif_of_loops() -> bytes:
    """Directories of tags that lead to themselves."""
    loop = struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    return b"Exif\0\0II*\0\x08\0\0\0" + loop


def _with_chunk(name: bytes, body: bytes) -> bytes:
    return _with_chunks(_chunk(name, body))


def _with_chunks(chunks: bytes) -> bytes:
    plain = encoded(smooth(SIDE, SIDE), "PNG")
    return plain[:33] + chunks + plain[33:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def a_good_picture(seed: int) -> Array:
    """Blocks of colours that no other seed gives."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return colours.repeat(40, axis=0).repeat(40, axis=1)
