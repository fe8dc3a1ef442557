"""``lookalike index --report``: what was left out, and why, for a person and for a program."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike.cli.skip_report import write_report
from lookalike.records import Skipped
from lookalike.reports import IndexReport
from lookalike.sources import archives
from tests.conftest import Outcome

Cli = Callable[..., Outcome]


@pytest.fixture
def damaged(photos: Path) -> dict[str, Path]:
    """A truncated photo, a text that calls itself a photo, an empty file and a giant."""
    found = {name: photos / f"{name}.jpg" for name in ("cut", "text", "empty", "<b>giant")}
    whole = Image.open(photos / "birds/crow.jpg").resize((900, 900))
    whole.save(found["cut"], quality=95)
    data = found["cut"].read_bytes()
    found["cut"].write_bytes(data[: len(data) * 3 // 4])
    found["text"].write_text("no picture")
    found["empty"].touch()
    Image.new("RGB", (2000, 2000), "red").save(found["<b>giant"])
    return found


def thumbnail_in(item: dict[str, str]) -> Image.Image:
    kind, encoded = item["thumbnail"].split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def test_the_json_report_names_each_file_with_its_reason_and_what_can_be_seen_of_it(
    cli: Cli, photos: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    done = cli("index", photos, "--report", file, LOOKALIKE_MAX_PIXELS="3000000")
    assert done.code == 0
    report = json.loads(file.read_text())
    assert (report["added"], report["total"], report["sources"]) == (30, 30, [str(photos)])
    items = {item["path"]: item for item in report["skipped"]}
    assert items.keys() == set(map(str, damaged.values()))
    assert "damaged" in items[str(damaged["cut"])]["reason"]
    assert "not a picture" in items[str(damaged["text"])]["reason"]
    assert "empty" in items[str(damaged["empty"])]["reason"]
    assert "LOOKALIKE_MAX_PIXELS" in items[str(damaged["<b>giant"])]["reason"]
    seen = thumbnail_in(items[str(damaged["cut"])])
    assert max(seen.size) == 160
    assert len(set(seen.convert("L").resize((8, 8)).get_flattened_data())) > 8
    assert thumbnail_in(items[str(damaged["<b>giant"])]).getpixel((80, 80))[0] > 240  # type: ignore[index]
    assert items[str(damaged["text"])]["thumbnail"] is None
    assert items[str(damaged["empty"])]["thumbnail"] is None


def test_the_page_shows_the_same_and_takes_names_for_what_they_are(
    cli: Cli, photos: Path, damaged: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    done = cli("index", photos, "--report", file, "--strict", LOOKALIKE_MAX_PIXELS="3000000")
    assert done.code == 1
    text = file.read_text()
    assert text.count("<li>") == 4
    assert text.count('src="data:image/jpeg') == 2
    assert "&lt;b&gt;giant.jpg" in text
    assert "<b>giant" not in text
    assert "the file is empty" in text


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    for file in (tmp_path / "report.txt", tmp_path / "nowhere" / "report.json"):
        done = cli("index", photos, "--report", file)
        assert done.code == 1
        assert "--report is " in done.err
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "photos.db").exists()


def test_an_archive_is_opened_once_for_all_thumbnails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(5):
            file.writestr(f"{number}.jpg", b"no picture")
    opened: list[str] = []

    def counted(path: str, **given: Any) -> archives.Archive:
        opened.append(path)
        return open_archive(path, **given)

    open_archive = archives.open_archive
    monkeypatch.setattr(archives, "open_archive", counted)
    skipped = tuple(Skipped(f"{archive}!/{number}.jpg", "why") for number in range(5))
    report = IndexReport(
        added=0, updated=0, moved=0, removed=0, unchanged=0, skipped=skipped, total=0, seconds=0
    )
    write_report(tmp_path / "report.json", report, sources=[str(archive)])
    assert len(json.loads((tmp_path / "report.json").read_text())["skipped"]) == 5
    assert opened == [str(archive)]


@pytest.mark.parametrize("name", ["report.json", "report.html"])
def test_a_source_that_is_no_utf_8_is_named_with_escapes(
    cli: Cli, photos: Path, tmp_path: Path, name: str
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    done = cli("index", folder, photos / "trees", "--report", tmp_path / name)
    assert done.code == 0, done
    assert "caf\\udce9" in (tmp_path / name).read_text().replace("\\\\", "\\")
