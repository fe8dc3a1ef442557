"""Moved, copied, renamed and touched pictures: nothing is embedded that was embedded before."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike import Index, IndexReport, InvalidSetting, load_embedder
from lookalike.embed.embedder import ModelEmbedder
from lookalike.records import ImageRecord, Pixels, Stamp


class CountingEmbedder(ModelEmbedder):
    """The packaged model, which counts the pictures that it embeds."""

    def __init__(self) -> None:
        packaged = load_embedder()
        super().__init__(packaged.description, packaged._start_engine)
        self.pictures = 0

    def embed(self, pictures: Pixels) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        self.pictures += len(pictures)
        return super().embed(pictures)


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def index(photos: Path, tmp_path: Path, embedder: CountingEmbedder) -> Iterator[Index]:
    """An index of the 30 pictures in `photos`; what is embedded from now on is counted."""
    with Index.open(tmp_path / "photos.db", model=embedder) as opened:
        opened.add(photos)
        embedder.pictures = 0
        yield opened


def outcome(report: IndexReport) -> dict[str, int]:
    counts = {
        name: getattr(report, name)
        for name in ("added", "updated", "moved", "removed", "unchanged")
    }
    return {name: count for name, count in counts.items() if count}


def rows(index: Index) -> dict[str, tuple[str, bytes]]:
    """path -> content and vector."""
    return {
        record.path: (record.content, record.vector.tobytes())
        for ids in [[key for key, _ in page] for page in index._store.paths_under("/")]
        for record in index._store.records(ids)
    }


def assert_as_indexed_afresh(index: Index, folder: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "fresh.db") as fresh:
        fresh.add(folder)
        expected = rows(fresh)
    found = rows(index)
    assert found.keys() == expected.keys()
    for path, (content, vector) in found.items():
        assert content == expected[path][0]
        cosine = np.frombuffer(vector, np.float32) @ np.frombuffer(expected[path][1], np.float32)
        assert cosine > 0.999


def test_a_renamed_folder_is_moved_and_nothing_is_embedded(
    index: Index, photos: Path, tmp_path: Path, embedder: CountingEmbedder
) -> None:
    (photos / "birds").rename(photos / "animals")
    assert outcome(index.add(photos)) == {"moved": 12, "unchanged": 18}
    assert embedder.pictures == 0
    assert len(index) == 30
    assert_as_indexed_afresh(index, photos, tmp_path)
    assert outcome(index.add(photos)) == {"unchanged": 30}


def test_a_copy_is_added_beside_the_original_with_the_same_vector(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    shutil.copy(photos / "birds/crow.jpg", photos / "trees/crow again.jpg")
    assert outcome(index.add(photos)) == {"added": 1, "unchanged": 30}
    assert embedder.pictures == 0
    found = rows(index)
    original, copy = found[f"{photos}/birds/crow.jpg"], found[f"{photos}/trees/crow again.jpg"]
    assert original == copy


def test_a_picture_moved_out_of_the_given_folder_keeps_its_old_row_until_that_folder_is_listed(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    (photos / "birds/crow.jpg").rename(photos / "trees/crow.jpg")
    assert outcome(index.add(photos / "trees")) == {"added": 1, "unchanged": 6}
    assert len(index) == 31
    assert outcome(index.add(photos)) == {"removed": 1, "unchanged": 30}
    assert embedder.pictures == 0


def test_all_pictures_moved_to_another_folder_do_not_look_like_an_unplugged_drive(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    (photos / "birds").rename(photos / "away")
    (photos / "birds").mkdir()
    report = index.add(photos / "birds", photos / "away")
    assert outcome(report) == {"moved": 12}
    assert not report.skipped
    assert len(index) == 30


def test_two_pictures_that_changed_places_are_told_apart(
    index: Index, photos: Path, tmp_path: Path
) -> None:
    crow, duck, spare = (photos / f"birds/{name}.jpg" for name in ("crow", "duck", "spare"))
    crow.rename(spare)
    duck.rename(crow)
    spare.rename(duck)
    assert outcome(index.add(photos)) == {"updated": 2, "unchanged": 28}
    assert_as_indexed_afresh(index, photos, tmp_path)


def test_a_picture_moved_over_another_one_replaces_it(
    index: Index, photos: Path, tmp_path: Path, embedder: CountingEmbedder
) -> None:
    (photos / "birds/crow.jpg").replace(photos / "birds/duck.jpg")
    assert outcome(index.add(photos)) == {"updated": 1, "removed": 1, "unchanged": 28}
    assert embedder.pictures == 0
    assert_as_indexed_afresh(index, photos, tmp_path)


def test_one_picture_that_became_two_is_moved_once_and_added_once(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    crow = photos / "birds/crow.jpg"
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(crow, crow.with_name(name))
    crow.unlink()
    assert outcome(index.add(photos)) == {"moved": 1, "added": 1, "unchanged": 29}
    assert embedder.pictures == 0


def test_a_touched_picture_is_updated_without_being_embedded(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    os.utime(photos / "birds/crow.jpg", ns=(0, 1))
    assert outcome(index.add(photos)) == {"updated": 1, "unchanged": 29}
    assert outcome(index.add(photos)) == {"unchanged": 30}
    assert embedder.pictures == 0


def test_other_bytes_of_the_same_size_and_time_are_seen_with_checksum_only(
    index: Index, photos: Path, tmp_path: Path, embedder: CountingEmbedder
) -> None:
    crow = photos / "birds/crow.jpg"
    status = crow.stat()
    data = bytearray(crow.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4] = bytes(byte ^ 1 for byte in data[middle : middle + 4])
    crow.write_bytes(data)
    os.utime(crow, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert outcome(index.add(photos)) == {"unchanged": 30}
    assert outcome(index.add(photos, checksum=True)) == {"updated": 1, "unchanged": 29}
    assert embedder.pictures == 1
    assert_as_indexed_afresh(index, photos, tmp_path)


def test_a_moved_picture_takes_its_fields_along_and_a_copy_has_none(
    index: Index, photos: Path
) -> None:
    crow, duck = photos / "birds/crow.jpg", photos / "birds/duck.jpg"
    index.add(photos, metadata={crow: {"n": 1}, duck: {"n": 2}})
    crow.rename(photos / "trees/crow.jpg")
    shutil.copy(duck, photos / "trees/duck.jpg")
    index.add(photos)
    fields = {hit.path: hit.metadata for hit in index.search(duck, limit=40)}
    assert fields[f"{photos}/trees/crow.jpg"] == {"n": 1}
    assert fields[f"{photos}/trees/duck.jpg"] == {}
    assert fields[f"{photos}/birds/duck.jpg"] == {"n": 2}


def test_among_very_many_files_of_one_size_those_of_the_same_time_are_found(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = np.eye(1, 384, dtype=np.float32)[0]
    index._store.upsert(
        [
            ImageRecord(f"/p/{n}.jpg", str(n), Stamp(77, n), 1, 1, 0, "jpeg", vector)
            for n in range(12)
        ]
    )
    asked = [Stamp(77, 11), Stamp(1, 500)]
    assert len(index._store.of_size(asked)[77]) == 12
    monkeypatch.setattr("lookalike.store.milvus.MAX_WINDOW", 4)
    assert [twin.path for twin in index._store.of_size(asked)[77]] == ["/p/11.jpg"]


def test_a_plan_says_what_a_run_would_do_and_changes_nothing(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    crow = photos / "birds/crow.jpg"
    shutil.copy(crow, photos / "birds/copy.jpg")
    (photos / "trees").rename(photos / "woods")
    os.utime(photos / "birds/duck.jpg", ns=(0, 1))
    (photos / "birds/lark.jpg").unlink()
    (photos / "birds/new.jpg").write_bytes(b"as if it were a picture")
    (photos / "birds/pipe.jpg").symlink_to("/dev/null")
    before = rows(index)
    changes = list(index.plan(photos))
    assert rows(index) == before
    assert embedder.pictures == 0
    kinds = {kind: [c for c in changes if c.kind == kind] for kind in {c.kind for c in changes}}
    names = {kind: sorted(Path(c.path).name for c in those) for kind, those in kinds.items()}
    assert names.pop("move") == sorted(path.name for path in (photos / "woods").iterdir())
    assert all(c.source == c.path.replace("/woods/", "/trees/") for c in kinds["move"])
    assert names == {
        "add": ["copy.jpg", "new.jpg"],
        "update": ["duck.jpg"],
        "remove": ["lark.jpg"],
        "skip": ["pipe.jpg"],
    }
    report = index.add(photos)
    assert (report.added, report.updated, report.moved, report.removed) == (1, 1, 6, 1)
    assert {Path(item.path).name for item in report.skipped} == {"new.jpg", "pipe.jpg"}
    assert [c.path for c in index.plan(photos) if c.kind == "skip"] == [f"{photos}/birds/pipe.jpg"]


def test_a_plan_with_checksum_reads_and_one_with_fields_compares(
    index: Index, photos: Path
) -> None:
    crow, duck = photos / "birds/crow.jpg", photos / "birds/duck.jpg"
    assert not list(index.plan(photos, checksum=True))
    os.utime(crow, ns=(0, 1))
    given = {duck: {"n": 1}}
    for checksum in (False, True):
        changes = list(index.plan(photos, metadata=given, checksum=checksum))
        assert {(c.kind, c.path) for c in changes} == {("update", str(crow)), ("update", str(duck))}
        assert len(changes) == 2


def test_prune_removes_rows_of_files_that_are_gone_anywhere(
    index: Index, photos: Path, tmp_path: Path
) -> None:
    gone = [photos / "birds/crow.jpg", *(photos / "trees").iterdir()]
    shutil.rmtree(photos / "trees")
    gone[0].unlink()
    assert sorted(index.prune(dry_run=True)) == sorted(map(str, gone))
    assert len(index) == 30
    assert sorted(index.prune()) == sorted(map(str, gone))
    assert len(index) == 23
    assert index.prune() == []


def test_relocate_moves_all_rows_of_a_folder_without_looking_at_files(
    index: Index, photos: Path, embedder: CountingEmbedder
) -> None:
    before = rows(index)
    index.add(photos, metadata={photos / "birds/crow.jpg": {"n": 1}})
    assert index.relocate(photos / "birds", "/nowhere/else") == 12
    expected = {
        path.replace(f"{photos}/birds/", "/nowhere/else/"): row for path, row in before.items()
    }
    assert rows(index) == expected
    fields = {hit.path: hit.metadata for hit in index.search(photos / "trees/palm.png", limit=40)}
    embedder.pictures -= 1  # the question
    assert fields["/nowhere/else/crow.jpg"] == {"n": 1}
    assert index.relocate("/nowhere/else/crow.jpg", "/nowhere/raven.jpg") == 1
    assert index.relocate("/not/there", "/anywhere") == 0
    for old, new in (("/nowhere", "/nowhere/else"), ("/nowhere/else", "/nowhere"), ("/", "/x")):
        with pytest.raises(InvalidSetting, match="neither inside nor around"):
            index.relocate(old, new)
    assert len(index) == 30
    assert embedder.pictures == 0


def test_a_picture_that_moves_to_another_archive_takes_its_fields_along(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.ingest.sync.PLANNED_FILES", 1)
    first, last = photos / "a.zip", photos / "z.zip"
    crow = (photos / "birds/crow.jpg").read_bytes() + b" "
    for archive in (first, last):
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("other.jpg", (photos / "birds/duck.jpg").read_bytes() + b" ")
            if archive == last:
                made.writestr("crow.jpg", crow)
    moved_from, moved_to = f"{last}!/crow.jpg", f"{first}!/crow.jpg"
    index.add(photos, metadata={moved_from: {"n": 1}})
    with zipfile.ZipFile(first, "a") as made:
        made.writestr("crow.jpg", crow)
    with zipfile.ZipFile(last, "w") as made:
        made.writestr("other.jpg", (photos / "birds/duck.jpg").read_bytes() + b" ")
    assert index.add(photos).moved == 1
    fields = {hit.path: hit.metadata for hit in index.search(photos / "birds/crow.jpg", limit=3)}
    assert fields[moved_to] == {"n": 1}
    assert moved_from not in fields


def test_rules_of_a_folder_that_cannot_be_read_cost_no_row(index: Index, photos: Path) -> None:
    (photos / ".lookalikeignore").write_text("*.jpg\n")
    (photos / "birds/.lookalikeignore").write_text("!*.jpg\n")
    kept = {path for path in rows(index) if "/birds/" in path or not path.endswith(".jpg")}
    index.add(photos)
    assert rows(index).keys() == kept
    (photos / "birds/.lookalikeignore").unlink()
    (photos / "birds/.lookalikeignore").mkdir()
    report = index.add(photos)
    assert [item.path for item in report.skipped] == [f"{photos}/birds/.lookalikeignore"]
    assert rows(index).keys() == kept
