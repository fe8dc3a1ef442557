"""Changes are told in bursts, when they have settled, and none is missed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike import WatchFailed
from lookalike.ingest.watch import bursts
from lookalike.records import Burst

SETTLE = 0.5


class Watched:
    """What was told of a folder so far."""

    def __init__(self, folder: Path) -> None:
        self.told: list[Burst | None] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=[str(folder)])
        self._thread.start()
        self.wait_for(1)

    def _watch(self, folder: str) -> None:
        for burst in bursts([folder], settle_seconds=SETTLE, stop=self._stop):
            self.told.append(burst)

    def wait_for(self, count: int) -> None:
        end = time.monotonic() + 20
        while len(self.told) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.told) >= count

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "watched"
    made.mkdir()
    return made


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    made = Watched(folder)
    yield made
    made.stop()


def test_everything_is_looked_at_first_and_many_changes_come_together(
    folder: Path, watched: Watched
) -> None:
    assert watched.told == [None]
    (folder / "sub").mkdir()
    for number in range(30):
        (folder / f"{number}.jpg").write_bytes(b"x")
    watched.wait_for(2)
    time.sleep(3 * SETTLE)
    assert len(watched.told) == 2
    burst = watched.told[1]
    assert burst
    assert burst.here >= {str(folder / f"{number}.jpg") for number in range(30)}
    assert str(folder / "sub") in burst.here
    assert not burst.gone


def test_a_file_that_grows_is_told_when_it_has_stopped_growing(
    folder: Path, watched: Watched
) -> None:
    path = folder / "slow.jpg"
    with path.open("wb", buffering=0) as file:
        for _ in range(8):
            file.write(b"x" * 1000)
            time.sleep(SETTLE / 3)
            assert len(watched.told) == 1
    watched.wait_for(2)
    burst = watched.told[1]
    assert burst
    assert str(path) in burst.here


def test_a_temporary_file_that_is_renamed_is_told_by_its_new_name_and_as_gone(
    folder: Path, watched: Watched
) -> None:
    temporary = folder / ".new.jpg.tmp"
    temporary.write_bytes(b"x")
    temporary.rename(folder / "new.jpg")
    watched.wait_for(2)
    burst = watched.told[1]
    assert burst
    assert str(folder / "new.jpg") in burst.here
    assert str(temporary) not in burst.here


def test_what_is_removed_is_told_as_gone(folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "old/a.jpg").write_bytes(b"x")
    watched = Watched(folder)
    try:
        (folder / "old/a.jpg").unlink()
        (folder / "old").rmdir()
        watched.wait_for(2)
        burst = watched.told[1]
        assert burst
        assert burst.gone >= {str(folder / "old"), str(folder / "old/a.jpg")}
    finally:
        watched.stop()


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(WatchFailed, match="nowhere cannot be watched"):
        next(iter(bursts([str(tmp_path / "nowhere")])))
