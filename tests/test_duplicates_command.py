"""``lookalike duplicates``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike import DuplicateGroup, Index
from lookalike.cli import duplicates_show
from lookalike.cli.duplicates import EXAMPLE, GroupFormat
from lookalike.cli.duplicates_show import print_groups
from lookalike.records import Duplicate, Stamp
from tests.conftest import Outcome

Cli = Callable[..., Outcome]


@pytest.fixture
def twice(tmp_path: Path, photos: Path) -> Path:
    """Thirty pictures, and copies of two of them."""
    for number, name in enumerate(("crow.jpg", "duck.jpg")):
        shutil.copy2(photos / "birds" / name, photos / f"copy {number}.jpg")
    return photos


def test_groups_are_printed_in_every_format(
    twice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(twice)
        groups = index.duplicates(keep="shortest-path")

    def printed(group_format: GroupFormat) -> str:
        print_groups(groups, group_format.value)
        return capsys.readouterr().out

    rows = [line.split("\t") for line in printed(GroupFormat.table).splitlines()]
    kinds = [["1", "keep"], ["1", "exact"], ["2", "keep"], ["2", "exact"]]
    assert [row[:3] for row in rows] == [[*kind, "1.000"] for kind in kinds]
    assert rows[0][3] == f"{twice}/copy 0.jpg"
    paths = printed(GroupFormat.paths).splitlines()
    assert paths == [f"{twice}/birds/crow.jpg", f"{twice}/birds/duck.jpg"]
    answer = json.loads(printed(GroupFormat.json))
    assert [group["others"][0]["path"] for group in answer["groups"]] == paths
    assert set(answer["groups"][0]["keep"]) == {
        *("path", "kind", "score", "content", "size_bytes", "width", "height", "taken_at"),
        "format",
    }
    read = list(csv.DictReader(io.StringIO(printed(GroupFormat.csv))))
    assert [row["path"] for row in read] == [row[3] for row in rows]
    assert read[0]["content"] == read[1]["content"] != read[2]["content"]
    page = printed(GroupFormat.html)
    assert page.count('src="data:image/jpeg;base64,') == 4
    assert f'href="{(twice / "copy 0.jpg").as_uri()}"' in page


def test_a_page_takes_paths_of_other_systems_and_shows_no_more_groups_than_it_can(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(duplicates_show, "MOST", 2)
    keep, other = (
        Duplicate(
            path=f"C:/p/{name}.jpg", kind="exact", score=1.0, content="c", stamp=Stamp(1, 1),
            width=1, height=1, taken_at=0, format="jpeg",
        )
        for name in "ab"
    )  # fmt: skip
    print_groups([DuplicateGroup(keep, (other,))] * 3, "html")
    page = capsys.readouterr().out
    assert page.count('href="file:///C:/p/a.jpg"') == page.count("<h2>") == 2
    assert "the first 2 groups are shown, 1 are not" in page


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
    again = cli("duplicates")
    assert again.out == ""
    assert again.err == "0 groups with 0 duplicates, 0 B; nothing was changed.\n"
    left = {path for path in twice.rglob("*") if path.is_file()}
    planned = cli(*shlex.split(said[1])[:-1], **data)
    assert planned.err == "2 to put back, 0 left alone. Nothing was changed; --apply does it.\n"
    assert {path for path in twice.rglob("*") if path.is_file()} == left
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
    assert [each["refused"] for each in answer["disposals"]] == ["it is a link"]
    assert answer["undo_file"] is None


def test_a_folder_is_compared_with_another(cli: Cli, twice: Path) -> None:
    cli("index", twice)
    found = cli("duplicates", "--against", twice / "birds", "--format", "paths")
    assert found.out.splitlines() == [f"{twice}/copy 0.jpg", f"{twice}/copy 1.jpg"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--delete", "--hardlink"),
        ("--apply",),
        ("--undo", "x", "--delete"),
        ("--undo", "x", "--keep", "oldest"),
        ("--undo", "x", "--format", "json"),
        ("--undo", "x", "--undo-file", "y"),
        ("--min-score", "0.8"),
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
