"""The pictures of a phone, with all that lies among them, in one command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from lookalike import Index
from tests.conftest import Outcome

Cli = Callable[..., Outcome]
SIDEWAYS = 6  # the camera was turned: the picture is stored lying on its left side
DOCUMENT = Path(__file__).parents[1] / "docs" / "formats.md"


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif


@pytest.fixture
def phone(samples: Path, tmp_path: Path) -> Path:
    """Photos as HEIC and as a JPEG on its side, a screenshot, a video, a sidecar, a broken file."""
    folder = tmp_path / "DCIM"
    folder.mkdir()
    crow = Image.open(samples / "birds/crow.jpg").resize((1200, 900))
    pillow_heif.from_pillow(crow).save(folder / "IMG_0001.HEIC", quality=90)
    duck = Image.open(samples / "birds/duck.jpg").resize((1200, 900))
    lying = duck.transpose(Image.Transpose.ROTATE_90)
    lying.save(folder / "IMG_0002.JPG", quality=95, exif=with_orientation(SIDEWAYS))
    palm = Image.open(samples / "trees/palm.png").convert("RGBA")
    palm.putalpha(Image.fromarray(np.tile(np.uint8(255), (palm.height, palm.width))))
    palm.save(folder / "IMG_0003.PNG")
    (folder / "IMG_0004.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ")
    (folder / "IMG_0001.AAE").write_text("<plist/>")
    whole = (samples / "flowers/petunia.jpg").read_bytes()
    (folder / "IMG_0005.JPG").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / "IMG_0004.MOV", folder / "IMG_0006.JPG")
    return folder


def test_a_phones_folder_is_indexed_in_one_command_and_what_it_says_is_in_the_documents(
    cli: Cli, phone: Path, samples: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    done = cli("index", phone, "--report", report)
    assert done.code == 0
    said = f"{done.err}{done.out}".replace(str(phone), "~/DCIM").replace(str(tmp_path), "~")
    said = re.sub(r"[\d.]+ s, \d+ pictures/s", "… s, … pictures/s", said)
    (shown,) = re.findall(r"```console\n\$ [^\n]*DCIM[^\n]*\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert said == re.sub(r"[\d.]+ s, \d+ pictures/s", "… s, … pictures/s", shown)
    page = report.read_text()
    assert page.count("<li>") == 2
    assert page.count('src="data:image/jpeg') == 1
    assert "1 .aae, 1 .mov" in page
    with Index.open(tmp_path / "photos.db", create=False) as index:
        for name, original in (("IMG_0001.HEIC", "crow.jpg"), ("IMG_0002.JPG", "duck.jpg")):
            enlarged = Image.open(samples / "birds" / original).resize((1200, 900))
            best = index.search(enlarged, limit=1)[0]
            assert Path(best.path).name == name
            assert best.score > 0.99
            assert (best.width, best.height) == (1200, 900)
