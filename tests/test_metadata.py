"""The user's own fields: stored with a picture, returned by a search, replaced as a whole."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pymilvus import MilvusClient

from lookalike import Index, IndexReport, InvalidMetadata, InvalidSetting, Settings
from lookalike.ingest import metadata as own_fields
from lookalike.ingest import sync
from lookalike.records import Fields, ImageRecord, Metadata, Stamp, row_id
from lookalike.sources.reader import Reader
from lookalike.store.lite import LiteDatabase
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel

EVERY_KIND = {
    "text": 'ä\u2028\0\n"\\日本🦔',
    "empty": "",
    "integer": 2**63 - 1,
    "least": -(2**63),
    "number": 1e300,
    "whole_number": 1.0,
    "large": 1e16,
    "no": False,
    "nothing": None,
    "list": [1, None, {"x": [1.5, "y"]}],
    "object": {"a key": {"$b": []}},
    # What Milvus, pymilvus or a row of a table might take for something of its own.
    "distance": 1, "entity": 2, "score": 3, "ids": 4, "pk": 5, "offset": 6, "meta": 7, "_x": 8,
}  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "photos.db"


@pytest.fixture
def index(photos: Path, database: Path) -> Iterator[Index]:
    """An index of the 30 photos."""
    with Index.open(database) as opened:
        opened.add(photos)
        yield opened


@pytest.fixture
def crow(photos: Path) -> Path:
    return photos / "birds" / "crow.jpg"


def fields_in(index: Index, photos: Path) -> dict[str, Any]:
    """path below the photos -> its fields, of all that have any, as a search tells them."""
    hits = index.search(photos / "birds" / "duck.jpg", limit=1000)
    found = {Path(hit.path).relative_to(photos).as_posix(): hit.metadata for hit in hits}
    return {path: fields for path, fields in found.items() if fields}


def rows_in(database: Path) -> dict[str, dict[str, Any]]:
    """path -> the whole row, read with pymilvus alone."""
    client = MilvusClient(str(database))
    client.load_collection("images")
    rows = client.query("images", filter="width > 0", output_fields=["*"], limit=1000)
    client.close()
    return {row["path"]: dict(row) for row in rows}


def outcome(report: IndexReport) -> tuple[int, int, int]:
    assert report.skipped == ()
    assert report.removed == 0
    return report.added, report.updated, report.unchanged


def test_every_kind_of_value_comes_back_as_it_was_given(
    photos: Path, crow: Path, database: Path
) -> None:
    given = {crow.as_posix(): EVERY_KIND}
    with Index.open(database) as index:
        assert outcome(index.add(photos, metadata=given)) == (30, 0, 0)
        stored = fields_in(index, photos)
        assert outcome(index.add(photos, metadata=given)) == (0, 0, 30)
    with Index.open(database) as index:
        assert fields_in(index, photos) == stored
        assert outcome(index.add(photos, metadata=given)) == (0, 0, 30)
    assert list(stored) == ["birds/crow.jpg"]
    # As JSON, in which 1, 1.0 and true differ.
    told = json.dumps(stored["birds/crow.jpg"], sort_keys=True)
    assert told == json.dumps(EVERY_KIND, sort_keys=True)


def test_numpy_scalars_and_tuples_become_plain_values(index: Index, crow: Path) -> None:
    given = {
        "a": np.int32(7),
        "b": np.float32(0.5),
        "c": np.bool_(True),
        "d": np.str_("x"),
        "e": (np.int64(1), [np.uint8(2)]),
    }
    assert outcome(index.add(crow, metadata={crow: given})) == (0, 1, 0)
    assert outcome(index.add(crow, metadata={crow: given})) == (0, 0, 1)
    (hit,) = index.search(crow, limit=1)
    assert hit.metadata == {"a": 7, "b": 0.5, "c": True, "d": "x", "e": [1, [2]]}


def test_paths_may_be_written_as_people_write_them(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "birds")
    monkeypatch.setenv("HOME", photos.as_posix())
    as_texts = {"crow.jpg": {"n": 1}, "../birds//duck.jpg": {"n": 2}, "~/trees/palm.png": {"n": 3}}
    assert outcome(index.add(photos, metadata=as_texts)) == (0, 3, 27)
    assert outcome(index.add(photos, metadata={Path("lark.jpg"): {"n": 4}})) == (0, 1, 29)
    assert fields_in(index, photos) == {
        "birds/crow.jpg": {"n": 1},
        "birds/duck.jpg": {"n": 2},
        "trees/palm.png": {"n": 3},
        "birds/lark.jpg": {"n": 4},
    }


def test_a_function_is_asked_once_for_each_path_as_stored(
    photos: Path, database: Path, crow: Path
) -> None:
    asked: Counter[str] = Counter()

    def group(path: str) -> dict[str, str] | None:
        asked[path] += 1
        folder = Path(path).parent.name
        return None if folder == "trees" else {"group": folder}

    with Index.open(database) as index:
        assert outcome(index.add(photos, metadata=group)) == (30, 0, 0)
        paths = {path.as_posix() for path in photos.rglob("*.*")}
        assert asked == Counter(dict.fromkeys(paths, 1))
        found = fields_in(index, photos)
        assert len(found) == 24
        assert all(path.startswith(f"{fields['group']}/") for path, fields in found.items())
        os.utime(crow, ns=(0, 1))
        asked.clear()
        assert outcome(index.add(photos, metadata=group)) == (0, 1, 29)
        assert set(asked.values()) == {1}


def test_new_fields_of_an_unchanged_picture_are_written_without_opening_it(
    index: Index, photos: Path, crow: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_in(database)
    stamp = crow.stat()
    crow.write_bytes(bytes(stamp.st_size))
    os.utime(crow, ns=(0, stamp.st_mtime_ns))

    def opened(self: Reader, path: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(Reader, "read", opened)
    assert outcome(index.add(photos, metadata={crow: {"label": "crow"}})) == (0, 1, 29)
    after = rows_in(database)
    assert after.keys() == before.keys()
    for path, row in after.items():
        extra = {"label": "crow"} if path == crow.as_posix() else {}
        assert row == {**before[path], **extra}
    assert outcome(index.add(photos, metadata={crow: {"label": "crow"}})) == (0, 0, 30)


def test_fewer_fields_than_before_are_all_that_remain(
    index: Index, photos: Path, crow: Path, database: Path
) -> None:
    def give(**fields: object) -> tuple[int, int, int]:
        return outcome(index.add(photos, metadata={crow: fields}))

    give(label="crow", price=3, tags=["black"])
    assert give(price=3) == (0, 1, 29)
    assert fields_in(index, photos) == {"birds/crow.jpg": {"price": 3}}
    assert give(label="raven") == (0, 1, 29)
    index.close()
    reopened = Index.open(database)
    assert fields_in(reopened, photos) == {"birds/crow.jpg": {"label": "raven"}}
    assert outcome(reopened.add(photos, metadata={crow: {}})) == (0, 1, 29)
    assert fields_in(reopened, photos) == {}
    reopened.close()
    row = rows_in(database)[crow.as_posix()]
    assert not {"label", "price", "tags"} & row.keys()


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), ("1", 1), (None, 0)])
def test_a_value_of_another_kind_is_another_value(
    index: Index, crow: Path, old: object, new: object
) -> None:
    index.add(crow, metadata={crow: {"x": old}})
    assert outcome(index.add(crow, metadata={crow: {"x": new}})) == (0, 1, 0)
    (hit,) = index.search(crow, limit=1)
    assert (hit.metadata["x"], type(hit.metadata["x"])) == (new, type(new))


def test_a_picture_embedded_again_keeps_its_fields_unless_others_are_given(
    index: Index, photos: Path, crow: Path
) -> None:
    duck, lark = crow.with_name("duck.jpg"), crow.with_name("lark.jpg")
    index.add(photos, metadata={path: {"was": path.stem} for path in (crow, duck, lark)})
    pictures = [path.read_bytes() for path in (duck, lark, crow)]
    for path, picture in zip((crow, duck, lark), pictures, strict=True):
        path.write_bytes(picture)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))
    report = index.add(photos, metadata={duck: {"new": 1}, lark: {}})
    assert outcome(report) == (0, 3, 27)
    assert fields_in(index, photos) == {
        "birds/crow.jpg": {"was": "crow"},
        "birds/duck.jpg": {"new": 1},
    }
    os.utime(crow, ns=(0, 1))
    assert outcome(index.add(photos)) == (0, 1, 29)
    assert fields_in(index, photos)["birds/crow.jpg"] == {"was": "crow"}


def test_pictures_without_given_fields_keep_theirs(index: Index, photos: Path, crow: Path) -> None:
    index.add(photos, metadata={crow: {"label": "crow"}})
    others: list[Metadata | None] = [
        None,
        {},
        {crow.with_name("duck.jpg"): {"label": "duck"}},
        lambda path: None,
    ]
    for given in others:
        index.add(photos, metadata=given)
        assert fields_in(index, photos)["birds/crow.jpg"] == {"label": "crow"}


def test_many_rows_are_written_again_in_parts(
    index: Index, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_fields, "REWRITTEN_ROWS", 7)
    assert outcome(index.add(photos, metadata=lambda path: {"n": len(path)})) == (0, 30, 0)
    found = fields_in(index, photos)
    assert found == {path: {"n": len(f"{photos}/{path}")} for path in found}
    assert len(found) == 30


def test_deleted_pictures_are_removed_in_a_run_that_changes_fields(
    index: Index, photos: Path, crow: Path
) -> None:
    crow.unlink()
    report = index.add(photos, metadata=lambda path: {"n": 1})
    assert (report.updated, report.removed, report.total) == (29, 1, 29)


def test_an_error_in_the_users_function_is_the_users_and_loses_nothing(
    photos: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PLANNED_FILES", 10)

    def fails(path: str) -> dict[str, int]:
        if "/trees/" in path:
            raise KeyError(path)
        return {"n": 1}

    with Index.open(database, settings=Settings(batch_size=2)) as index:
        with pytest.raises(KeyError, match="/trees/"):
            index.add(photos, metadata=fails)
        kept = len(index)
        assert 0 < kept < 30
        report = index.add(photos)
        assert (report.unchanged, report.total) == (kept, 30)


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price tag": 1}, "'price tag' must be of letters"),
        ({"1st": 1}, "'1st' must be"),
        ({"": 1}, "'' must be"),
        ({"größe": 1}, "'größe' must be"),
        ({"a\n": 1}, "must be of letters"),
        ({7: 1}, "the field name 7 must be"),
        ({"$meta": 1}, "must be of letters"),
        *(({name: 1}, f"a field '{name}' is in every row") for name in (
            "id", "path", "content", "size_bytes", "mtime_ns", "width", "height", "taken_at",
            "format", "animated", "vector", "_seq", "_partition",
        )),
        ({"x": float("nan")}, "its field 'x' has the number nan; use text"),
        ({"x": [float("inf")]}, "has the number inf"),
        ({"x": np.float32("nan")}, "has the number nan"),
        ({"x": 2**63}, "has a number beyond 64 bits"),
        ({"x": {"y": -(2**63) - 1}}, "has a number beyond 64 bits"),
        ({"x": b"bytes"}, "has a bytes"),
        ({"x": {1, 2}}, "has a set"),
        ({"x": np.zeros(3)}, "has a ndarray"),
        ({"x": np.datetime64("2026-01-01")}, "has a date"),
        ({"x": {1: 2}}, "has a key that is no text"),
        ({"x": "caf\udce9"}, "has text that is not valid UTF-8"),
        ({"x": {"\ud800": 1}}, "has a key that is no text"),
        ({"x": deep(10_000)}, "is nested too deeply"),
        ({"x": "y" * 65_536}, "take 65544 bytes as JSON, and at most 65492"),
        ("label", "its fields are a str, but must be a mapping"),
        (7, "its fields are a int"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else None,
)  # fmt: skip
def test_fields_that_cannot_be_stored_are_refused(fields: Any, reason: str) -> None:
    for metadata in ({"/a.jpg": {"fine": 1}, "/b.jpg": fields}, lambda path: fields):
        with pytest.raises(InvalidMetadata, match=reason) as caught:
            own_fields.lookup(metadata)("/b.jpg")
        assert caught.value.path == "/b.jpg"
        assert str(caught.value).startswith("/b.jpg: ")
        assert "\n" not in str(caught.value)


def test_a_mapping_is_looked_through_before_anything_is_changed(
    index: Index, photos: Path, crow: Path
) -> None:
    given: dict[Path, Fields] = {
        crow.with_name("duck.jpg"): {"fine": 1},
        crow: {"x": float("nan")},
    }
    (photos / "new.jpg").hardlink_to(crow)
    with pytest.raises(InvalidMetadata, match="the number nan"):
        index.add(photos, metadata=given)
    assert fields_in(index, photos) == {}
    assert len(index) == 30


def test_the_largest_fields_can_be_stored(index: Index, photos: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(photos / "red.gif", save_all=True, append_images=frames[1:])
    assert outcome(index.add(photos)) == (1, 0, 30)
    fields = {"x": "ä" * 32_742}  # and 8 bytes of JSON around it
    assert len(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()) == 65_492
    assert outcome(index.add(photos, metadata=lambda path: fields)) == (0, 31, 0)
    assert outcome(index.add(photos, metadata=lambda path: fields)) == (0, 0, 31)
    assert index.search(photos / "red.gif", limit=1)[0].animated
    assert set(map(str, fields_in(index, photos).values())) == {str(fields)}


def test_one_picture_under_two_names_must_have_the_same_fields(
    index: Index, crow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(crow.parent)
    both: dict[str, Fields] = {"crow.jpg": {"n": 1}, str(crow): {"n": 1}}
    assert outcome(index.add(crow, metadata=both)) == (0, 1, 0)
    both[str(crow)] = {"n": True}
    with pytest.raises(InvalidMetadata, match="named twice"):
        index.add(crow, metadata=both)


def test_what_is_neither_a_mapping_nor_a_function_is_refused(index: Index, crow: Path) -> None:
    wrong: Any = ["label"]
    with pytest.raises(InvalidSetting, match="a mapping from paths"):
        index.add(crow, metadata=wrong)


def test_other_programs_can_filter_by_the_fields(
    index: Index, photos: Path, crow: Path, database: Path
) -> None:
    index.add(photos, metadata={crow: {"label": "crow", "price": 3}})
    client = MilvusClient(str(database))
    for expression in ('label == "crow"', "price < 4", 'label like "cr%" and price > 2.5'):
        rows = client.query("images", filter=expression, output_fields=["path", "label"])
        assert [(row["path"], row["label"]) for row in rows] == [(crow.as_posix(), "crow")]
    client.close()


def record(number: int, **metadata: object) -> ImageRecord:
    vector = np.eye(8, dtype=np.float32)[number % 8]
    return ImageRecord(
        f"/{number}", "0" * 32, Stamp(1, 2), 3, 4, 5, "jpeg", vector, metadata=metadata
    )


def test_a_row_written_again_is_replaced_as_a_whole_wherever_it_lies(tmp_path: Path) -> None:
    model = CollectionModel(model="test", fingerprint="f", dim=8)
    path = (tmp_path / "test.db").as_posix()
    store = MilvusStore(path, "images", create=model)
    expected: dict[str, dict[str, object]] = {}

    def write(**metadata: object) -> None:
        store.upsert([record(number, **metadata) for number in range(10)])
        expected.update({row_id(f"/{number}"): metadata for number in range(10)})

    def check(store: MilvusStore) -> None:
        ids = list(expected)
        assert store.metadata(ids) == expected
        assert store.count() == 10
        assert len(store.search(record(0).vector, limit=100)) == 10
        for row in store.records(ids):
            whole = record(int(row.path[1:]), **expected[row_id(row.path)])
            np.testing.assert_array_equal(row.vector, whole.vector)
            assert repr(row) == repr(whole)
        assert isinstance(store._database, LiteDatabase)
        directly, store._database._directly = store._database._directly, None
        assert store.metadata(ids) == expected
        assert len(store.records([*ids, "f" * 32])) == 10
        store._database._directly = directly

    for a, flushed in itertools.product(range(4), (False, True)):
        write(a=a, **{f"only{a}{flushed}": [1]})
        if flushed:
            store.flush()
        check(store)
    store.close()
    store = MilvusStore(path, "images", create=None)
    check(store)
    write()
    check(store)
    assert store.metadata([]) == {}
    assert store.records([]) == []
    store.close()


WRITER = """
import sys
from lookalike import Index
photos, database = sys.argv[1:]
with Index.open(database) as index:
    for turn in range(1_000_000):
        key = "even" if turn % 2 == 0 else "odd"
        report = index.add(photos, metadata=lambda path: {key: turn, "path_of": path})
        assert report.updated == 30, report
        print(turn, flush=True)
"""


def stored_in(database: Path, ids: list[str]) -> dict[str, ImageRecord]:
    store = MilvusStore(database.as_posix(), "images", create=None)
    assert store.count() == len(ids)
    records = store.records(ids)
    store.close()
    return {record.path: record for record in records}


def test_a_kill_while_fields_are_replaced_loses_no_row_and_mixes_no_fields(
    photos: Path, database: Path
) -> None:
    with Index.open(database) as index:
        index.add(photos)
    ids = [row_id(path.as_posix()) for path in photos.rglob("*.*")]
    before = stored_in(database, ids)
    moments = random.Random(20260105)
    wal = database / "collections" / "images" / "wal"
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(photos), str(database)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.5))
        # A deletion would be a moment in which the row is not there.
        assert not list(wal.glob("*delta*"))
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        acknowledged = int(["0", *said.split()][-1])
        after = stored_in(database, ids)
        assert after.keys() == before.keys()
        for path, row in after.items():
            np.testing.assert_array_equal(row.vector, before[path].vector)
            assert (row.content, row.stamp) == (before[path].content, before[path].stamp)
            turn = next(iter({*row.metadata.values()} - {path}))
            assert turn in (acknowledged, acknowledged + 1)
            assert row.metadata == {"odd" if turn % 2 else "even": turn, "path_of": path}
