"""`Index`: what a Python developer uses."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pymilvus import MilvusClient

from lookalike import (
    Hit,
    Index,
    IndexNotFound,
    InvalidSetting,
    ModelError,
    ModelMismatch,
    PictureError,
    Progress,
    load_embedder,
)
from lookalike.records import row_id
from lookalike.sources.reader import Reader
from lookalike.store.lite import LiteDatabase
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "photos.db"


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def stored_paths(database: Path) -> set[str]:
    with Index.open(database, create=False) as index:
        hits = index.search(Image.new("RGB", (32, 32)), limit=1000)
        assert len(hits) == len(index)
    return {hit.path for hit in hits}


def touched(path: Path, *, by: Path) -> None:
    """Give a file the content of another, and a time that tells."""
    shutil.copy(by, path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))


def test_a_folder_is_indexed_once_and_then_found_unchanged(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        first = index.add(photos)
        again = index.add(photos)
        assert (first.added, first.unchanged, first.total, first.skipped) == (30, 0, 30, ())
        assert (again.added, again.unchanged, again.total) == (0, 30, 30)
        assert len(index) == 30


def test_a_picture_finds_itself_first_and_then_the_nearest_by_brute_force(
    photos: Path, database: Path
) -> None:
    paths = [path.as_posix() for path in pictures(photos)]
    vectors = load_embedder().embed_files(paths)
    with Index.open(database) as index:
        index.add(photos)
        for position in range(0, 30, 7):
            hits = index.search(paths[position], limit=10)
            scores = vectors @ vectors[position]
            assert hits[0].path == paths[position]
            assert hits[0].score >= 0.999
            expected = np.sort(scores)[::-1][:10]
            np.testing.assert_allclose([hit.score for hit in hits], expected, atol=0.01)
            own = dict(zip(paths, scores, strict=True))
            for hit in hits:
                assert hit.score == pytest.approx(own[hit.path], abs=0.01)


def test_a_hit_carries_the_facts_of_its_file(photos: Path, database: Path) -> None:
    path = photos / "birds" / "crow.jpg"
    with Image.open(path) as opened:
        size = opened.size
    with Index.open(database) as index:
        index.add(photos)
        hit = index.search(path, limit=1)[0]
    assert hit == Hit(
        path=path.as_posix(),
        score=hit.score,
        id=hit.id,
        width=size[0],
        height=size[1],
        size_bytes=path.stat().st_size,
        taken_at=None,
        format="jpeg",
        content=hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        metadata={},
    )


def test_a_picture_in_memory_is_the_same_question_as_its_file(photos: Path, database: Path) -> None:
    path = photos / "birds" / "pelican.png"
    with Index.open(database) as index, Image.open(path) as opened:
        index.add(photos)
        assert index.search(opened, limit=3) == index.search(path, limit=3)


def test_a_changed_file_is_updated_and_a_deleted_one_removed(photos: Path, database: Path) -> None:
    changed, deleted, copied, *_ = pictures(photos)
    with Index.open(database) as index:
        index.add(photos)
        touched(changed, by=copied)
        deleted.unlink()
        report = index.add(photos)
        assert (report.added, report.updated, report.removed, report.unchanged) == (0, 1, 1, 28)
        best = {hit.path for hit in index.search(copied, limit=2)}
    assert best == {changed.as_posix(), copied.as_posix()}
    assert stored_paths(database) == {path.as_posix() for path in pictures(photos)}


def test_a_deleted_folder_takes_its_rows_along(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        index.add(photos)
        shutil.rmtree(photos / "birds")
        report = index.add(photos)
        assert report.removed == 30 - report.total > 0
    assert stored_paths(database) == {path.as_posix() for path in pictures(photos)}


def test_rows_outside_the_given_folders_are_left_alone(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        index.add(photos)
        flowers = len(pictures(photos / "flowers"))
        shutil.rmtree(photos / "birds")
        report = index.add(photos / "flowers")
        assert (report.removed, report.unchanged, report.total) == (0, flowers, 30)


def test_a_sibling_with_the_same_beginning_is_another_folder(photos: Path, database: Path) -> None:
    shutil.copytree(photos / "birds", photos / "birds 2")
    before = len(pictures(photos))
    with Index.open(database) as index:
        index.add(photos)
        shutil.rmtree(photos / "birds 2")
        assert index.add(photos / "birds").removed == 0
        assert index.remove(photos / "birds") == before - len(index)
    assert any("/birds 2/" in path for path in stored_paths(database))


def test_an_emptied_folder_may_be_an_unplugged_drive_so_its_rows_stay(
    photos: Path, database: Path
) -> None:
    with Index.open(database) as index:
        index.add(photos)
        shutil.rmtree(photos)
        photos.mkdir()
        report = index.add(photos)
        assert (report.removed, report.total) == (0, 30)
    assert "lookalike remove" in report.skipped[0].reason


def test_an_empty_mount_point_below_the_folder_does_not_empty_the_index(
    photos: Path, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / ".marker").touch()
    photos.rename(tmp_path / "all" / "drive")
    with Index.open(database) as index:
        index.add(tmp_path / "all")
        shutil.rmtree(tmp_path / "all" / "drive")
        (tmp_path / "all" / "drive").mkdir()
        report = index.add(tmp_path / "all")
        assert (report.removed, report.total, len(report.skipped)) == (0, 30, 1)


def test_a_folder_given_beside_the_one_around_it_changes_nothing(
    photos: Path, database: Path
) -> None:
    with Index.open(database) as index:
        assert index.add(photos, photos / "birds").added == 30
        shutil.rmtree(photos / "birds")
        (photos / "birds").mkdir()
        report = index.add(photos, photos / "birds")
        assert (report.removed, report.total, report.skipped) == (12, 18, ())


def test_a_folder_found_under_two_names_is_kept_under_one(
    photos: Path, database: Path, tmp_path: Path
) -> None:
    (photos / "birds").rename(tmp_path / "birds")
    (photos / "linked").symlink_to(tmp_path / "birds")
    with Index.open(database) as index:
        assert index.add(photos).added == 30
        both = index.add(photos, tmp_path / "birds")
        assert (both.added, both.removed, both.total) == (12, 12, 30)
        (tmp_path / "birds" / "crow.jpg").unlink()
        assert index.add(photos, tmp_path / "birds").removed == 1
    assert not any("crow.jpg" in path for path in stored_paths(database))


def test_stamps_are_the_same_with_and_without_the_client(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        index.add(photos)
        index.add(photos / "birds" / "crow.jpg")
    store = MilvusStore(database.as_posix(), "images", create=None)
    ids = [row_id(path.as_posix()) for path in pictures(photos)]
    directly = store.stamps([*ids, "f" * 32])
    assert isinstance(store._database, LiteDatabase)
    assert store._database._directly is not None
    store._database._directly = None
    assert store.stamps([*ids, "f" * 32]) == directly
    assert len(directly) == 30
    store.close()


def test_no_unchanged_file_is_opened(
    photos: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(self: Reader, path: str) -> None:
        raise AssertionError(path)

    with Index.open(database) as index:
        index.add(photos)
        monkeypatch.setattr(Reader, "read", opened)
        assert index.add(photos).unchanged == 30


def test_an_index_of_another_model_can_be_described_but_not_asked(
    photos: Path, tmp_path: Path
) -> None:
    path = (tmp_path / "photos.db").as_posix()
    other = CollectionModel(model="resnet34", fingerprint="f" * 32, dim=512)
    MilvusStore(path, "images", create=other).close()
    with pytest.raises(ModelMismatch, match="resnet34"):
        Index.open(path, model="efficientnet-lite0-384")
    with Index.open(path) as index:
        assert index.info().model == "resnet34"
        with pytest.raises(ModelError, match=r"made with the model resnet34 \(ffffffff\)"):
            index.search(pictures(photos)[0])


def test_a_folder_link_whose_target_is_unplugged_keeps_its_rows(
    photos: Path, database: Path, tmp_path: Path
) -> None:
    (photos / "birds").rename(tmp_path / "drive")
    (photos / "linked").symlink_to(tmp_path / "drive")
    with Index.open(database) as index:
        assert index.add(photos).added == 30
        (tmp_path / "drive").rename(tmp_path / "unplugged")
        report = index.add(photos)
        assert (report.removed, report.total) == (0, 30)


def test_a_picture_that_became_damaged_is_no_longer_found_and_comes_back_when_mended(
    photos: Path, database: Path
) -> None:
    path = pictures(photos)[0]
    whole = path.read_bytes()
    with Index.open(database) as index:
        index.add(photos)
        path.write_bytes(whole[: len(whole) // 2])
        broken = index.add(photos)
        assert [skipped.path for skipped in broken.skipped] == [path.as_posix()]
        assert (broken.removed, broken.total) == (1, 29)
        path.write_bytes(whole)
        assert index.add(photos).added == 1


def test_single_files_are_indexed_too(photos: Path, database: Path) -> None:
    one, two, *_ = pictures(photos)
    with Index.open(database) as index:
        assert index.add(one, two).total == 2
        assert index.add(one).unchanged == 1
        assert index.add(photos, one).total == 30


def test_remove_takes_files_and_folders_out(photos: Path, database: Path) -> None:
    path = photos / "birds" / "crow.jpg"
    with Index.open(database) as index:
        index.add(photos)
        assert index.remove(path) == 1
        assert index.remove(path) == 0
        assert index.remove(photos) == 29
        assert len(index) == 0
    assert path.exists()


def test_the_rows_are_readable_with_pymilvus_alone(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        index.add(photos)
        info = index.info()
    client = MilvusClient(str(database))
    client.load_collection("images")
    rows = client.query("images", filter="width > 0", output_fields=["*"], limit=100)
    properties = client.describe_collection("images")["properties"]
    assert {row["path"] for row in rows} == {path.as_posix() for path in pictures(photos)}
    assert all(np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert properties["lookalike.model"] == info.model
    assert properties["lookalike.fingerprint"] == load_embedder().fingerprint
    with Index.open(database) as index:
        assert len(index) == 30
    client.close()


def test_two_indexes_of_one_process_share_the_database(photos: Path, database: Path) -> None:
    with Index.open(database) as first:
        first.add(photos)
        with Index.open(database) as second:
            assert len(second) == 30
        assert len(first.search(pictures(photos)[0])) == 10


def test_a_folder_whose_name_is_no_utf8_is_skipped_and_can_be_named_everywhere(
    photos: Path, database: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9"))
    shutil.copytree(photos / "trees", odd)
    with Index.open(database) as index:
        for source in (photos, odd):
            (skipped,) = index.add(source).skipped
            assert skipped.path.endswith("caf\\udce9")
            assert skipped.reason == "its name is not valid UTF-8"
        assert index.remove(odd) == 0
        assert len(index) == 30


def test_collections_do_not_see_each_other(photos: Path, database: Path) -> None:
    with Index.open(database, collection="one") as one, Index.open(database) as images:
        one.add(photos)
        assert (len(one), len(images)) == (30, 0)


def test_progress_is_told_after_each_commit(photos: Path, database: Path) -> None:
    seen: list[Progress] = []
    with Index.open(database) as index:
        index.add(photos, on_progress=seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == 30
    assert len(set(done)) > 2


def test_wrong_questions_are_refused(photos: Path, database: Path) -> None:
    with Index.open(database) as index:
        index.add(photos / "birds")
        with pytest.raises(InvalidSetting, match="limit is 0"):
            index.search(pictures(photos)[0], limit=0)
        with pytest.raises(PictureError, match="does not exist"):
            index.search(photos / "none.jpg")


def test_an_index_is_not_made_by_looking_for_it(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound, match="lookalike index"):
        Index.open(tmp_path / "typo" / "photos.db", create=False)
    assert not (tmp_path / "typo").exists()
