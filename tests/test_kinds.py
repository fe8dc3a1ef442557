"""What a file is, is decided by its content, and what is no picture says what it is."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Never

import numpy as np
import pytest
import rawpy
from PIL import ExifTags, Image

from lookalike import Index
from lookalike.decode import EXTENSIONS, Picture, decode
from lookalike.errors import PictureDamaged, PictureUnreadable
from lookalike.ingest.scan import Scan
from tests.encode import TURNED, dng, encoded, exif, noise, png, smooth

FULL_SCALE = (100_000, 100_000)


def read(data: bytes, path: str = "picture", *, least: tuple[int, int] = FULL_SCALE) -> Picture:
    return decode(data, path=path, least=least, max_pixels=10**8)


def pixels(data: bytes, path: str = "picture") -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(read(data, path).image).astype(np.int64)


def reason(data: bytes, path: str = "picture") -> str:
    with pytest.raises(PictureDamaged) as caught:
        read(data, path)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP"])
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tga", "x.dng", "x.txt", "x"])
def test_a_wrong_extension_changes_nothing(kind: str, name: str) -> None:
    data = encoded(smooth(96, 64), kind)
    picture = read(data, name)
    assert picture.facts == read(data).facts
    assert picture.facts.format == kind.lower()
    assert np.array_equal(pixels(data, name), pixels(data))


def test_heic_is_read_as_it_was_written() -> None:
    original = smooth(96, 64)
    data = encoded(original, "HEIF", quality=-1, chroma=444)
    assert abs(pixels(data) - original).max() <= 3
    facts = read(data).facts
    assert (facts.width, facts.height, facts.format, facts.animated) == (96, 64, "heif", False)


def test_transparent_and_deep_heic_and_avif() -> None:
    rgba = np.dstack([smooth(96, 64), np.full((64, 96), 128, np.uint8)])
    rgba[:, :48, 3] = 255
    expected = rgba[..., :3] * (rgba[..., 3:] / 255) + 255 - rgba[..., 3:]
    for kind, quality in (("HEIF", -1), ("AVIF", 100)):
        data = encoded(rgba, kind, quality=quality)
        assert abs(pixels(data) - expected).mean() <= 2


def test_the_camera_facts_of_heic_and_its_orientation_in_both_places() -> None:
    camera = exif(6, DateTimeOriginal="2021:06:15 12:00:00")
    data = encoded(smooth(96, 64), "HEIF", exif=camera.tobytes())
    facts = read(data).facts
    assert (facts.taken_at, facts.width, facts.height) == (1_623_758_400, 64, 96)
    # As phones do, it says so in both places; what counts is the file's own `irot`.
    said_in_exif = struct.pack(">HHIH", ExifTags.Base.Orientation, 3, 1, 6)
    assert b"irot" in data
    assert data.count(said_in_exif) == 1
    for other in (1, 3, 99):
        changed = data.replace(said_in_exif, said_in_exif[:-1] + bytes([other]))
        assert read(changed).facts == facts
        assert np.array_equal(pixels(changed), pixels(data))


def test_names_in_a_heic_that_are_no_text_end_in_an_error_and_not_in_a_crash() -> None:
    data = encoded(smooth(96, 64), "HEIF", exif=exif(6, DateTimeOriginal="x").tobytes())
    damaged = data.replace(b"Exif", b"Ex\xfff", 1)
    assert damaged != data
    assert "utf-8" in reason(damaged)
    # Where what a file tells of its items comes last, behind a box whose size has eight bytes.
    head = struct.unpack_from(">I", damaged)[0]
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 99) + bytes(99)
    assert "utf-8" in reason(damaged[:head] + large + damaged[head:])


@pytest.mark.parametrize("form", ["size", "large size", "rest"])
def test_pixels_of_a_heic_that_look_like_names_do_not_cost_the_picture(form: str) -> None:
    data = encoded(smooth(96, 64), "HEIF")
    like_names = struct.pack(">I4sB", 40, b"infe", 2) + b"\xff" * 31
    at = data.index(b"mdat") - 4
    assert at + struct.unpack_from(">I", data, at)[0] == len(data), "it is the last box"
    size = {"size": len(data) - at + len(like_names), "rest": 0}
    if form in size:
        changed = data[:at] + struct.pack(">I", size[form]) + data[at + 4 :] + like_names
    else:
        changed = data + struct.pack(">I4sQ", 1, b"mdat", 16 + len(like_names)) + like_names
    assert np.array_equal(pixels(changed), pixels(data))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG2000"])
def test_truncated_modern_pictures_are_refused(kind: str, part: float) -> None:
    data = encoded(noise(64, 64, 3), kind)
    with pytest.raises(PictureDamaged):
        read(data[: int(len(data) * part)])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_it_is_said_and_the_first_picture_counts(kind: str) -> None:
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], quality=100)
    assert read(data).facts.animated
    assert abs(pixels(data) - (255, 0, 0)).max() <= 3
    assert not read(encoded(frames[0], kind)).facts.animated


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_pages_and_views_are_no_animation(kind: str) -> None:
    pages = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    data = encoded(pages[0], kind, save_all=True, append_images=pages[1:])
    assert not read(data).facts.animated
    assert abs(pixels(data) - (255, 0, 0)).max() <= 3


def test_an_animation_is_not_walked_to_its_end() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    start = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    frame = start[start.rindex(b"\x21\xf9") : -1]
    data = start[:-1] + frame * 300_000 + b";"
    begin = time.perf_counter()
    assert read(data).facts.animated
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("name", ["x.dng", "x.NEF", "x.tif", "x.jpg"])
def test_a_raw_file_is_its_preview_with_the_facts_of_the_whole(name: str, orientation: int) -> None:
    preview = encoded(smooth(480, 320), "JPEG", quality=95)
    data = dng(preview, size=(960, 640), orientation=orientation)
    with Image.open(io.BytesIO(preview)) as plain:
        expected = TURNED[orientation](np.asarray(plain))
    assert np.array_equal(pixels(data, name), expected)
    facts = read(data, name).facts
    wide, high = (640, 960) if orientation in (6, 8) else (960, 640)
    assert (facts.width, facts.height) == (wide, high)
    assert (facts.format, facts.taken_at, facts.animated) == ("raw", 1_623_758_400, False)


def test_the_orientation_in_a_preview_counts_once() -> None:
    preview = encoded(smooth(480, 320), "JPEG", exif=exif(6))
    picture = read(dng(preview, size=(960, 640), orientation=6), "x.dng")
    assert picture.image.size == (320, 480)


def test_the_capture_time_of_a_raw_file_does_not_depend_on_this_machines_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = dng(encoded(smooth(480, 320), "JPEG"), size=(96, 64))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert read(data, "x.dng").facts.taken_at == 1_623_758_400
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_the_extra_a_raw_file_is_skipped_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    data = dng(encoded(smooth(480, 320), "JPEG"), size=(96, 64))
    for name in ("x.dng", "x.tif"):
        with pytest.raises(PictureUnreadable, match=r"pip install 'lookalike\[raw\]'"):
            read(data, name)
    # A TIFF stays one, whatever it is called.
    assert read(encoded(smooth(96, 64), "TIFF"), "x.tif").facts.format == "tiff"


def test_raw_files_of_other_makers_are_known_and_damaged_ones_refused() -> None:
    for start in (
        b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"IIU\0\x18\0\0\0",
        b"FOVb", b"\0MRM", b"II*\0\x10\0\0\0CR\x02\0", b"\0\0\0\x18ftypcrx \0\0\0\1",
        b"II\x1a\0\0\0HEAPCCDR",
    ):  # fmt: skip
        assert "raw file" in reason(start + bytes(5000))
    whole = dng(encoded(smooth(480, 320), "JPEG"), size=(96, 64))
    for part in (200, 400):
        assert reason(whole[:part], "x.dng") == (
            "the picture is damaged: the end of the file is missing (truncated)"
        )


def test_a_raw_file_that_ends_in_its_preview_is_not_shown_with_what_memory_held() -> None:
    preview = encoded(smooth(480, 320), "JPEG")
    whole = dng(preview, size=(96, 64))
    end = whole.index(preview) + len(preview)
    assert read(whole[:end], "x.dng").image.size == (480, 320)
    for part in (*range(600, end, 500), end - 1):
        read(whole, "x.dng")  # so that freed memory holds the preview
        with pytest.raises(PictureDamaged):
            read(whole[:part], "x.dng")


def raising(error: Exception) -> Callable[..., Never]:
    def fail(*arguments: object, **options: object) -> Never:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (rawpy.LibRawDataError(b"Corrupted data or unexpected EOF"), "Corrupted data or unexpec"),
        (rawpy.LibRawTooBigError(b"Image too big for processing"), "Image too big for processing"),
        (rawpy.LibRawDataError("Data error.\nAnd more."), "(Data error)"),
        (rawpy.LibRawOutOfOrderCallError(), "(LibRawOutOfOrderCallError)"),
    ],
)
def test_what_libraw_says_is_readable(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    data = dng(encoded(smooth(480, 320), "JPEG"), size=(96, 64))
    monkeypatch.setattr(rawpy, "imread", raising(error))
    told = reason(data, "x.dng")
    assert told.startswith("the picture is damaged (")
    assert said in told
    assert "b'" not in told


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("PIL.ImageFile.ImageFile.load", MemoryError()),
        ("rawpy.imread", MemoryError()),
        ("rawpy.imread", rawpy.LibRawUnsufficientMemoryError(b"Insufficient memory")),
    ],
)
def test_too_little_memory_is_no_damage(
    monkeypatch: pytest.MonkeyPatch, part: str, error: Exception
) -> None:
    data = dng(encoded(smooth(480, 320), "JPEG"), size=(96, 64))
    assert read(data, "x.dng").facts.format == "raw"
    monkeypatch.setattr(part, raising(error))
    with pytest.raises(PictureUnreadable, match="there is not enough memory to decode it"):
        read(data, "x.dng")


BOXES = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp42")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'<?xml version="1.0"?>\n<svg xmlns="x" width="9"><rect/></svg>', "SVG is a drawing"),
        (b"\xef\xbb\xbf<!-- a --><svg>" + b" " * 5000, "SVG is a drawing"),
        (b"<!DOCTYPE html><html><svg ></svg></html>", "it is a web page"),
        (b"%PDF-1.7\n%\xe2\xe3", "it is a document, not a picture; export its pages"),
        (BOXES + bytes(800), "it is a video; only pictures are indexed"),
        (struct.pack(">I4s4s", 20, b"ftyp", b"qt  ") + bytes(800), "it is a video"),
        (b"\x1aE\xdf\xa3" + bytes(800), "it is a video"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(800), "it is a video"),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(800), "it is sound"),
        (b"ID3\x04" + bytes(800), "it is sound"),
        (b"PK\x03\x04" + bytes(800), "it is an archive"),
        (b"8BPS\0\1" + bytes(800), "format of Photoshop, which is not read; save it as PNG"),
        (b"\xff\x0a" + bytes(800), "format JPEG XL"),
        (b"version https://git-lfs...\noid sha256:00\n", "git lfs pull"),
        (bytes(5000), "nothing but zeros"),
        (b"some words\n" * 100, "it is not a picture in a known format"),
    ],
)
def test_what_is_no_picture_says_what_it_is_whatever_it_is_called(data: bytes, said: str) -> None:
    for name in ("holiday.jpg", "drawing.svg", "film.mp4", "x"):
        assert reason(data, name).startswith(said) or said in reason(data, name)


def test_tga_has_no_mark_so_its_name_or_its_foot_tell() -> None:
    whole = encoded(smooth(96, 64), "TGA")
    assert read(whole, "x").facts.format == "tga"
    old = whole[: whole.index(b"TRUEVISION") - 8]
    assert read(old, "x.tga").facts.format == "tga"
    assert "not a picture" in reason(old, "x")


def test_a_giant_in_an_icon_is_not_decoded() -> None:
    side = 20_000
    giant = png(1, 0, side, side, zlib.decompress(zlib.compress(bytes((side // 8 + 1) * side))))
    head = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 99, 22)
    assert reason(head + giant) == (
        "it has 20000 × 20000 pixels, more than LOOKALIKE_MAX_PIXELS=100000000"
    )
    for size in ((16, 16), (256, 256)):
        icon = Image.fromarray(noise(*size, 4))
        for form in ("png", "bmp"):
            data = encoded(icon, "ICO", sizes=[size], bitmap_format=form)
            assert (read(data).facts.width, read(data).facts.height) == size


def test_folders_are_searched_for_all_these_names(tmp_path: Path) -> None:
    names = sorted(f"x{ending}" for ending in EXTENSIONS)
    for name in [*names, "film.mp4", "drawing.svg", "notes.txt"]:
        (tmp_path / name).touch()
    assert sorted(Path(found.path).name for found in Scan([tmp_path])) == names
    assert {".heic", ".hif", ".avif", ".dng", ".cr3", ".raf", ".orf", ".rw2", ".jp2"} <= EXTENSIONS


def test_what_is_seldom_needed_is_imported_when_it_is() -> None:
    program = (
        "import sys, lookalike.decode as d\n"
        "print([name for name in ('pi_heif', 'rawpy', 'PIL.ImageCms') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_drawing_and_a_video_that_are_named_are_skipped_with_what_they_are(
    samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "logo.svg").write_text("<svg xmlns='x'/>", encoding="utf-8")
    (tmp_path / "film.mp4").write_bytes(BOXES + bytes(800))
    picture = tmp_path / "wrong.png"
    picture.write_bytes((samples / "birds" / "crow.jpg").read_bytes())
    with Index.open(tmp_path / "kinds.db") as index:
        report = index.add(tmp_path / "logo.svg", tmp_path / "film.mp4", picture)
        assert report.added == 1
        said = {Path(skip.path).name: skip.reason.split(" ", 4)[:4] for skip in report.skipped}
        assert said == {
            "logo.svg": ["SVG", "is", "a", "drawing,"],
            "film.mp4": ["it", "is", "a", "video;"],
        }
        assert index.search(picture, limit=1)[0].format == "jpeg"
