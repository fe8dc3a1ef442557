"""``lookalike duplicates``, as it is typed."""

from __future__ import annotations

import csv
import io
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.cli.duplicates import EXAMPLE
from tests.conftest import Outcome

Cli = Callable[..., Outcome]


@pytest.fixture
def twice(tmp_path: Path, photos: Path) -> Path:
    """Thirty pictures, and copies of two of them."""
    for number, name in enumerate(("crow.jpg", "duck.jpg")):
        shutil.copy2(photos / "birds" / name, photos / f"copy {number}.jpg")
    return photos


def test_groups_are_printed_in_every_format(cli: Cli, twice: Path) -> None:
    cli("index", twice)
    table = cli("duplicates", "--keep", "shortest-path")
    assert re.fullmatch(r"2 groups with 2 duplicates, [\d.]+ kB; nothing was changed.\n", table.err)
    rows = [line.split("\t") for line in table.out.splitlines()]
    assert [row[:3] for row in rows] == [["1", "keep", "1.000"], ["1", "exact", "1.000"]] + [
        ["2", "keep", "1.000"],
        ["2", "exact", "1.000"],
    ]
    assert rows[0][3] == f"{twice}/copy 0.jpg"
    paths = cli("duplicates", "--keep", "shortest-path", "--format", "paths").out
    assert paths.splitlines() == [f"{twice}/birds/crow.jpg", f"{twice}/birds/duck.jpg"]
    answer = cli("duplicates", twice, "--keep", "shortest-path", "--format", "json").json
    assert [group["others"][0]["path"] for group in answer["groups"]] == paths.splitlines()
    assert set(answer["groups"][0]["keep"]) == {
        *("path", "kind", "score", "content", "size_bytes", "width", "height", "taken_at"),
        "format",
    }
    text = cli("duplicates", "--keep", "shortest-path", "--format", "csv").out
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in read] == [row[3] for row in rows]
    assert read[0]["content"] == read[1]["content"] != read[2]["content"]
    page = cli("duplicates", "--keep", "shortest-path", "--format", "html").out
    assert page.count('src="data:image/jpeg;base64,') == 4
    assert f'href="{(twice / "copy 0.jpg").as_uri()}"' in page


def test_duplicates_are_put_away_and_put_back_as_typed(
    cli: Cli, twice: Path, tmp_path: Path
) -> None:
    """Without --apply nothing happens."""
    data = {"XDG_DATA_HOME": str(tmp_path / "data")}
    cli("index", twice)
    before = {path: path.read_bytes() for path in twice.rglob("*") if path.is_file()}
    options = ("--keep", "shortest-path", "--move-to", tmp_path / "away")
    planned = cli("duplicates", twice, *options, **data)
    expected = [
        f"move\t{twice}/birds/{name} → {tmp_path}/away/birds/{name}"
        for name in ("crow.jpg", "duck.jpg")
    ]
    assert planned.out.splitlines() == expected
    assert planned.err == "2 to move, 0 left alone. Nothing was changed; --apply does it.\n"
    assert {path for path in twice.rglob("*") if path.is_file()} == before.keys()
    assert not (tmp_path / "away").exists()
    moved = cli("duplicates", twice, *options, "--apply", **data)
    assert moved.out.splitlines() == expected
    said = re.fullmatch(
        r"2 moved, 0 left alone\.\nTo undo it: lookalike (duplicates --undo .*)\n", moved.err
    )
    assert said
    assert cli("info", "--format", "json").json["pictures"] == 30
    assert cli("duplicates").out == ""
    undone = cli(*shlex.split(said[1]), **data)
    assert undone.err == "2 put back, 0 left alone.\n"
    assert cli("info", "--format", "json").json["pictures"] == 32
    assert {path: path.read_bytes() for path in twice.rglob("*") if path.is_file()} == before


def test_deleting_goes_to_the_trash_and_names_what_is_left_alone(
    cli: Cli, twice: Path, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    cli("index", twice)
    (twice / "birds" / "crow.jpg").unlink()
    (twice / "birds" / "crow.jpg").symlink_to(twice / "copy 0.jpg")
    deleted = cli("duplicates", twice, "--delete", "--apply", "--keep", "shortest-path", **home)
    assert deleted.code == 0
    assert deleted.out == f"delete\t{twice}/birds/duck.jpg\n"
    assert f"left alone {twice}/birds/crow.jpg: it is a link\n1 deleted, 1 left" in deleted.err
    assert (tmp_path / "data" / "Trash" / "files" / "duck.jpg").exists()
    answer = cli("duplicates", twice, "--hardlink", "--format", "json", **home).json
    assert [each["action"] for each in answer["disposals"]] == ["hardlink"]
    assert answer["undo_file"] is None


def test_a_folder_is_compared_with_another(cli: Cli, twice: Path) -> None:
    cli("index", twice)
    found = cli("duplicates", "--against", twice / "birds", "--format", "paths")
    assert found.out.splitlines() == [f"{twice}/copy 0.jpg", f"{twice}/copy 1.jpg"]
    assert cli("duplicates", twice / "birds", "--against", twice / "trees").out == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ("--delete", "--hardlink"),
        ("--apply",),
        ("--undo", "x", "--delete"),
        ("--level", "close"),
        ("--keep", "best"),
    ],
)
def test_wrong_usage_is_refused(cli: Cli, wrong: tuple[str, ...]) -> None:
    assert cli("duplicates", *wrong).code == 2


def test_the_example_in_the_help_works(cli: Cli, twice: Path, tmp_path: Path) -> None:
    assert EXAMPLE in " ".join(cli("duplicates", "--help", COLUMNS="200").out.split())
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    twice.rename(tmp_path / "Pictures")
    cli("index", tmp_path / "Pictures", **home)
    done = cli(*shlex.split(EXAMPLE)[1:], **home)
    assert (done.code, len(done.out.splitlines())) == (0, 2)
    assert f"{tmp_path}/Duplicates/" in done.out
