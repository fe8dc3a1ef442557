"""Disks that are full, broken or turned read-only: one clear line, nothing lost, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike import Index, Skipped
from tests.forked import heed_permissions

# Runs "lookalike" with files of at most so many bytes: beyond that, writing gives an I/O error.
LIMITED = """
import resource, signal, sys
limit, *arguments = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
sys.argv[1:] = arguments
from lookalike.cli.app import main
main()
"""


def limited(size_bytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(size_bytes), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size_bytes", [700, 20_000, 34_000])
def test_an_error_while_the_database_is_written_is_one_line_and_loses_nothing(
    photos: Path, tmp_path: Path, size_bytes: int
) -> None:
    database = tmp_path / "photos.db"
    with Index.open(database) as index:
        index.add(photos / "birds")
    done = limited(size_bytes, "index", "-q", photos, "--db", database)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "photos.db could not be read or written (File too large)" in done.stderr
    assert "run the same command again" in done.stderr
    with Index.open(database) as index:
        report = index.add(photos)
    assert report.unchanged >= 12
    assert (report.total, report.skipped) == (30, ())


# Runs "lookalike", and takes away the right to write to the database after some batches.
TURNED_READ_ONLY = """
import sys
from pathlib import Path
from lookalike.cli.app import main
from lookalike.store import lite

lite.FLUSH_ROWS = 8
database = Path(sys.argv[-1])
write = lite.LiteDatabase.write
batches = 0

def write_and_lock(self, collection, rows):
    global batches
    write(self, collection, rows)
    batches += 1
    if batches == 5:
        for path in [database, *database.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

lite.LiteDatabase.write = write_and_lock
main()
"""


def test_a_database_that_turns_read_only_on_the_way(photos: Path, tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    done = subprocess.run(
        [sys.executable, "-c", TURNED_READ_ONLY, "index", "-q", str(photos), "--db", str(database)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LOOKALIKE_BATCH_SIZE": "2", "LOOKALIKE_THREADS": "1"},
        preexec_fn=heed_permissions,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "photos.db cannot be written (Permission denied)" in done.stderr
    for path in [database, *database.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with Index.open(database) as index:
        report = index.add(photos)
    assert report.unchanged >= 10
    assert (report.total, report.skipped) == (30, ())


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has a file like this")
def test_a_picture_on_a_broken_disk_is_skipped_and_keeps_its_row(
    photos: Path, tmp_path: Path
) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos)
    broken = [photos / "birds" / "crow.jpg", photos / "birds" / "new.jpg"]
    broken[0].unlink()
    for path in broken:
        path.symlink_to("/proc/self/mem")  # reading its first byte is an I/O error
    with Index.open(tmp_path / "photos.db") as index:
        for _ in range(2):
            report = index.add(photos)
            assert report.skipped == tuple(
                Skipped(path.as_posix(), "it cannot be read (Input/output error)")
                for path in broken
            )
            assert (report.total, report.unchanged) == (30, 29)


def test_what_a_finished_run_wrote_is_on_the_disk(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses what was not synced: Milvus Lite does that with its list of files alone."""
    synced: dict[int, int] = {}
    fsync = os.fsync

    def fsync_and_note(handle: int) -> None:
        fsync(handle)
        status = os.fstat(handle)
        synced[status.st_ino] = status.st_mtime_ns

    monkeypatch.setattr(os, "fsync", fsync_and_note)
    with Index.open(tmp_path / "photos.db") as index:
        for folder in ("birds", "trees", "flowers"):
            index.add(photos / folder)
            files = list((tmp_path / "photos.db").rglob("*.parquet"))
            assert files
            for path in {*files, *(file.parent for file in files)}:
                assert synced[path.stat().st_ino] == path.stat().st_mtime_ns
        index.remove(photos / "birds")
        assert list((tmp_path / "photos.db").rglob("delta/*.parquet"))
    for path in (tmp_path / "photos.db").rglob("*.parquet"):
        assert synced[path.stat().st_ino] == path.stat().st_mtime_ns


def test_after_an_error_the_same_process_goes_on_and_a_kill_loses_nothing(
    photos: Path, tmp_path: Path
) -> None:
    """A log with a broken entry is read up to that: what comes later must not follow it there."""
    database = tmp_path / "photos.db"
    script = f"""
import os, resource, signal
from lookalike import Index, Settings, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = Index.open({str(database)!r}, settings=Settings(batch_size=1, threads=1))
index.add({str(photos / "birds")!r})
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, unlimited[1]))
try:
    index.add({str(photos)!r})
except StoreError:
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    # No flush comes after this.
    index._store.flush = lambda: None
    assert index.add({str(photos)!r}).total == 30
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    with Index.open(database) as index:
        assert len(index) == 30
        assert index.add(photos).unchanged == 30


def test_a_changed_picture_that_memory_is_short_for_keeps_its_row(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = photos / "birds" / "crow.jpg"
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos)
        changed.write_bytes((photos / "birds" / "blackbird.jpg").read_bytes() + b"another")

        def no_memory(*arguments: object, **options: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr("lookalike.decode.to_srgb", no_memory)
            report = index.add(photos)
        reason = "there is not enough memory to decode it"
        assert report.skipped == (Skipped(changed.as_posix(), reason),)
        assert (report.total, report.unchanged, report.removed) == (30, 29, 0)
        assert index.add(photos).updated == 1
