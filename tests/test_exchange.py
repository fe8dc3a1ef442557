"""Exports: what comes back is what went out, to the bit; whatever else is in a file is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from lookalike import ExportUnusable, Index, InvalidSetting, ModelMismatch
from lookalike.exchange import export, parquet
from lookalike.exchange.export import Export
from lookalike.exchange.replacing import replacing
from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Place

ROOT = Path(__file__).parents[1]
MODEL = CollectionModel(model="test", fingerprint="f" * 32, dim=8)
FORMS = ["rows.parquet", "rows.npy", "folder"]
FIELDS: list[dict[str, Any]] = [
    {},
    {"whole": 1, "real": 1.0, "yes": True, "none": None, "text": "1", "empty": ""},
    {"big": (1 << 63) - 1, "small": -(1 << 63), "tiny": 5e-324, "pi": 0.1 + 0.2},
    {"list": [1, [2.5, {"a": None}], "ä"], "dict": {"": {"ключ": "🦔\u2028\n\x00"}}},
    {"long": "x" * 60_000},
]


def record(number: int) -> ImageRecord:
    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    path = ["/a/b.jpg", '/ä \n".jpg', "s3://b/c.jpg", "/x.zip!/y.jpg", "C:/d/e.jpg"][number % 5]
    return ImageRecord(
        path=f"{path}{number}",
        content=f"{number:032x}",
        stamp=Stamp(number, 1_700_000_000_123_456_789 + number),
        width=number + 1,
        height=2,
        taken_at=-number,
        format="jpeg",
        vector=vector / np.linalg.norm(vector),
        animated=number % 2 == 1,
        phash="" if number % 3 else f"{number:016x}",
        metadata=FIELDS[number % len(FIELDS)],
    )


RECORDS = [record(number) for number in range(40)]


class Rows:
    """A store of rows in memory."""

    def __init__(self, records: list[ImageRecord], model: CollectionModel = MODEL) -> None:
        self.model, self.rows = model, {record.path: record for record in records}

    def count(self) -> int:
        return len(self.rows)

    def scan(self) -> Iterator[list[ImageRecord]]:
        records = list(self.rows.values())
        for start in range(0, len(records), 7):
            yield records[start : start + 7]

    def upsert(self, records: list[ImageRecord]) -> None:
        self.rows |= {record.path: record for record in records}

    def flush(self) -> None:
        pass


def exactly(records: list[ImageRecord]) -> list[tuple[object, ...]]:
    """Everything of the rows in a form in which 1, 1.0 and true differ, and each bit counts."""
    return sorted(
        (repr(replace(each, vector=np.empty(0, np.float32), metadata={})), each.vector.tobytes(),
         json.dumps(each.metadata, sort_keys=True))
        for each in records
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_bit_of_every_row_comes_back(place: Place, form: str, tmp_path: Path) -> None:
    store = place.open(MODEL)
    store.upsert(RECORDS)
    stored = [each for page in store.scan() for each in page]
    assert exactly(stored) == exactly(RECORDS)
    vectors = store.vectors_of([row_id(each.path) for each in RECORDS[:3]])
    assert all((vectors[row_id(each.path)] == each.vector).all() for each in RECORDS[:3])
    assert export.write(store, tmp_path / form) == len(RECORDS)
    store.close()
    found = Export(tmp_path / form)
    assert (found.rows, found.model) == (len(RECORDS), MODEL)
    copy = MilvusStore((tmp_path / "copy.db").as_posix(), "images", create=MODEL)
    found.put_into(copy)
    assert exactly([each for page in copy.scan() for each in page]) == exactly(RECORDS)
    copy.close()


def test_pandas_alone_reads_the_parquet_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    export.write(Rows(RECORDS), file)
    table = pd.read_parquet(file)
    assert list(table["path"]) == [each.path for each in RECORDS]
    np.testing.assert_array_equal(np.stack(table["vector"]), [each.vector for each in RECORDS])
    assert [json.loads(text) for text in table["metadata"]] == [each.metadata for each in RECORDS]
    assert pq.read_schema(file).metadata[b"lookalike.fingerprint"] == MODEL.fingerprint.encode()


def test_numpy_maps_the_vectors_and_pandas_reads_the_lines(tmp_path: Path) -> None:
    export.write(Rows(RECORDS), tmp_path / "new" / "folder")
    vectors = np.load(tmp_path / "new/folder/vectors.npy", mmap_mode="r", allow_pickle=False)
    assert isinstance(vectors, np.memmap)
    np.testing.assert_array_equal(vectors, [each.vector for each in RECORDS])
    lines = (tmp_path / "new/folder/rows.jsonl").read_text("utf-8").split("\n")[:-1]
    assert [json.loads(line)["id"] for line in lines] == [row_id(each.path) for each in RECORDS]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_index_comes_back_empty(form: str, tmp_path: Path) -> None:
    assert export.write(Rows([]), tmp_path / form) == 0
    assert Export(tmp_path / form).rows == 0


def test_an_index_is_copied_with_what_its_searches_find(samples: Path, tmp_path: Path) -> None:
    question = samples / "birds" / "crow.jpg"
    with Index.open(tmp_path / "a.db") as index:
        index.add(samples / "birds", metadata=lambda path: {"name": Path(path).stem})
        assert index.export(tmp_path / "birds.parquet") == 12
        hits = index.search(question)
    report = Index.import_rows(tmp_path / "birds.parquet", tmp_path / "b.db")
    assert (report.rows, report.total, report.database) == (12, 12, f"{tmp_path}/b.db")
    with Index.open(tmp_path / "b.db", create=False) as index:
        assert index.search(question) == hits
        assert index.add(samples / "birds").unchanged == 12
    Index.import_rows(tmp_path / "birds.parquet", tmp_path / "b.db")
    with Index.open(tmp_path / "b.db") as index:
        assert len(index) == 12


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_another_model_are_refused(form: str, tmp_path: Path) -> None:
    export.write(Rows(RECORDS, replace(MODEL, fingerprint="0" * 32)), tmp_path / form)
    with Index.open(tmp_path / "a.db"):
        pass
    with pytest.raises(ModelMismatch, match=r"test \(00000000\).*Nothing was changed; import it"):
        Index.import_rows(tmp_path / form, tmp_path / "a.db")
    with Index.open(tmp_path / "a.db") as index:
        assert len(index) == 0


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="parquet"):
        export.write(Rows(RECORDS), tmp_path / "rows.csv")
    for name in ("rows.parquet", "rows.npy"):
        with pytest.raises(InvalidSetting, match="in a folder that is there"):
            export.write(Rows(RECORDS), tmp_path / "nowhere" / name)
    for missing in ("a.parquet", "a.npy", "a"):
        with pytest.raises(ExportUnusable, match="there is no"):
            Export(tmp_path / missing)


def test_what_is_of_no_export_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos.db").mkdir()
    with pytest.raises(InvalidSetting, match="or a folder"):
        export.write(Rows(RECORDS), tmp_path / "photos.db")
    for inside in ("photos.db/rows", "photos.db/rows.npy", "photos.db/rows.parquet"):
        with pytest.raises(InvalidSetting, match="outside of the folders of databases"):
            export.write(Rows(RECORDS), tmp_path / inside)
    assert list((tmp_path / "photos.db").iterdir()) == []
    for name in ("dir.parquet", "dir.npy"):
        (tmp_path / name).mkdir()
        with pytest.raises(InvalidSetting, match="a file, for its name ends in"):
            export.write(Rows(RECORDS), tmp_path / name)
    (tmp_path / "folder").mkdir()
    for target, other in (
        ("photos.npy", "photos.json"),
        ("photos.npy", "photos.jsonl"),
        ("folder", "folder/vectors.npy"),
    ):
        (tmp_path / other).write_text('{"own": "of the user"}')
        with pytest.raises(
            InvalidSetting, match="would be replaced, and is of no export"
        ) as caught:
            export.write(Rows(RECORDS), tmp_path / target)
        assert "\n" not in str(caught.value)
        assert str(tmp_path / other) in str(caught.value)
        assert (tmp_path / other).read_text() == '{"own": "of the user"}'
        (tmp_path / other).unlink()
    # What it has written itself, and a named file, it does replace.
    (tmp_path / "photos.npy").write_text("")
    for _ in range(2):
        for target in ("photos.npy", "folder"):
            assert export.write(Rows(RECORDS), tmp_path / target) == len(RECORDS)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_fails_leaves_what_was_there(form: str, tmp_path: Path) -> None:
    class Failing(Rows):
        def scan(self) -> Iterator[list[ImageRecord]]:
            yield RECORDS[:3]
            raise OSError("the disk is gone")

    export.write(Rows(RECORDS), tmp_path / form)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OSError, match="disk is gone"):
        export.write(Failing(RECORDS), tmp_path / form)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_new_file_has_the_rights_that_others_have(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with replacing(tmp_path / "file") as stream:
        stream.write(b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def altered(**changes: Any) -> Any:
    """The rows as an Arrow table, with columns that are others."""
    schema = parquet._schema(MODEL)
    table = pa.Table.from_batches([parquet._batch(RECORDS, schema, MODEL.dim)])
    for name, value in changes.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        column = pa.array([value] * len(RECORDS), field.type)
        table = table.set_column(place, field, column)
    return table


def length_two() -> list[float]:
    return [2.0, *[0.0] * 7]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vector": length_two()}, "length 1"),
        ({"vector": [float("nan"), *[0.0] * 7]}, "length 1"),
        ({"vector": [float("inf"), *[0.0] * 7]}, "length 1"),
        ({"path": "/other.jpg"}, "has the id"),
        ({"path": "../../etc/passwd"}, "not absolute"),
        ({"content": "no hash"}, "no hash"),
        ({"width": -1}, "has the width -1"),
        ({"format": "x" * 100}, "has the format"),
        ({"metadata": "[1]"}, "must be a mapping"),
        ({"metadata": "{"}, "no JSON"),
        ({"metadata": '{"id": 1}'}, "'id' is in every row"),
        ({"metadata": '{"a": NaN}'}, "the number nan"),
        ({"metadata": "[" * 100_000}, "no JSON"),
        ({"metadata": json.dumps({"a": "x" * 70_000})}, "at most"),
    ],
)
def test_a_file_with_what_is_no_row_is_refused_before_anything_is_made(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(altered(**changes), file)
    with pytest.raises(ExportUnusable, match=reason) as caught:
        Index.import_rows(file, tmp_path / "a.db")
    assert str(caught.value).count("\n") == 0
    assert not (tmp_path / "a.db").exists()


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    properties = MODEL.to_properties()
    whole = altered()
    for table, reason in (
        (pa.table({"a": [1]}), "not made by"),
        (pa.table({"a": [1]}).replace_schema_metadata(properties), "columns.*id, path"),
        (whole.drop_columns(["content"]), "see: content"),
        (whole.append_column("more", pa.array([1] * 40)), "see: more"),
        (whole.replace_schema_metadata({**properties, "lookalike.dim": "9"}), "see: vector"),
        (whole.replace_schema_metadata({**properties, "lookalike.dim": "999999999"}), "numbers"),
        (whole.replace_schema_metadata({**properties, "lookalike.version": "7"}), "version 7"),
    ):
        pq.write_table(table, file)
        with pytest.raises(ExportUnusable, match=reason):
            Export(file)


def test_damaged_parquet_files_are_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    export.write(Rows(RECORDS), file)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(60):
        data = bytearray(whole)
        if number % 3:
            for place in rng.integers(0, len(data), 1 + number // 3):
                data[place] ^= int(rng.integers(1, 256))
        else:
            del data[int(rng.integers(0, len(data))) :]
        file.write_bytes(data)
        try:
            found = Export(file)
        except ExportUnusable as error:
            refused += 1
            assert str(error).count("\n") == 0
        else:
            # A bit of a text or a number that nothing checks, but still whole rows.
            assert found.rows <= len(RECORDS)
    assert refused > 40


class Exploit:
    """Would make a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch exploited",)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    export.write(Rows(RECORDS), tmp_path / "rows.npy")
    model = json.loads((tmp_path / "rows.json").read_text())
    hidden = pickle.dumps(Exploit())
    objects = np.empty(1, object)
    objects[0] = Exploit()
    for write in (
        lambda file: file.write_bytes(hidden),
        lambda file: np.save(file, objects, allow_pickle=True),
    ):
        write(tmp_path / "rows.npy")
        with (tmp_path / "rows.npy").open("rb") as stream:
            model["vectors"] = _hash(stream.read())
        (tmp_path / "rows.json").write_text(json.dumps(model))
        with pytest.raises(ExportUnusable, match="no NumPy file of numbers"):
            Export(tmp_path / "rows.npy")
    assert not (tmp_path / "exploited").exists()


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def test_files_of_two_exports_are_not_mixed(tmp_path: Path) -> None:
    export.write(Rows(RECORDS), tmp_path / "a")
    export.write(Rows(RECORDS[:20]), tmp_path / "b")
    for name in ("vectors.npy", "rows.jsonl"):
        whole = (tmp_path / "a" / name).read_bytes()
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
        with pytest.raises(ExportUnusable, match=f"{name} is not the one"):
            Export(tmp_path / "a")
        (tmp_path / "a" / name).write_bytes(whole)
    assert Export(tmp_path / "a").rows == 40


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"", "a line is missing"),
        (b"{}\n" * 40, "a row has the fields"),
        (b"[" * 100_000 + b"\n", "no row in JSON"),
        (b'{"a": "' + b"x" * 1_000_000, "no row in JSON"),
    ],
)
def test_lines_that_are_no_rows_are_refused(lines: bytes, reason: str, tmp_path: Path) -> None:
    export.write(Rows(RECORDS), tmp_path / "a")
    (tmp_path / "a/rows.jsonl").write_bytes(lines)
    model = json.loads((tmp_path / "a/model.json").read_text())
    (tmp_path / "a/model.json").write_text(json.dumps({**model, "rows": _hash(lines)}))
    with pytest.raises(ExportUnusable, match=reason):
        Export(tmp_path / "a")


# Prints by how many bytes a process grows that exports 100 MB, after it has exported a little.
GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from lookalike.exchange import export
from tests.test_exchange import MODEL, RECORDS, Rows

class Many(Rows):
    pages = 2
    def scan(self):
        for part in range(self.pages):
            yield [replace(RECORDS[1], path=f"/{part}/{n}", vector=v) for n, v in PAGE]

PAGE = list(enumerate(np.random.default_rng(0).standard_normal((400, 2048)).astype(np.float32)))
for form in ("rows.parquet", "rows.npy"):
    many = Many([], replace(MODEL, dim=2048))
    for many.pages in (8, 30):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        export.write(many, Path(sys.argv[1]) / form)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    grown_bytes = [int(line) for line in done.stdout.split()]
    assert (tmp_path / "rows.npy").stat().st_size > 98_000_000
    assert (tmp_path / "rows.parquet").stat().st_size > 80_000_000
    assert max(grown_bytes) < 30_000_000, grown_bytes
