"""Archives are folders: what lies in them is found, read, and never unpacked under its name."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import random
import shutil
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookalike import Index
from lookalike.errors import PictureDamaged, PictureUnreadable
from lookalike.ingest.scan import Scan
from lookalike.records import ImageFile, Skipped, Stamp
from lookalike.settings import Settings
from lookalike.sources import archives as archives_room
from lookalike.sources import reader as reader_room
from lookalike.sources import tars
from lookalike.sources.archives import Archive, Limits, open_archive
from lookalike.sources.reader import Reader

TREE = {"top.jpg": b"1", "2019/a.jpg": b"22", "2019/sea/b.PNG": b"333", "notes.txt": b"no"}
FOUND = {"top.jpg", "2019/a.jpg", "2019/sea/b.PNG"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    kind = path.suffix.removeprefix(".").replace("tgz", "gz")
    mode = f"w:{kind}" if kind in ("gz", "bz2", "xz") else "w"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def packed(path: Path, files: dict[str, bytes]) -> Path:
    return (zipped if path.suffix in (".zip", ".cbz") else tarred)(path, files)


def scanned(*sources: Path, settings: Settings | None = None) -> tuple[Scan, list[str], list[str]]:
    """The scan, the paths found and ``path: reason`` of what was skipped, below the folder."""
    scan = Scan(sources, settings=settings)
    items = list(scan)
    base = f"{(sources[0] if sources[0].is_dir() else sources[0].parent).as_posix()}/"
    found = [item.path.removeprefix(base) for item in items if isinstance(item, ImageFile)]
    skipped = [
        f"{item.path.removeprefix(base)}: {item.reason}"
        for item in items
        if isinstance(item, Skipped)
    ]
    return scan, found, skipped


def read(path: str, *, max_bytes: int = 1_000_000) -> bytes:
    with Reader(max_bytes=max_bytes) as reader:
        return reader.read(path)[0]


MUTATIONS = 60
KINDS = ["a.zip", "a.CBZ", "a.tar", "a.tgz", "a.tar.gz", "a.tar.bz2", "a.tar.xz"]


@pytest.mark.parametrize("name", KINDS)
def test_members_are_found_in_folders_and_by_name_and_read(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / name.lower(), TREE).rename(tmp_path / name)
    os.utime(archive, ns=(0, 1_600_000_000_123_456_000))
    for source in (tmp_path, archive):
        scan, found, skipped = scanned(source)
        assert set(found) == {f"{name}!/{member}" for member in FOUND}
        assert skipped == []
        root = f"{archive}!"
        assert {root, f"{root}/2019", f"{root}/2019/sea"} <= scan.listed
    for file in Scan([tmp_path]):
        assert isinstance(file, ImageFile)
        member = file.path.split("!/")[1]
        with Reader(max_bytes=100) as reader:
            data, stamp = reader.read(file.path)
        assert data == TREE[member]
        assert stamp == file.stamp == Stamp(len(data), 1_600_000_000_123_456_000)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_member_or_folder_of_an_archive_may_be_named(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", TREE)
    assert scanned(Path(f"{archive}!/2019"))[1] == ["2019/a.jpg", "2019/sea/b.PNG"]
    scan, found, _ = scanned(tmp_path, Path(f"{archive}!/2019/a.jpg"), Path(f"{archive}!/2019"))
    assert sorted(found) == sorted(f"a.zip!/{name}" for name in FOUND)
    missing = scanned(Path(f"{archive}!/2020"))
    assert missing[1:] == ([], ["2020: there is no such file in the archive"])
    assert not scan.exists(f"{archive}!/2020")


def test_hidden_members_and_those_that_macs_add_are_left_out(tmp_path: Path) -> None:
    names = (".a.jpg", "b/.c/d.jpg", "__MACOSX/._e.jpg", "__MACOSX/f.jpg", "g.jpg")
    zipped(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    assert scanned(tmp_path)[1:] == (["a.zip!/g.jpg"], [])


def test_an_archive_within_an_archive_is_skipped_aloud(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", {"inner.tar.gz": b"x", "b.jpg": b"y"})
    assert scanned(tmp_path)[1:] == (
        ["a.zip!/b.jpg"],
        ["a.zip!/inner.tar.gz: it is an archive within an archive, which is not opened"],
    )


STRANGE = ["new\nline.jpg", "it's \"q\".jpg", "100% \\ {x} $H.jpg", "🦔 Ünï.jpg", " .jpg",
           "x" * 251 + ".jpg", "x" * 3000 + ".jpg", "a!/b.zip!/c.jpg", "a\u2028.jpg"]  # fmt: skip


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_strange_names_are_ordinary_names(tmp_path: Path, kind: str) -> None:
    archive = packed(tmp_path / kind, {name: name.encode() for name in STRANGE})
    assert scanned(tmp_path)[1:] == ([f"{kind}!/{name}" for name in STRANGE], [])
    with Reader(max_bytes=100_000) as reader:
        for name in STRANGE:
            assert reader.read(f"{archive}!/{name}")[0] == name.encode()
            assert reader.exists(f"{archive}!/{name}")


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_names_that_lead_elsewhere_stay_in_the_archive_or_are_skipped(
    tmp_path: Path, kind: str
) -> None:
    names = ["../up.jpg", "a/../../b.jpg", "/etc/c.jpg", "./d.jpg", "e//f.jpg", "..", "g/..jpg"]
    (tmp_path / "folder").mkdir()
    archive = packed(tmp_path / "folder" / kind, dict.fromkeys(names, b"x"))
    _, found, skipped = scanned(archive.parent)
    assert set(found) == {f"{kind}!/{name}" for name in ("etc/c.jpg", "d.jpg", "e/f.jpg")}
    reason = "its name leads out of the archive"
    assert set(skipped) == {f"{kind}!/../up.jpg: {reason}", f"{kind}!/a/../../b.jpg: {reason}"}
    assert read(f"{archive}!/etc/c.jpg") == b"x"
    with pytest.raises((PictureDamaged, PictureUnreadable)):
        read(f"{archive}!/../up.jpg")
    assert not (tmp_path / "up.jpg").exists()


def test_names_that_are_not_utf_8_or_too_long_are_skipped_with_a_printable_path(
    tmp_path: Path,
) -> None:
    tarred(tmp_path / "a.tar", {os.fsdecode(b"caf\xe9.jpg"): b"x", "b.jpg": b"y"})
    zipped(tmp_path / "b.zip", {"y" * 9000 + ".jpg": b"x"})
    _, found, skipped = scanned(tmp_path)
    assert found == ["a.tar!/b.jpg"]
    assert skipped[0] == "a.tar!/caf\\udce9.jpg: its name is not valid UTF-8"
    assert skipped[1].endswith(": its path has more than 8192 bytes")


def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"b.jpg": b"first", "./b.jpg": b"second one"})
    (file,) = Scan([tmp_path])
    assert isinstance(file, ImageFile)
    assert file.stamp.size_bytes == len(b"second one")
    assert read(f"{archive}!/b.jpg") == b"second one"


def test_hard_links_of_a_tar_file_are_files_and_other_links_are_not(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for kind, name, target in (
            (tarfile.REGTYPE, "a.jpg", ""), (tarfile.LNKTYPE, "b.jpg", "a.jpg"),
            (tarfile.SYMTYPE, "c.jpg", "a.jpg"), (tarfile.LNKTYPE, "d.jpg", "/etc/passwd"),
            (tarfile.FIFOTYPE, "e.jpg", ""),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, 3 if not target else 0
            tar.addfile(entry, io.BytesIO(b"abc") if kind == tarfile.REGTYPE else None)
    _, found, skipped = scanned(tmp_path)
    assert found == ["a.tar!/a.jpg", "a.tar!/b.jpg"]
    assert [line.split("!/")[1][:5] for line in skipped] == ["c.jpg", "d.jpg", "e.jpg"]
    assert read(f"{archive}!/b.jpg") == b"abc"


def test_a_link_in_a_zip_file_is_not_followed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("a.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert scanned(tmp_path)[1:] == ([], ["a.zip!/a.jpg: it is no regular file in the archive"])


def lying_zip(path: Path) -> Path:
    """Its one member says that it has 10 bytes, and has a million."""
    zipped(path, {"a.jpg": bytes(1_000_000)})
    data = path.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10))
    path.write_bytes(data)
    return path


def encrypted_zip(path: Path) -> Path:
    zipped(path, {"a.jpg": b"x"})
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)
    return path


def bzip2_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.jpg", bytes(100))
    return path


def damaged_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"whole and sound")
    path.write_bytes(path.read_bytes().replace(b"sound", b"SOUND"))
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lying_zip, "it is damaged in the archive"),
        (encrypted_zip, "it is encrypted"),
        (bzip2_zip, "it is compressed in an unusual way; pack the archive again"),
        (damaged_zip, "it is damaged in the archive"),
        (
            lambda path: zipped(path, {"a.jpg": bytes(1_000_001)}),
            "it has 1000001 bytes, more than LOOKALIKE_MAX_BYTES=1000000",
        ),
    ],
)
def test_a_member_that_cannot_be_used_says_why(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    with pytest.raises(PictureDamaged) as caught:
        read(f"{make(tmp_path / 'a.zip')}!/a.jpg")
    assert caught.value.path.endswith("a.zip!/a.jpg")
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_archives_with_too_many_members_are_skipped(tmp_path: Path, kind: str) -> None:
    packed(tmp_path / kind, {f"{number}.jpg": b"x" for number in range(6)})
    assert len(scanned(tmp_path, settings=Settings(max_archive_members=6))[1]) == 6
    _, found, skipped = scanned(tmp_path, settings=Settings(max_archive_members=5))
    assert found == []
    assert "LOOKALIKE_MAX_ARCHIVE_MEMBERS" in skipped[0]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_file_is_unpacked_no_further_than_the_setting_says(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    plain = tarred(tmp_path / "plain", {"a.jpg": b"x", "b.jpg": bytes(50_000_000), "c.jpg": b"y"})
    bomb = tmp_path / "bomb.tgz"
    bomb.write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    settings = Settings(max_archive_bytes=1_000_000)
    scan, found, skipped = scanned(tmp_path, settings=settings)
    assert found == ["bomb.tgz!/a.jpg", "bomb.tgz!/b.jpg"]
    assert "more than LOOKALIKE_MAX_ARCHIVE_BYTES=1000000 bytes" in skipped[0]
    assert f"{bomb}!" not in scan.listed
    assert scan.exists(f"{bomb}!/c.jpg")
    with Reader.of(settings) as reader:
        assert reader.read(f"{bomb}!/a.jpg")[0] == b"x"
        with pytest.raises(PictureUnreadable, match=r"there is no such file in .* damaged"):
            reader.read(f"{bomb}!/c.jpg")
        assert reader.exists(f"{bomb}!/c.jpg")


def test_a_tar_header_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("././@LongLink").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_LONGNAME
    header[124:136] = b"%011o\0" % (4 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with gzip.open(tmp_path / "a.tgz", "wb") as archive:
        archive.write(header + bytes(30_000_000))
    _, found, skipped = scanned(tmp_path)
    assert found == []
    assert skipped == ["a.tgz: the archive is damaged (a header is too long)"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.9])
def test_a_truncated_archive_is_not_listed_and_what_was_in_it_may_still_exist(
    tmp_path: Path, name: str, keep: float
) -> None:
    files = {f"{number}.jpg": os.urandom(3000) for number in range(40)}
    archive = packed(tmp_path / name.lower(), files)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
    scan, found, skipped = scanned(tmp_path)
    assert len(skipped) == 1
    assert skipped[0].startswith(f"{name.lower()}: the archive is damaged")
    assert f"{archive}!" not in scan.listed
    with Reader(max_bytes=10_000) as reader:
        for number in range(40):
            path = f"{archive}!/{number}.jpg"
            assert scan.exists(path)
            assert reader.exists(path)
            if f"{name.lower()}!/{number}.jpg" in found[:-1]:
                assert reader.read(path)[0] == files[f"{number}.jpg"]
            else:
                with pytest.raises(PictureUnreadable, match="damaged"):
                    reader.read(path)


def test_damage_in_the_middle_of_a_tar_file_is_not_taken_for_its_end(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {f"{number}.jpg": b"x" for number in range(5)})
    data = bytearray(archive.read_bytes())
    data[3 * 1024 : 3 * 1024 + 512] = b"\xff" * 512
    archive.write_bytes(data)
    scan, found, skipped = scanned(tmp_path)
    assert found == [f"a.tar!/{number}.jpg" for number in range(3)]
    assert skipped == ["a.tar: the archive is damaged (it ends too early)"]
    assert scan.exists(f"{archive}!/4.jpg")


def test_what_is_gone_from_an_archive_or_with_it_does_not_exist(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", TREE)
    scan, *_ = scanned(tmp_path)
    with Reader(max_bytes=100) as reader:
        for exists in (scan.exists, reader.exists):
            assert exists(f"{archive}!/2019/a.jpg")
            assert not exists(f"{archive}!/2019/b.jpg")
            assert not exists(f"{archive}!/2020/b.jpg")
            assert not exists(f"{tmp_path}/none.zip!/b.jpg")
            assert not exists(f"{tmp_path}/none.jpg")
        archive.unlink()
        assert not reader.exists(f"{archive}!/2019/a.jpg")
        assert not scan.exists(f"{archive}!/2019/a.jpg")


def test_a_folder_called_like_an_archive_comes_first(tmp_path: Path) -> None:
    real = tmp_path / "a.zip!" / "b.jpg"
    real.parent.mkdir()
    real.write_bytes(b"file")
    assert scanned(tmp_path)[1:] == (["a.zip!/b.jpg"], [])
    assert read(str(real)) == b"file"
    zipped(tmp_path / "a.zip", {"b.jpg": b"member", "c.jpg": b"other"})
    assert read(str(real)) == b"file"
    assert read(f"{tmp_path}/a.zip!/c.jpg") == b"other"


def test_an_archive_that_changes_is_opened_again(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.jpg": b"old"})
    with Reader(max_bytes=100) as reader:
        assert reader.read(f"{archive}!/a.jpg")[0] == b"old"
        zipped(tmp_path / "new", {"a.jpg": b"new"}).rename(archive)
        assert reader.read(f"{archive}!/a.jpg")[0] == b"new"


def test_many_threads_read_many_archives_of_which_few_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_room, "OPEN_ARCHIVES", 1)
    kinds = ("a.zip", "b.tar", "c.tgz")
    content = {f"{number}.jpg": os.urandom(50_000) for number in range(10)}
    archives = [packed(tmp_path / kind, content) for kind in kinds]
    wrong: list[str] = []
    with Reader(max_bytes=100_000) as reader:

        def work(turn: int) -> None:
            for step in range(20):
                archive, name = archives[(turn + step) % 3], f"{(turn * step) % 10}.jpg"
                if reader.read(f"{archive}!/{name}")[0] != content[name]:
                    wrong.append(name)

        threads = [threading.Thread(target=work, args=[turn]) for turn in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_unpacking_a_large_archive_does_not_count_as_reading_a_picture(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    birds = {path.name: path.read_bytes() for path in (photos / "birds").iterdir()}
    tarred(tmp_path / "a.tar.gz", birds)
    unpack = tars._copied

    def slowly(*given: Any) -> Any:
        time.sleep(2.5)
        return unpack(*given)

    monkeypatch.setattr(tars, "_copied", slowly)
    settings = Settings(max_seconds=1, threads=2)
    with Index.open(tmp_path / "photos.db", settings=settings) as index:
        report = index.add(tmp_path / "a.tar.gz")
    assert (report.added, report.skipped) == (len(birds), ())


def test_an_archive_that_is_open_is_read_while_another_one_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.tgz", "b.tgz"):
        tarred(tmp_path / name, TREE)
    unpack, begun, go_on = tars._copied, threading.Event(), threading.Event()

    def in_time(stream: Any, limits: Any, path: str) -> Any:
        if path.endswith("b.tgz"):
            begun.set()
            assert go_on.wait(10)
        return unpack(stream, limits, path)

    monkeypatch.setattr(tars, "_copied", in_time)
    with Reader(max_bytes=100) as reader:
        reader.wait_for(f"{tmp_path}/a.tgz!/top.jpg")
        other = threading.Thread(target=reader.wait_for, args=[f"{tmp_path}/b.tgz!/top.jpg"])
        other.start()
        assert begun.wait(10)
        assert reader.read(f"{tmp_path}/a.tgz!/top.jpg")[0] == b"1"
        assert other.is_alive()
        go_on.set()
        other.join()
        assert reader.read(f"{tmp_path}/b.tgz!/top.jpg")[0] == b"1"


def test_half_of_the_free_space_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tarred(tmp_path / "a.tgz", {"a.jpg": os.urandom(60_000)})
    for free, fits in ((1_000_000, True), (100_000, False)):
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _place, usage=usage: usage)
        if fits:
            assert len(read(f"{archive}!/a.jpg")) == 60_000
        else:
            with pytest.raises(PictureUnreadable, match=r"half of what is free .*50000.*TMPDIR"):
                read(f"{archive}!/a.jpg")
        monkeypatch.undo()


def test_what_cannot_be_unpacked_is_not_unpacked_again_for_each_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, tries = tarred(tmp_path / "a.tgz", TREE), []

    def full(*given: Any) -> Any:
        tries.append(given)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with Reader(max_bytes=100) as reader:
        for name in TREE:
            reader.wait_for(f"{archive}!/{name}")
            with pytest.raises(PictureUnreadable, match="No space left"):
                reader.read(f"{archive}!/{name}")
    assert len(tries) == 1


def test_each_of_many_archives_is_looked_into_once_and_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = [tarred(tmp_path / f"{number}.tgz", TREE) for number in range(6)]
    opened: list[tuple[str, bool]] = []

    def counted(path: str, *, limits: Limits, to_read: bool = True) -> Archive:
        opened.append((path, to_read))
        return open_archive(path, limits=limits, to_read=to_read)

    monkeypatch.setattr(archives_room, "open_archive", counted)
    with Reader(max_bytes=100) as reader:
        for name in TREE:
            for archive in archives:
                assert reader.exists(f"{archive}!/{name}")
                assert not reader.exists(f"{archive}!/{name}.bak")
    assert opened == [(str(archive), False) for archive in archives]


def test_a_closed_reader_reads_no_archive(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.jpg": b"x"})
    reader = Reader(max_bytes=100)
    reader.close()
    with pytest.raises(PictureUnreadable, match="stopped"):
        reader.read(f"{archive}!/a.jpg")


def test_a_pipe_called_like_an_archive_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    assert scanned(tmp_path)[1:] == ([], ["a.zip: it is not a regular file"])
    with pytest.raises(PictureUnreadable, match="not a regular file"):
        read(f"{tmp_path}/a.zip!/a.jpg")


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Cut off, or with some bytes changed, zeroed or put elsewhere."""
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 20))):
        place = draw.randrange(len(damaged))
        kind = draw.randrange(5)
        if kind == 0:
            damaged[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            damaged[place] = draw.choice((0, 0x37, 0xFF))
        elif kind == 2:
            del damaged[place : place + draw.randrange(1, 600)]
        elif kind == 3:
            damaged[place:place] = damaged[: draw.randrange(600)]
        else:
            damaged[place : place + 12] = draw.randbytes(12)
        damaged = damaged or bytearray(1)
    return bytes(damaged)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_damaged_archives_of_any_kind_raise_nothing_else(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    files = {f"{number}/{'x' * (number * 40)}.jpg": draw.randbytes(900) for number in range(6)}
    archive = packed(tmp_path / name, files)
    whole, outcomes = archive.read_bytes(), 0
    for _ in range(MUTATIONS):
        archive.write_bytes(mutated(whole, draw))
        scan = Scan([tmp_path])
        with Reader(max_bytes=10_000) as reader:
            for item in scan:
                assert item.path.startswith(str(archive))
                outcomes += 1
                if isinstance(item, ImageFile):
                    with contextlib.suppress(PictureUnreadable, PictureDamaged):
                        reader.read(item.path)
    assert outcomes > MUTATIONS / 2
