"""``lookalike index --watch``: what happens in the folders happens in the index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Index
from tests.forked import COMMAND, Lookalike

PATIENCE_S = 60


class Watching:
    """A running ``lookalike index --watch --format json``."""

    def __init__(self, folder: Path, database: Path, *options: str) -> None:
        command = [*COMMAND, "index", str(folder), "--db", str(database)]
        self.database = database
        self._process = Lookalike(
            [*command, "--watch", "--format", "json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.reports: list[dict[str, Any]] = []
        self.said: list[str] = []
        streams = ((self._process.stdout, self.reports), (self._process.stderr, None))
        self._readers = [threading.Thread(target=self._read, args=pair) for pair in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, reports: list[dict[str, Any]] | None) -> None:
        with stream:
            for line in stream:
                if reports is None:
                    self.said.append(line)
                else:
                    reports.append(json.loads(line))

    def wait_for(self, **wanted: int) -> None:
        """Until all reports together have these counts."""
        end = time.monotonic() + PATIENCE_S
        while self.counts(*wanted) != wanted and time.monotonic() < end:
            time.sleep(0.05)
        assert self.counts(*wanted) == wanted, (self.reports, self.said)

    def counts(self, *names: str) -> dict[str, int]:
        return {name: sum(report[name] for report in self.reports) for name in names}

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(30)
        for reader in self._readers:
            reader.join(30)
        return code


@pytest.fixture
def watching(photos: Path, tmp_path: Path) -> Iterator[Watching]:
    started = Watching(photos, tmp_path / "photos.db")
    started.wait_for(added=30)
    yield started
    started.stop()


def paths_in(database: Path) -> set[str]:
    with Index.open(database, create=False) as index:
        return {path for page in index._store.paths_under(None) for _, path in page}


def files_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*.*") if not path.name.startswith(".")}


def test_new_changed_moved_and_deleted_pictures_are_followed(
    watching: Watching, photos: Path
) -> None:
    crow, duck, lark = (photos / f"birds/{name}.jpg" for name in ("crow", "duck", "lark"))
    shutil.copy(crow, photos / "birds/.copy.jpg.part")
    (photos / "birds/.copy.jpg.part").rename(photos / "birds/copy.jpg")
    duck.write_bytes(lark.read_bytes())
    watching.wait_for(added=31, updated=1)
    (photos / "trees").rename(photos / "woods")
    watching.wait_for(moved=6)
    shutil.rmtree(photos / "flowers")
    lark.unlink()
    watching.wait_for(removed=13)
    archive = photos / "more.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.write(crow, "a.jpg")
        made.write(duck, "b.jpg")
    watching.wait_for(added=33)
    with zipfile.ZipFile(archive, "w") as made:
        made.write(crow, "a.jpg")
    watching.wait_for(removed=14)
    assert watching.stop() == 130
    assert "Stopped watching" in watching.said[-1]
    archive.rename(photos / ".more.zip")
    assert paths_in(watching.database) == files_in(photos) | {f"{archive}!/a.jpg"}


def test_others_can_search_meanwhile_and_what_happens_during_that_is_not_lost(
    watching: Watching, photos: Path
) -> None:
    time.sleep(1)
    with Index.open(watching.database, create=False) as index:
        assert len(index) == 30
        (photos / "birds/crow.jpg").unlink()
        time.sleep(4)
        assert len(index) == 30
    watching.wait_for(removed=1)
    assert any("open in another process" in line for line in watching.said)


def test_a_slowly_written_picture_is_indexed_once_and_whole(
    watching: Watching, photos: Path
) -> None:
    data = (photos / "birds/crow.jpg").read_bytes()
    with (photos / "birds/slow.jpg").open("wb", buffering=0) as file:
        for start in range(0, len(data), len(data) // 6):
            file.write(data[start : start + len(data) // 6])
            time.sleep(0.5)
    watching.wait_for(added=31)
    assert not any(report["skipped"] for report in watching.reports)


def test_rules_of_what_is_left_out_hold_and_their_change_is_followed(
    photos: Path, tmp_path: Path
) -> None:
    watching = Watching(photos, tmp_path / "photos.db", "--exclude", "trees/")
    try:
        watching.wait_for(added=24)
        shutil.copy(photos / "birds/crow.jpg", photos / "trees/crow.jpg")
        shutil.copy(photos / "birds/crow.jpg", photos / "birds/crow again.jpg")
        watching.wait_for(added=25)
        (photos / ".lookalikeignore").write_text("flowers\n")
        watching.wait_for(added=25, removed=12)
    finally:
        watching.stop()
    assert {Path(path).parent.name for path in paths_in(watching.database)} == {"birds"}


def test_a_folder_whose_pictures_are_all_gone_at_once_keeps_its_rows(
    watching: Watching, photos: Path
) -> None:
    away = photos.parent / "away"
    away.mkdir()
    for child in photos.iterdir():
        child.rename(away / child.name)
    time.sleep(5)
    watching.stop()
    assert len(paths_in(watching.database)) == 30


def test_a_folder_that_goes_away_is_waited_for_and_the_others_are_followed(
    photos: Path, tmp_path: Path
) -> None:
    birds, trees, away = photos / "birds", photos / "trees", tmp_path / "away"
    watching = Watching(birds, tmp_path / "photos.db", str(trees))
    try:
        watching.wait_for(added=18)
        trees.rename(away)
        shutil.copy(birds / "crow.jpg", birds / "copy.jpg")
        watching.wait_for(added=19)
        (away / "palm.png").unlink()
        away.rename(trees)
        watching.wait_for(removed=1)
    finally:
        assert watching.stop() == 130
    assert any("trees is gone; its rows stay" in line for line in watching.said)
    assert paths_in(watching.database) == files_in(birds) | files_in(trees)


def test_a_change_below_a_linked_folder_changes_the_row_that_is_there(
    photos: Path, tmp_path: Path
) -> None:
    real = (photos / "birds").rename(photos / "real")
    (photos / "a_link").symlink_to(real)
    watching = Watching(photos, tmp_path / "photos.db")
    try:
        watching.wait_for(added=30)
        (real / "crow.jpg").write_bytes((real / "lark.jpg").read_bytes())
        (real / "duck.jpg").unlink()
        watching.wait_for(added=30, updated=1, removed=1)
    finally:
        watching.stop()
    assert paths_in(watching.database) == {
        path for path in files_in(photos) if "/a_link/" not in path
    }


def test_what_cannot_be_watched_is_wrong_usage(tmp_path: Path, photos: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "index", *args, "--watch"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LOOKALIKE_DB": str(tmp_path / "photos.db")},
        )

    assert run(str(photos), "--dry-run").returncode == 2
    single = run(str(photos / "birds/crow.jpg"))
    assert single.returncode == 1
    assert "only folders on the disk can be watched" in single.stderr
    assert not (tmp_path / "photos.db").exists()
