"""An index that gets a model again and again keeps what it was before, until it is dropped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from lookalike import InvalidSetting, NothingBefore, Progress
from tests.colours import Colours
from tests.conftest import Place
from tests.test_reindex import Home


def test_files_that_are_older_than_their_rows_say_are_not_embedded_for_ever(
    photos: Path, tmp_path: Path, samples: Path
) -> None:
    """A backup was brought back since, by something that brings back the times, too."""
    shutil.rmtree(photos / "trees")
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos)
    touched, restored = home.pictures[0], home.pictures[7]
    shutil.copy(min((samples / "trees").glob("*.jpg")), restored)
    for path in (touched, restored):
        os.utime(path, ns=(10**18, 10**18))
    new, most = Colours("squares", power=2), 2 * len(home.pictures)

    def on_progress(progress: Progress) -> None:
        assert progress.added < most

    report = home.reindex(new, on_progress=on_progress)
    assert (report.swapped, report.total) == (True, len(home.pictures))
    assert report.embedded == new.embedded == len(home.pictures) + 1  # the changed one again
    home.check(new)


def test_an_earlier_collection_loses_no_row_unasked(photos: Path, tmp_path: Path) -> None:
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos / "birds")
    old, new, gone = Colours(), Colours("squares", power=2), home.pictures[1]
    home.reindex(new)
    with home.open() as index:
        index.remove(gone)
    for options in ({}, {"swap": False}):
        report = home.reindex(old, **options)
        assert (report.swapped, report.removed, report.embedded) == (False, 0, 0)
        assert report.lost == (0 if options else 1)
    assert home.rollback() == "images"
    home.check(old)
    home.rollback()
    report = home.reindex(old, allow_missing=True)
    assert (report.swapped, report.removed, report.lost) == (True, 1, 0)
    home.pictures.remove(gone)
    home.check(old)
    with home.open() as index:
        index.remove(home.photos)
    with pytest.raises(InvalidSetting, match="must be one with rows"):
        home.reindex(new)
    home.rollback()
    home.check(new)


def test_all_that_is_not_in_use_is_dropped(photos: Path, tmp_path: Path) -> None:
    """Earlier generations, and what was begun and left; others' collections stay."""
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos / "birds")
    third = Colours("thirds", power=3)
    Home(Place(f"{tmp_path}/photos.db", "images__squares", None), photos / "birds")
    home.reindex(Colours("squares", power=2))
    home.reindex(third)
    home.reindex(Colours("begun", power=4), swap=False)
    assert sorted(home.drop_old()) == ["images", "images__begunxxx", "images__squaresx"]
    home.check(third)
    client = MilvusClient(f"{tmp_path}/photos.db", dedicated=True)
    assert sorted(client.list_collections()) == ["images", "images__squares", "images__thirdsxx"]
    client.close()
    with pytest.raises(NothingBefore):
        home.drop_old()
