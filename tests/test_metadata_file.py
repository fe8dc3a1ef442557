"""Files of the user's own fields: CSV and JSONL, from ``lookalike index --metadata`` to a hit."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookalike import Hit, InvalidMetadata
from lookalike.cli.contact_sheet import contact_sheet
from lookalike.ingest.metadata_file import read_metadata
from tests.conftest import Outcome
from tests.test_bad_input import line_of
from tests.test_cli import on_terminal

Cli = Callable[..., Outcome]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def fields_of(path: Path, text: str | bytes, *folders: Path) -> dict[str, Any]:
    """Name of a picture -> its fields, from a file with this text."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = read_metadata(path, folders=[folder.as_posix() for folder in folders])
    return {os.path.basename(path): dict(fields) for path, fields in found.items()}  # noqa: PTH119


def column(labels: Path, cells: list[str]) -> list[Any]:
    """What becomes of the cells of a column x."""
    paths = [labels.with_name(f"{number}.jpg") for number in range(len(cells))]
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "x"])
        for path, cell in zip(paths, cells, strict=True):
            path.touch()
            writer.writerow([path.name, cell])
    found = read_metadata(labels, folders=[])
    return [found[path.as_posix()].get("x", "none") for path in paths]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        ([str(2**63), "1"], [str(2**63), "1"]),
        ([str(2**63), "1.5"], [str(2**63), "1.5"]),
        (["9" * 5000], ["9" * 5000]),
        (["007", "8"], ["007", "8"]),
        (["07.5", "8"], ["07.5", "8"]),
        (["+1", "2"], ["+1", "2"]),
        (["1", "2.5", "-1e3", "1E-2"], [1.0, 2.5, -1000.0, 0.01]),
        (["1e999", "1"], ["1e999", "1"]),
        (["nan", "1"], ["nan", "1"]),
        (["1.", "2"], ["1.", "2"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["٣", "2"], ["٣", "2"]),
        (["1", "two"], ["1", "two"]),
        ([" 1", "2"], [" 1", "2"]),
        (["true", "False", "TRUE"], [True, False, True]),
        (["true", "1"], ["true", "1"]),
        (["1", "", "2"], [1, "none", 2]),
        (["", ""], ["none", "none"]),
        (['a,"b"\nc', "ä"], ['a,"b"\nc', "ä"]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_column_has_one_type(labels: Path, cells: list[str], values: list[Any]) -> None:
    found = column(labels, cells)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_spellings_of_csv_that_programs_write(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    expected = {"a.jpg": {"n": 1, "label": "x"}}
    for text in (
        "path,n,label\na.jpg,1,x\n",
        "\ufeffpath,n,label\r\na.jpg,1,x\r\n",
        '"n","path","label"\n"1","a.jpg","x"',
        "\npath,n,label\n\n\na.jpg,1,x\n,,\n",
        "path,n,label\ra.jpg,1,x\r",
        "path,n,label\na.jpg,1,x\na.jpg,1,x\n./a.jpg,1,x\n",
    ):
        assert fields_of(tmp_path / "labels.CSV", text) == expected
    assert fields_of(tmp_path / "l.tsv", "path\tn\tlabel\na.jpg\t1\tx\n") == expected
    assert fields_of(tmp_path / "l.csv", "path\na.jpg\n") == {"a.jpg": {}}
    assert fields_of(tmp_path / "l.csv", "path,n\n") == {}


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    fields = {"n": 1, "x": 1.0, "on": True, "none": None, "tags": ["a", {"b": 2}], "zip": "007"}
    line = json.dumps({"path": "a.jpg", **fields})
    for name in ("l.jsonl", "l.ndjson"):
        assert fields_of(tmp_path / name, f"\ufeff{line}\r\n\n  \n") == {"a.jpg": fields}
    assert fields_of(tmp_path / "l.jsonl", "") == {}
    assert fields_of(tmp_path / "l.jsonl", '{"path": "a.jpg"}') == {"a.jpg": {}}


def test_relative_paths_are_looked_for_below_the_folders_then_beside_the_file_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, beside, here = (tmp_path / name for name in ("one", "two", "beside", "here"))
    for folder in (one, two, beside, here):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(two))
    labels = beside / "labels.csv"
    labels.write_text("path\nin/a.jpg\n")

    def found() -> list[str]:
        return list(read_metadata("../beside/labels.csv", folders=[str(one), str(two)]))

    for folder in (here, beside, two, one):
        (folder / "in").mkdir()
        (folder / "in" / "a.jpg").touch()
        assert found() == [(folder / "in" / "a.jpg").as_posix()]
    for written in (f"{two}/in/a.jpg", "~/in/a.jpg", "../two/in/a.jpg"):
        labels.write_text(f"path\n{written}\n")
        assert found() == [(two / "in" / "a.jpg").as_posix()]


BAD = [
    ("l.csv", "", "line 1: the header has no column 'path'"),
    ("l.csv", "a.jpg,cat\n", "line 1: the header has no column 'path'"),
    ("l.csv", "path;n\na.jpg;1\n", "line 1: the header has no column 'path'"),
    ("l.csv", "path,n,n\n", "line 1: two columns are called 'n'"),
    ("l.csv", "path,path\n", "line 1: two columns are called 'path'"),
    ("l.csv", "path,the n\n", "line 1: the field name 'the n' must be of letters"),
    ("l.csv", "path,\na.jpg,1\n", "line 1: the field name '' must be of letters"),
    ("l.csv", "path,width\n", "line 1: a field 'width' is in every row already"),
    ("l.csv", "path,n\na.jpg\n", "line 2: it has 1 cell, but the header has 2"),
    ("l.csv", "path,n\na.jpg,1\na.jpg,1,2\n", "line 3: it has 3 cells, but the header has 2"),
    ("l.csv", 'path,n\na.jpg,"x\ny"\n\na.jpg\n', "line 5: it has 1 cell"),
    ("l.csv", "path,n\n,1\n", "line 2: it has no path"),
    ("l.csv", "path,n\nnone.jpg,1\n", "line 2: none.jpg does not exist, below a folder to index"),
    ("l.csv", "path,n\n/none.jpg,1\n", "line 2: /none.jpg does not exist."),
    ("l.csv", "path,n\na.jpg,1\na.jpg,2\n", "a.jpg has other fields in line 2"),
    ("l.csv", 'path,n\n"a.jpg"x,1\n', "line 2: it is not as CSV must be"),
    ("l.csv", 'path,n\na.jpg,"1\n', "line 2: it is not as CSV must be"),
    ("l.csv", b"path,n\na.jpg,\xff\n", "it is not UTF-8 text"),
    ("l.csv", "path,n\n" + f"a.jpg,{'x' * 70_000}\n", "line 2: its fields take 70008 bytes"),
    ("l.csv", "path,n\n" + f"a.jpg,{'x' * 140_000}\n", "line 2: it is not as CSV must be"),
    ("l.jsonl", '{"path": "a.jpg"}\n{"path": "a.jpg"\n', "line 2: it is not JSON"),
    ("l.jsonl", '["a.jpg"]\n', "line 1: it is not a JSON object"),
    ("l.jsonl", '{"n": 1}\n', "line 1: it has no path"),
    ("l.jsonl", '{"path": ""}\n', "line 1: it has no path"),
    ("l.jsonl", '{"path": 7}\n', "line 1: its path is not a text"),
    ("l.jsonl", '{"path": "a\\u0000.jpg"}\n', "does not exist"),
    ("l.jsonl", '{"path": "a.jpg", "the n": 1}\n', "line 1: the field name 'the n' must be"),
    ("l.jsonl", '{"path": "a.jpg", "id": 1}\n', "line 1: a field 'id' is in every row already"),
    ("l.jsonl", '{"path": "a.jpg", "n": NaN}\n', "line 1: its field 'n' has the number nan"),
    ("l.jsonl", '{"path": "a.jpg", "n": 9223372036854775808}\n', "has a number beyond 64 bits"),
    ("l.jsonl", '{"path": "a.jpg", "n": %s}\n' % ("9" * 5000), "line 1: it is not JSON"),
    ("l.jsonl", '{"path": "a.jpg", "n": "\\ud800"}\n', "has text that is not valid UTF-8"),
    ("l.jsonl", '{"path": "a.jpg", "n": %s}\n' % ("[" * 100_000), "line 1: it is not JSON"),
    ("l.jsonl", '{"path": "a.jpg", "n": 1}\n{"path": "a.jpg", "n": true}\n', "in line 1"),
    ("l.txt", "path\n", "its name must end in one of .csv .tsv .jsonl .ndjson"),
    ("l", "path\n", "its name must end in one of .csv"),
]


@pytest.mark.parametrize(("name", "text", "reason"), BAD, ids=[f"{n}: {r}" for n, _, r in BAD])
def test_a_bad_row_is_named_by_file_and_line(
    tmp_path: Path, name: str, text: str | bytes, reason: str
) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InvalidMetadata) as caught:
        fields_of(tmp_path / name, text)
    assert caught.value.path == (tmp_path / name).as_posix()
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert reason in str(caught.value)


def test_a_bad_file_is_one_line_and_the_database_is_not_touched(
    cli: Cli, photos: Path, tmp_path: Path, labels: Path
) -> None:
    def refused(reason: str) -> None:
        line = line_of(cli("index", photos, "--metadata", labels))
        assert f"labels.csv: {reason}" in line

    def written() -> dict[Path, int]:
        files = (path for path in (tmp_path / "photos.db").rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in files}

    refused("it cannot be read (No such file or directory)")
    labels.write_text("path,label\nbirds/crow.jpg,crow\nbirds/dodo.jpg,dodo\n")
    refused("line 3: birds/dodo.jpg does not exist")
    assert not (tmp_path / "photos.db").exists()
    cli("index", photos / "birds")
    before = written()
    for text, reason in (
        ("path,label\nbirds/crow.jpg,crow,black\n", "line 2: it has 3 cells, but the header has 2"),
        ("path,label\n,crow\n", "line 2: it has no path"),
        ("path,the label\nbirds/crow.jpg,crow\n", "line 1: the field name 'the label' must be"),
        ("path,label\nbirds/\x1b[31m.jpg,crow\n", r"line 2: birds/\x1b[31m.jpg does not exist"),
    ):
        labels.write_text(text)
        refused(reason)
    labels.chmod(0)
    refused("it cannot be read (Permission denied)")
    labels.unlink()
    labels.mkdir()
    refused("it cannot be read (Is a directory)")
    assert written() == before
    assert cli("info", "--format", "json").json["pictures"] == 12


def test_fields_are_in_what_a_search_prints(cli: Cli, photos: Path, labels: Path) -> None:
    labels.write_text(
        "path,label,price,note\nbirds/crow.jpg,crow,3,\nbirds/lark.jpg,,2," + "x" * 50 + "\n"
    )
    crow, lark = photos / "birds" / "crow.jpg", photos / "birds" / "lark.jpg"
    plain = cli("index", photos, "--metadata", labels, "--format", "json")
    assert (plain.json["added"], plain.err) == (30, "")
    hits = cli("search", crow, "--format", "json", "-k", "30").json["hits"]
    metadata = {hit["path"]: hit["metadata"] for hit in hits if hit["metadata"]}
    assert metadata == {
        crow.as_posix(): {"label": "crow", "price": 3},
        lark.as_posix(): {"price": 2, "note": "x" * 50},
    }
    rows = [line.split("\t") for line in cli("search", crow, "-k", "30").out.splitlines()]
    assert {len(row) for row in rows} == {6}
    assert {row[2]: row[5] for row in rows if row[5]} == {
        crow.as_posix(): "label=crow, price=3",
        lark.as_posix(): f"note={'x' * 39}…, price=2",
    }
    database = ("--db", labels.with_name("photos.db"))
    header, row = on_terminal("search", crow, "-k", "1", *database).split("\r\n")[:2]
    assert header.split() == ["#", "score", "path", "pixels", "size", "metadata"]
    assert row.rstrip().endswith("label=crow, price=3")
    again = cli("index", photos, "--metadata", labels, "--format", "json").json
    assert (again["updated"], again["unchanged"]) == (0, 30)
    labels.write_text("path,label\nbirds/crow.jpg,raven\nbirds/lark.jpg,\n")
    changed = cli("index", photos, "--metadata", labels, "--format", "json").json
    assert (changed["updated"], changed["unchanged"]) == (2, 28)
    assert len(cli("search", lark, "-k", "1").out.split("\t")) == 5
    assert cli("search", crow, "-k", "1").out.endswith("\tlabel=raven\n")


def test_values_cannot_command_the_terminal_or_break_the_lines(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    crow = photos / "birds" / "crow.jpg"
    (tmp_path / "labels.jsonl").write_text(
        json.dumps({"path": "crow.jpg", "x": "\x1b[31m\tred\n", "y": ["\u202e", None, True]})
    )
    cli("index", photos / "birds", "--metadata", tmp_path / "labels.jsonl")
    found = cli("search", crow, "-k", "1")
    assert found.out.count("\n") == 1
    assert found.out.rstrip("\n").split("\t")[5] == (r'x=\x1b[31m\tred\n, y=["\u202e", null, true]')


def test_rows_of_files_that_were_not_indexed_are_counted(
    cli: Cli, photos: Path, labels: Path
) -> None:
    labels.write_text("path,label\nbirds/crow.jpg,crow\ntrees/palm.png,palm\n")
    labels.replace(photos / "labels.csv")
    outcome = cli("index", photos / "birds", "--metadata", photos / "labels.csv")
    assert outcome.code == 0
    assert outcome.err == (
        "1 row of labels.csv is of a file that was not indexed, "
        f"e.g. {photos.as_posix()}/trees/palm.png\n"
    )
    (photos / "labels.csv").write_text("path,n\ntrees/palm.png,1\ntrees,2\nlabels.csv,3\n")
    outcome = cli("index", photos / "birds", "--metadata", photos / "labels.csv")
    assert outcome.err.startswith("3 rows of labels.csv are of files that were not indexed, e.g. ")
    assert cli("index", photos / "birds", "--metadata", photos / "labels.csv", "-q").err == ""


def test_a_contact_sheet_shows_the_fields_escaped(samples: Path) -> None:
    path = (samples / "birds" / "crow.jpg").as_posix()
    plain = Hit(path, 1.0, "0" * 32, 1, 1, 1, None, "jpeg")
    marked = Hit(
        path, 0.5, "0" * 32, 1, 1, 1, None, "jpeg", metadata={"label": "<b>&", "n": {"x": '"'}}
    )
    page = contact_sheet([plain, marked], title="crow", pictures=[path])
    assert re.findall(r'<div class="path facts">(.*)</div>', page) == [
        "label=&lt;b&gt;&amp;, n={&quot;x&quot;: &quot;\\&quot;&quot;}</div>"
    ]
