"""What a file is: by its content, with the extension of its name only as a hint."""

from __future__ import annotations

import re
import struct
from pathlib import PurePath

RAW_EXTENSIONS = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
    ".x3f",
})  # fmt: skip
EXTENSIONS = RAW_EXTENSIONS | {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heics", ".heif", ".heifs",
    ".hif", ".ico", ".icb", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff",
    ".vda", ".vst", ".webp",
}  # fmt: skip
"""Names of files that may be pictures end so."""

_TGA_EXTENSIONS = frozenset({".icb", ".tga", ".vda", ".vst"})
_TGA_FOOTER = b"TRUEVISION-XFILE."

ICO = b"\0\0\x01\0"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_HEIF_BRANDS = frozenset({
    b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevm", b"hevs", b"hevx", b"mif1", b"mif2",
    b"msf1",
})  # fmt: skip
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_PICTURE = re.compile(
    rb"\x89PNG\r|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|\0\0\0\x0cjP  ", re.DOTALL
)
_UNREAD = "it is a picture in the format {}, which is not read; save it as PNG or JPEG"
_NO_PICTURES = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), reason)
    for pattern, reason in (
        (
            rb"....(ftyp|moov|mdat|wide)|RIFF....AVI |\x1aE\xdf\xa3|0&\xb2u\x8ef\xcf\x11|FLV\x01"
            rb"|\0\0\x01[\xba\xb3]",
            "it is a video; only pictures are indexed, so save a frame of it as a picture",
        ),
        (rb"ID3|fLaC|OggS|RIFF....WAVE", "it is sound, not a picture"),
        (
            rb"%PDF|%!PS|\xc5\xd0\xd3\xc6|\xd0\xcf\x11\xe0",
            "it is a document, not a picture; export its pages as pictures",
        ),
        (rb"PK\x03\x04|Rar!|7z\xbc\xaf", "it is an archive, not a picture"),
        (rb"\x1f\x8b", "it is compressed with gzip; unpack it first"),
        (rb"8BPS", _UNREAD.format("of Photoshop")),
        (rb"gimp xcf", _UNREAD.format("of GIMP")),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", _UNREAD.format("JPEG XL")),
        (rb"v/1\x01", _UNREAD.format("OpenEXR")),
        (rb"#\?RADIANCE", _UNREAD.format("Radiance HDR")),
        (rb"DDS ", _UNREAD.format("DDS")),
        (rb"qoif", _UNREAD.format("QOI")),
        (
            rb"version https://git-lfs",
            "it only stands for a picture; fetch that with: git lfs pull",
        ),
        (rb"\s*<(!doctype html|html)[\s>]", "it is a web page, not a picture"),
        (rb".*<svg[\s>]", "SVG is a drawing, not a picture; export it as PNG to index it"),
        (rb"\0+\Z", "it begins with nothing but zeros, so its content is lost"),
    )
]
_HEAD_BYTES = 4096


def extension(path: str) -> str:
    """The last extension of a name, in small letters and with its dot."""
    return PurePath(path).suffix.lower()


def is_heif(data: bytes) -> bool:
    """Whether it is a HEIF file other than AVIF."""
    brands = _brands(data)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def is_raw(data: bytes, *, path: str) -> bool:
    """Whether it is a camera's raw file. Many are TIFFs that only their name tells apart."""
    if data.startswith(_RAW) or data[8:10] == b"CR" or data[4:12] == b"ftypcrx ":
        return True
    if data[6:14] == b"HEAPCCDR":
        return True
    return data.startswith(_TIFF) and extension(path) in RAW_EXTENSIONS


def may_be_tga(data: bytes, *, path: str) -> bool:
    """Whether to try TGA: nothing in its head tells it from other files."""
    return _TGA_FOOTER in data[-18:] or extension(path) in _TGA_EXTENSIONS


def why_no_picture(data: bytes, *, path: str) -> str:
    """What a file is that is no picture, for a person who took it for one."""
    if is_raw(data, path=path):
        return "it is a camera's raw file of a kind that is not read"
    if _PICTURE.match(data) or _brands(data) & (_HEIF_BRANDS | _AVIF_BRANDS):
        return "the picture is damaged (what comes before its pixels makes no sense)"
    head = data[:_HEAD_BYTES]
    reasons = (reason for pattern, reason in _NO_PICTURES if pattern.match(head))
    return next(reasons, "it is not a picture in a known format")


def largest_icon(data: bytes) -> tuple[int, int]:
    """The (width, height) in pixels of the largest picture in an ICO file, as its own head says.

    What the directory of the file says may be another size.
    """
    (count,) = struct.unpack_from("<H", data, 4)
    sizes = [(0, 0)]
    for number in range(count):
        (offset,) = struct.unpack_from("<I", data, 6 + 16 * number + 12)
        if data.startswith(b"\x89PNG", offset):
            sizes.append(struct.unpack_from(">II", data, offset + 16))
        else:
            width, height = struct.unpack_from("<ii", data, offset + 4)
            sizes.append((abs(width), abs(height) // 2))
    return max(sizes, key=lambda size: size[0] * size[1])


def _brands(data: bytes) -> set[bytes]:
    """The kinds that a file of ISO base media boxes says it is."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
