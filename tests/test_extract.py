"""What a zip file holds is unpacked in its place and as a whole, or not at all."""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from lookalike import DownloadFailed
from lookalike.extract import Limits, extract
from tests.sample_server import files, zipped

FOLDERS = ("train", "test")


def unpacked(archive: Path, **limits: int) -> dict[str, bytes]:
    into = archive.parent.parent
    extract(archive, into, folders=FOLDERS, url="http://a", limits=Limits(**limits))
    return files(into)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where a zip file comes to lie, two folders deep in the test's own."""
    (tmp_path / "dest" / "work").mkdir(parents=True)
    return tmp_path / "dest" / "work" / "sample.zip"


SOUND = {"train/a/1.JPEG": b"one", "train/a/2.JPEG": b"two", "test/a/3.JPEG": b"three"}


def refused(archive: Path, **limits: int) -> str:
    """Why a zip file is refused; nothing has been written and it is gone."""
    with pytest.raises(DownloadFailed) as failed:
        unpacked(archive, **limits)
    assert files(archive.parents[2]) == {}
    assert list(archive.parent.iterdir()) == []
    return failed.value.reason


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../outside", "would lie elsewhere"),
        ("train/../../outside", "would lie elsewhere"),
        ("train/..", "would lie elsewhere"),
        ("train/./a", "would lie elsewhere"),
        ("train//a", "would lie elsewhere"),
        ("train/.. /outside", "would lie elsewhere"),
        ("/etc/outside", "has an absolute path"),
        ("//server/outside", "has an absolute path"),
        ("C:/outside", "has an absolute path"),
        ("c:outside", "has an absolute path"),
        ("train\\..\\..\\outside", "has an impossible name"),
        ("\\\\server\\outside", "has an impossible name"),
        ("train/a:stream", "has an impossible name"),
        ("train/\x1b[31m", "has an impossible name"),
        ("elsewhere/../../outside", "would lie elsewhere"),
    ],
)
def test_a_dangerous_name_refuses_the_whole_zip_file(archive: Path, name: str, fault: str) -> None:
    archive.write_bytes(zipped(SOUND | {name: b"evil"}))
    assert refused(archive) == (
        f"the zip file's entry {name!r} {fault}; it was removed, check the address or try again"
    )


def test_a_name_is_checked_as_it_stands_in_the_archive(archive: Path) -> None:
    content = zipped(SOUND | {"train/a/4.JPEG@/../../outside": b"evil"})
    archive.write_bytes(content.replace(b"JPEG@", b"JPEG\0"))
    assert "has an impossible name" in refused(archive)


def test_a_second_name_in_an_extra_field_leads_nowhere(archive: Path, tmp_path: Path) -> None:
    plain, other = b"train/a/4.JPEG", b"train/../../outside"
    entry = zipfile.ZipInfo(plain.decode())
    entry.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, zlib.crc32(plain)) + other
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in SOUND.items():
            opened.writestr(name, content)
        opened.writestr(entry, b"evil")
    with contextlib.suppress(DownloadFailed):  # Python below 3.12 does not know the field
        unpacked(archive)
    assert not any("outside" in name for name in files(tmp_path))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(archive: Path, kind: int) -> None:
    link = zipfile.ZipInfo("train/a/link.JPEG")
    link.create_system, link.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in SOUND.items():
            opened.writestr(name, content)
        opened.writestr(link, "/etc/passwd")
    assert "'train/a/link.JPEG' is a link or a device" in refused(archive)


def altered(archive: Path, **values: int) -> None:
    """A zip file whose directory states other values for its last entry."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in SOUND.items():
            opened.writestr(name, content)
        opened.writestr("train/a/last.JPEG", bytes(100_000))
        for name, value in values.items():
            setattr(opened.infolist()[-1], name, value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"flag_bits": 1}, "'train/a/last.JPEG' is encrypted"),
        ({"compress_type": zipfile.ZIP_LZMA}, "'train/a/last.JPEG' is compressed in an unusual"),
        ({"file_size": 10}, "the zip file is damaged"),
        ({"CRC": 1}, "the zip file is damaged"),
        ({"header_offset": 3}, "the zip file is damaged"),
        ({"compress_size": 1}, "the zip file is damaged"),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_read_as_stated_refuses_the_whole_zip_file(
    archive: Path, values: dict[str, int], says: str
) -> None:
    altered(archive, **values)
    assert says in refused(archive)


def test_a_bomb_is_refused_by_its_stated_size(archive: Path) -> None:
    archive.write_bytes(zipped(SOUND | {"train/bomb": bytes(10_000_000)}))
    assert archive.stat().st_size < 11_000
    reason = refused(archive, total_bytes=5_000_000)
    assert reason.startswith("unpacked it would be more than 5 MB; it was removed")


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_is_unpacked(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(archive, file_size=10)
    # zipfile itself stops at the stated size today; take that away.
    real = zipfile.ZipFile.open

    def opened(self: zipfile.ZipFile, entry: zipfile.ZipInfo) -> object:
        if entry.filename == "train/a/last.JPEG":
            return io.BytesIO(bytes(100_000))
        return real(self, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", opened)
    assert refused(archive, total_bytes=50_000).startswith("unpacked it would be more than")


def test_the_number_of_entries_is_limited(archive: Path) -> None:
    archive.write_bytes(zipped(SOUND))
    assert refused(archive, entries=2).startswith("the zip file has 3 entries, more than 2;")
    archive.write_bytes(zipped(SOUND))
    assert unpacked(archive, entries=3) == SOUND


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("train/a", "train/a"), ("train/a", "train/a/b")])
def test_two_entries_in_the_same_place_are_refused(archive: Path, names: tuple[str, str]) -> None:
    with zipfile.ZipFile(archive, "w") as opened:
        for name in (*names, "test/b"):
            opened.writestr(name, b"content")
    assert "two entries of the zip file have the same name" in refused(archive)


def test_damaged_bytes_never_end_in_anything_but_one_error(archive: Path) -> None:
    sound = zipped({f"{folder}/{n}.JPEG": bytes(300) for n in range(3) for folder in FOLDERS})
    for step in range(0, len(sound), 5):
        damaged = bytearray(sound)
        damaged[step] ^= 0xFF
        archive.write_bytes(damaged)
        try:
            extract(archive, archive.parent.parent, folders=FOLDERS, url="http://a")
        except DownloadFailed:
            assert files(archive.parents[2]) == {}
        for folder in FOLDERS:
            shutil.rmtree(archive.parent.parent / folder, ignore_errors=True)
