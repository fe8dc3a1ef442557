"""Bad input ends in one clear line, without a traceback, and nothing is lost."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lookalike import Index
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Outcome

Cli = Callable[..., Outcome]


def line_of(outcome: Outcome, *, code: int = 1) -> str:
    """The only line on stderr of a command that ended with `code`."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    return outcome.err


def reason_for(outcome: Outcome, path: Path) -> str:
    """Why a file was skipped by a run that did everything else."""
    assert outcome.code == 0, outcome
    assert "Traceback" not in outcome.err
    (skipped,) = outcome.json["skipped"]
    assert skipped["path"] == path.as_posix()
    return str(skipped["reason"])


def giant_png(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_an_empty_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = cli("index", tmp_path / "empty")
    assert outcome.code == 0
    assert outcome.err == "There are no pictures in what was given.\n"
    assert outcome.out.startswith("0 added")


def test_a_path_that_does_not_exist_stops_everything_before_it_begins(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    line = line_of(cli("index", photos, tmp_path / "nowhere"))
    assert "nowhere does not exist" in line
    assert not (tmp_path / "photos.db").exists()


def half_a_jpeg(photos: Path) -> bytes:
    whole = (photos / "birds" / "crow.jpg").read_bytes()
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda photos: b"", "the file is empty (0 bytes)"),
        (lambda photos: b"GIF, but not really", "it is not a picture in a known format"),
        (half_a_jpeg, "truncated"),
        (lambda photos: giant_png(60_000), "more than LOOKALIKE_MAX_PIXELS=200000000"),
    ],
    ids=["empty", "no picture", "truncated", "bomb"],
)
def test_a_damaged_file_is_skipped_with_its_reason_and_tried_again(
    cli: Cli, photos: Path, content: Callable[[Path], bytes], reason: str
) -> None:
    bad = photos / "bad.jpg"
    bad.write_bytes(content(photos))
    first = cli("index", photos, "--format", "json")
    assert reason in reason_for(first, bad)
    assert first.json["added"] == 30
    assert reason in reason_for(cli("index", photos, "--format", "json"), bad)
    Image.new("RGB", (64, 64), "green").save(bad)
    assert cli("index", photos, "--format", "json").json["added"] == 1


def test_the_limit_in_pixels_is_the_named_setting(cli: Cli, photos: Path) -> None:
    Image.new("RGB", (400, 400)).save(photos / "large.png")
    outcome = cli("index", photos, "--format", "json", LOOKALIKE_MAX_PIXELS="159999")
    reason = reason_for(outcome, photos / "large.png")
    assert reason == "it has 400 × 400 pixels, more than LOOKALIKE_MAX_PIXELS=159999"


def test_a_file_too_large_to_read_is_skipped(cli: Cli, photos: Path) -> None:
    with (photos / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    reason = reason_for(cli("index", photos, "--format", "json"), photos / "huge.jpg")
    assert reason == "it has 1099511627776 bytes, more than LOOKALIKE_MAX_BYTES=1000000000"


def test_a_file_name_cannot_command_the_terminal(cli: Cli, photos: Path) -> None:
    (photos / "\x1b[31mred\n.jpg").touch()
    shown = cli("index", photos)
    assert "\x1b" not in shown.err
    assert r"\x1b[31mred\n.jpg: the file is empty" in shown.err
    missing = line_of(cli("search", photos / "\x1b[31m.jpg"))
    assert r"\x1b[31m.jpg: the file does not exist" in missing


def test_a_database_in_a_locked_folder_and_a_name_like_a_user(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "photos").mkdir()
    locked.chmod(0)
    line = line_of(cli("index", photos, "--db", locked / "photos.db"))
    assert "cannot be written (Permission denied)" in line
    line = line_of(cli("index", locked / "photos"))
    assert "cannot be reached (Permission denied)" in line
    assert "~nobody-here.jpg does not exist" in line_of(cli("index", "~nobody-here.jpg"))
    locked.chmod(0o755)


def test_an_unreadable_file_keeps_its_row(cli: Cli, photos: Path) -> None:
    cli("index", photos)
    locked = photos / "birds" / "crow.jpg"
    locked.touch()
    locked.chmod(0)
    outcome = cli("index", photos, "--format", "json")
    assert "Permission denied" in reason_for(outcome, locked)
    assert (outcome.json["total"], outcome.json["removed"]) == (30, 0)


def test_an_unreadable_folder_keeps_its_rows(cli: Cli, photos: Path) -> None:
    cli("index", photos)
    (photos / "birds").chmod(0)
    outcome = cli("index", photos, "--format", "json")
    (photos / "birds").chmod(0o755)
    assert "cannot be listed" in reason_for(outcome, photos / "birds")
    assert (outcome.json["total"], outcome.json["removed"]) == (30, 0)


def test_a_loop_of_links_ends_and_is_named(cli: Cli, photos: Path) -> None:
    (photos / "birds" / "loop").symlink_to(photos)
    outcome = cli("index", photos, "--format", "json")
    assert "links back to" in reason_for(outcome, photos / "birds" / "loop")
    assert outcome.json["total"] == 30


def test_a_named_pipe_does_not_block(cli: Cli, photos: Path) -> None:
    os.mkfifo(photos / "pipe.jpg")
    outcome = cli("index", photos, "--format", "json")
    assert reason_for(outcome, photos / "pipe.jpg") == "it is not a regular file"
    line = line_of(cli("search", photos / "pipe.jpg"))
    assert "pipe.jpg: it is not a regular file" in line


def test_a_file_that_vanishes_after_the_scan(photos: Path, tmp_path: Path) -> None:
    victim = photos / "trees" / "palm.png"
    with Index.open(tmp_path / "photos.db") as index:
        # The callback comes after the planning of all 30 and before the last ones are decoded.
        report = index.add(photos, on_progress=lambda progress: victim.unlink(missing_ok=True))
    assert [(skipped.path, skipped.reason) for skipped in report.skipped] == [
        (victim.as_posix(), "the file does not exist")
    ]
    assert report.total == 29


def test_a_database_that_another_process_has_open(cli: Cli, photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos)
        for command in (("index", photos), ("search", photos / "birds" / "crow.jpg"), ("info",)):
            line = line_of(cli(*command))
            assert "photos.db is open in another process" in line
    assert cli("info", "--format", "json").json["pictures"] == 30


def test_a_database_made_with_another_model(cli: Cli, photos: Path, tmp_path: Path) -> None:
    other = CollectionModel(model="resnet34", fingerprint="f" * 32, dim=512)
    MilvusStore((tmp_path / "photos.db").as_posix(), "images", create=other).close()
    for command in (("index", photos), ("search", photos / "birds" / "crow.jpg")):
        line = line_of(cli(*command))
        assert "was made with the model resnet34 (ffffffff)" in line
        assert "--db" in line


def test_a_database_folder_that_cannot_be_written(cli: Cli, photos: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for path in (locked / "photos.db", locked / "deeper" / "photos.db"):
        line = line_of(cli("index", photos, "--db", path))
        assert "cannot be written (Permission denied)" in line


def test_a_database_that_turned_read_only(cli: Cli, photos: Path, tmp_path: Path) -> None:
    cli("index", photos / "birds")
    folders = [tmp_path / "photos.db", *(tmp_path / "photos.db").rglob("*")]
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)
    line = line_of(cli("index", photos))
    for path in folders:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert "Permission denied" in line
    assert cli("info", "--format", "json").json["pictures"] == 12


def test_a_file_of_milvus_lite_2(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos.db").write_bytes(b"SQLite format 3\x00" + bytes(100))
    for command in (("index", photos), ("search", photos / "birds" / "crow.jpg")):
        assert "made by Milvus Lite 2.x" in line_of(cli(*command))
    assert (tmp_path / "photos.db").stat().st_size == 116


def test_a_database_that_is_not_there(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for command in (("search", photos / "birds" / "crow.jpg"), ("info",), ("remove", photos)):
        assert "There is no index 'images'" in line_of(cli(*command))
    assert not (tmp_path / "photos.db").exists()
    cli("index", photos)
    line = line_of(cli("info", "--collection", "other"))
    assert "There is no index 'other'" in line


def test_a_name_that_is_no_database(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert "must end in .db" in line_of(cli("index", photos, "--db", tmp_path / "photos"))
    line = line_of(cli("index", photos, "--db", "ftp://localhost/photos.db"))
    assert "ftp://localhost/photos.db is not the address of a Milvus server" in line


@pytest.mark.parametrize("name", ["missing.jpg", "text.jpg", "empty.jpg", "birds", "half.jpg"])
def test_a_query_picture_that_cannot_be_read(cli: Cli, photos: Path, name: str) -> None:
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.jpg").touch()
    (photos / "half.jpg").write_bytes(half_a_jpeg(photos))
    cli("index", photos / "birds")
    assert f"{name}: " in line_of(cli("search", photos / name))


def test_a_setting_with_an_impossible_value(cli: Cli, photos: Path) -> None:
    line = line_of(cli("index", photos, LOOKALIKE_THREADS="many"))
    assert line == "lookalike: LOOKALIKE_THREADS is 'many', but must be a whole number.\n"


def test_a_full_disk_keeps_what_was_committed(photos: Path, tmp_path: Path) -> None:
    """In a file system of 700 kB, in a mount namespace of its own, which then becomes larger."""
    database = tmp_path / "small" / "photos.db"
    lookalike = f"{sys.executable} -m lookalike"
    # Quiet, because it counts files as it goes on where it takes long.
    index = f"{lookalike} index {photos} --db {database} --quiet --format json"
    script = (
        f"mount -t tmpfs -o size=700k none {tmp_path}/small && "
        f"{{ {index}; test $? = 1; }} && "
        f"mount -o remount,size=9m {tmp_path}/small && "
        f"{lookalike} info --db {database} --format json && {index}"
    )
    database.parent.mkdir()
    for number in range(500):  # of nothing but a few hundred rows fills it
        os.link(photos / "birds" / "crow.jpg", photos / f"{number}.jpg")
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this machine does not allow mount namespaces")
    done = subprocess.run(
        [*unshare, script], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done
    assert done.stderr == (
        f"lookalike: The disk that holds {database} is full. Everything committed so far is kept; "
        "free some space and run the same command again.\n"
    )
    kept, finished = map(json.loads, done.stdout.splitlines())
    assert 0 < kept["pictures"] == finished["unchanged"] < 530
    assert (finished["total"], finished["skipped"]) == (530, [])
