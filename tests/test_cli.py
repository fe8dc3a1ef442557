"""The commands that people type, and what programs read of them."""

from __future__ import annotations

import contextlib
import os
import pty
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import lookalike
from tests.conftest import Outcome
from tests.forked import COMMAND, Lookalike

Cli = Callable[..., Outcome]


def test_index_reports_what_it_did_as_json(cli: Cli, photos: Path) -> None:
    first = cli("index", photos, "--format", "json")
    assert first.code == 0
    assert {key: first.json[key] for key in ("added", "updated", "moved", "removed")} == {
        "added": 30,
        "updated": 0,
        "moved": 0,
        "removed": 0,
    }
    assert (first.json["skipped"], first.json["total"]) == ([], 30)
    assert first.json["images_per_second"] > 0 < first.json["seconds"]
    again = cli("index", photos, "--format", "json").json
    assert (again["added"], again["unchanged"]) == (0, 30)
    assert first.err == ""


def test_search_answers_in_json(cli: Cli, photos: Path) -> None:
    cli("index", photos)
    path = photos / "birds" / "pelican.png"
    answer = cli("search", path, "--format", "json", "-k", "3").json
    assert set(answer) == {"query", "model", "hits", "seconds"}
    assert len(answer["hits"]) == 3
    best = answer["hits"][0]
    assert (best["path"], best["format"], best["taken_at"]) == (path.as_posix(), "png", None)
    assert best["score"] >= 0.999
    assert set(best) == {
        *("path", "score", "id", "width", "height", "size_bytes", "taken_at", "format"),
        *("animated", "content", "metadata", "similar_count"),
    }


def test_search_prints_rank_score_path_and_size(cli: Cli, photos: Path) -> None:
    cli("index", photos)
    path = photos / "birds" / "crow.jpg"
    found = cli("search", path, "-k", "2")
    first, second = (line.split("\t") for line in found.out.splitlines())
    assert first[:3] == ["1", "1.000", path.as_posix()]
    assert re.fullmatch(r"\d+×\d+", first[3])
    assert re.fullmatch(r"[\d.]+ k?B", first[4])
    assert second[0] == "2"
    bare = cli("search", path, "-k", "2", "--format", "paths")
    assert bare.out.splitlines() == [first[2], second[2]]


def on_terminal(*args: str | Path, columns: int = 200) -> str:
    """What a person sees of a command, with the terminal's own commands left out."""
    leader, follower = pty.openpty()
    process = Lookalike(
        [*COMMAND, *map(str, args)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns)},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode())


def test_at_a_terminal_there_are_a_progress_bar_and_a_table(photos: Path, tmp_path: Path) -> None:
    database = ("--db", tmp_path / "photos.db")
    indexed = on_terminal("index", photos, *database)
    assert re.search(r"Indexing .*/30 .*pictures/s", indexed)
    assert "30 added" in indexed
    assert "Indexing" not in on_terminal("index", photos, "-q", *database)
    found = on_terminal("search", photos / "birds" / "crow.jpg", "-k", "1", *database)
    header, row = found.split("\r\n")[:2]
    assert header.split() == ["#", "score", "path", "pixels", "size"]
    assert row.split()[:3] == ["1", "1.000", (photos / "birds" / "crow.jpg").as_posix()]


def test_info_and_remove(cli: Cli, photos: Path, tmp_path: Path) -> None:
    cli("index", photos)
    info = cli("info", "--format", "json").json
    assert info["database"] == (tmp_path / "photos.db").as_posix()
    assert (info["pictures"], info["dim"], info["metric"]) == (30, 384, "COSINE")
    assert "efficientnet-lite0-384" in cli("info").out
    removed = cli("remove", photos / "birds")
    assert removed.out.startswith("12 removed; 18 pictures")
    assert "nothing was removed" in cli("remove", tmp_path / "elsewhere").err


def test_a_dry_run_prints_the_plan_and_leaves_no_trace(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    planned = cli("index", photos, "--dry-run")
    assert planned.code == 0
    assert len(planned.out.splitlines()) == 30
    assert f"add\t{photos}/birds/crow.jpg\n" in planned.out
    assert planned.err.startswith("30 to add, 0 to update, 0 to move, 0 to remove, 0 to skip; ")
    assert not (tmp_path / "photos.db").exists()
    cli("index", photos)
    (photos / "birds/crow.jpg").rename(photos / "trees/crow\n.jpg")
    (photos / "birds/duck.jpg").unlink()
    planned = cli("index", photos, "--dry-run")
    assert planned.out.splitlines() == [
        f"move\t{photos}/birds/crow.jpg → {photos}/trees/crow\\n.jpg",
        f"remove\t{photos}/birds/duck.jpg",
    ]
    assert cli("index", photos, "--dry-run", "--format", "json").json == {
        "add": [],
        "update": [],
        "move": [{"from": f"{photos}/birds/crow.jpg", "to": f"{photos}/trees/crow\n.jpg"}],
        "remove": [f"{photos}/birds/duck.jpg"],
        "skip": [],
    }
    assert cli("index", photos, "--format", "json").json["moved"] == 1


def test_prune_and_relocate(cli: Cli, photos: Path, tmp_path: Path) -> None:
    cli("index", photos)
    moved = photos.rename(tmp_path / "elsewhere")
    planned = cli("prune", "--dry-run")
    assert len(planned.out.splitlines()) == 30
    assert f"remove\t{photos}/birds/crow.jpg" in planned.out.splitlines()
    relocated = cli("relocate", photos, moved)
    assert relocated.out.startswith("30 relocated; 30 pictures in ")
    assert not relocated.err
    assert cli("index", moved, "--format", "json").json["unchanged"] == 30
    (moved / "birds/crow.jpg").unlink()
    assert cli("prune").out.startswith("1 removed; 29 pictures in ")
    nothing = cli("relocate", photos, moved)
    assert (nothing.code, nothing.out[:12]) == (0, "0 relocated;")
    assert "Nothing in the index lies in" in nothing.err
    refused = cli("relocate", moved, moved / "inside")
    assert refused.code == 1
    assert "neither inside nor around" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_skipped_files_are_named_and_strict_makes_them_a_failure(cli: Cli, photos: Path) -> None:
    (photos / "notes.jpg").write_text("not a picture")
    lenient = cli("index", photos)
    assert lenient.code == 0
    assert "notes.jpg: it is not a picture" in lenient.err
    assert "1 skipped" in lenient.out
    strict = cli("index", photos, "--strict", "--format", "json")
    assert strict.code == 1
    assert strict.json["skipped"] == [
        {
            "path": (photos / "notes.jpg").as_posix(),
            "reason": "it is not a picture in a known format",
        }
    ]


def test_many_skipped_files_are_counted_and_all_named_on_request(cli: Cli, photos: Path) -> None:
    for number in range(25):
        (photos / f"broken{number:02}.jpg").write_bytes(b"")
    assert "… and 5 more" in cli("index", photos).err
    assert cli("index", photos, "-v").err.count("the file is empty") == 25
    assert cli("index", photos, "-q").err == ""


def test_the_demo_finds_flowers_for_a_flower_and_makes_a_page(cli: Cli) -> None:
    shown = cli("demo")
    assert shown.code == 0
    hits = [line.split("\t") for line in shown.out.splitlines() if line[:1].isdigit()][1:]
    assert all(path.startswith("flowers/") for _, _, path, *_ in hits[:5])
    page = Path(shown.out.splitlines()[-1].removeprefix("As pictures: "))
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 11
    assert "://" not in text.replace("file://", "")
    page.unlink()
    page.parent.rmdir()


def test_wrong_usage_exits_with_2(cli: Cli, photos: Path) -> None:
    for arguments in (
        ("search",),
        ("index",),
        ("search", photos, "-k", "0"),
        ("search", photos, "--format", "xml"),
        ("evaluate", photos, "--limit-worst", "0"),
        ("nonsense",),
    ):
        outcome = cli(*arguments)
        assert outcome.code == 2, arguments
        assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "command",
    [
        "index",
        "search",
        "duplicates",
        "evaluate",
        "info",
        "remove",
        "models",
        "demo",
        "download-sample",
        "",
    ],
)
def test_every_command_has_help_and_a_version(cli: Cli, command: str) -> None:
    arguments = [command] if command else []
    assert "--help" in cli(*arguments, "--help").out
    assert cli(*arguments, "--version").out == f"lookalike {lookalike.__version__}\n"
