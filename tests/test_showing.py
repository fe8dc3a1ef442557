"""The forms in which hits are printed, and the folders that they are collected in."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lookalike import Cluster, Clustering, Index
from lookalike.cli import cluster, collect
from lookalike.cli.app import app
from lookalike.cli.contact_sheet import contact_sheet
from lookalike.cli.links import uri_of
from lookalike.cli.show import as_csv, as_jsonl, as_paths
from lookalike.records import Hit
from tests.conftest import Outcome

Cli = Callable[..., Outcome]
ODD = 'a "b", <c> & #d?%41;\n=1+1 é🦔.jpg'


def hit(path: str, **metadata: object) -> Hit:
    return Hit(path, 0.5, "0" * 32, 3, 2, 1, None, "jpeg", metadata=metadata)


def indexed(folder: Path, *sources: Path) -> None:
    """Make the index that `cli` uses."""
    with Index.open(folder / "photos.db") as index:
        index.add(*sources)


def test_csv_keeps_every_character_and_type() -> None:
    hits = [
        hit(f"/x/{ODD}", label=ODD, n=1, real=1.0, yes=True, nested={"a": [None]}),
        hit("/y.jpg", n=None, text="1", score="mine"),
    ]
    text = as_csv(hits)
    assert re.sub(r'"[^"]*"', "", text).count("\n") == text.count("\r\n") == 3
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert list(first) == [
        *("rank", "path", "score", "id", "width", "height", "size_bytes", "taken_at", "format"),
        *(
            "animated",
            "content",
            "similar_count",
            "label",
            "n",
            "nested",
            "real",
            "metadata.score",
            "text",
            "yes",
        ),
    ]
    assert (first["path"], first["label"], first["rank"]) == (f"/x/{ODD}", ODD, "1")
    assert (first["n"], first["real"], first["yes"]) == ("1", "1.0", "true")
    assert (json.loads(first["nested"]), first["taken_at"]) == ({"a": [None]}, "")
    assert (second["n"], second["text"], second["metadata.score"]) == ("", "1", "mine")
    assert (second["score"], second["label"]) == ("0.5", "")
    assert as_csv([]).split("\r\n")[1:] == [""]


def test_each_hit_is_a_line_of_json() -> None:
    lines = as_jsonl([hit(ODD, label=ODD), hit("/y.jpg")]).split("\n")
    assert lines.pop() == ""
    first, second = map(json.loads, lines)
    assert (first["rank"], first["path"], first["metadata"]) == (1, ODD, {"label": ODD})
    assert (second["rank"], second["taken_at"]) == (2, None)


def test_paths_end_as_they_shall() -> None:
    assert as_paths([hit(ODD), hit("/y.jpg")], end="\0") == f"{ODD}\0/y.jpg\0"
    assert as_paths([hit("/y.jpg")]) == "/y.jpg\n"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/a/b c.jpg", "file:///a/b%20c.jpg"),
        ("C:/My Pictures/é.jpg", "file:///C:/My%20Pictures/%C3%A9.jpg"),
        ("/a/old.zip!/2019/b.jpg", "file:///a/old.zip"),
        ("https://example.org/a.jpg", "https://example.org/a.jpg"),
        ("s3://bucket/a.jpg", None),
    ],
)
def test_links_lead_to_what_a_browser_opens(path: str, uri: str | None) -> None:
    assert uri_of(path) == uri


def test_a_page_links_files_of_any_name_and_needs_nothing_else(
    samples: Path, tmp_path: Path
) -> None:
    odd = tmp_path / ODD
    odd.write_bytes((samples / "birds/crow.jpg").read_bytes())
    question = Image.new("RGB", (900, 300), "#c04020")
    hits = [hit(odd.as_posix(), label="<script>"), hit("s3://b/<i>.jpg"), hit("/gone.jpg")]
    page = contact_sheet(hits, title="like <this> & that", pictures=[question])
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', page)]
    assert {url2pathname(urlsplit(link).path) for link in links[:2]} == {odd.as_posix()}
    assert {unquote(link) for link in links[2:]} == {"file:///gone.jpg"}
    assert "<script" not in page
    assert "<i>" not in page
    assert "<h1>like &lt;this&gt; &amp; that</h1>" in page
    sources = re.findall(r'src="([^"]*)"', page)
    shown = [Image.open(io.BytesIO(base64.b64decode(each.split(",")[1]))) for each in sources]
    with Image.open(odd) as opened:
        assert [each.size for each in shown] == [(320, 107), opened.size]
    np.testing.assert_allclose(np.asarray(shown[0])[9, 9], (192, 64, 32), atol=8)
    assert page.count('loading="lazy"') == 2
    assert page.count('<div class="none">') == 2
    assert not re.search(r"(?:src|href)=\"(?!data:|file:)", page)


def test_a_page_of_many_hits_stays_small(samples: Path) -> None:
    hits = [hit((samples / "trees/palm.png").as_posix())] * 201
    page = contact_sheet(hits, title="", pictures=[])
    assert len(page) < 201 * 12_000
    assert page.count("<img ") == 201


def test_search_prints_a_form_or_writes_it_into_a_file(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    odd = photos / "birds" / ODD
    odd.write_bytes((photos / "birds/crow.jpg").read_bytes() + b"\0")
    indexed(tmp_path, photos / "birds")
    search = ("search", photos / "birds/crow.jpg", "-k", "2")
    both = {str(odd), str(photos / "birds/crow.jpg")}
    bare = cli(*search, "--format", "paths", "-0")
    assert set(bare.out.split("\0")) == {*both, ""}
    file = tmp_path / "hits.csv"
    written = cli(*search, "--format", "csv", "--output", file)
    assert (written.out, written.err) == ("", f"2 hits in {file}\n")
    with file.open(newline="", encoding="utf-8") as stream:
        assert {row["path"] for row in csv.DictReader(stream)} == both


def test_open_shows_a_page_in_the_browser(cli: Cli, photos: Path, tmp_path: Path) -> None:
    indexed(tmp_path, photos / "birds")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(tmp_path / "opened"))}\n')
    browser.chmod(0o755)
    done = cli("search", photos / "birds/crow.jpg", "--open", BROWSER=f"{browser} %s")
    assert (done.code, done.out) == (0, "")
    file = Path(done.err.strip().removeprefix("10 hits in "))
    for _ in range(50):
        if (tmp_path / "opened").exists():
            break
        time.sleep(0.1)
    assert (tmp_path / "opened").read_text() == f"{file.as_uri()}\n"
    assert file.read_text("utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.unlink()
    file.parent.rmdir()


def test_options_that_do_not_go_together_are_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, named in (
        (["--open", "--format", "csv"], "--open"),
        (["-0"], "--null"),
        (["--output", str(tmp_path / "nowhere" / "x")], "--output"),
        (["--copy-to", str(tmp_path / "file")], "--copy-to"),
    ):
        done = CliRunner().invoke(app, ["search", "x.jpg", *options], env={"COLUMNS": "200"})
        assert done.exit_code == 2
        assert named in done.output


@pytest.fixture
def archive(photos: Path, tmp_path: Path) -> Path:
    file = tmp_path / "old.zip"
    with zipfile.ZipFile(file, "w") as opened:
        opened.write(photos / "birds/crow.jpg", "deep/crow.jpg")
    return file


def test_copies_are_the_files_under_names_of_their_own(
    photos: Path, archive: Path, tmp_path: Path
) -> None:
    crow, duck = photos / "birds/crow.jpg", photos / "birds/duck.jpg"
    (photos / "trees/crow.jpg").write_bytes(duck.read_bytes())
    os.utime(crow, ns=(0, 1_500_000_000_123_456_789))
    hits = [
        hit(crow.as_posix()),
        hit(f"{photos.as_posix()}/trees/crow.jpg"),
        hit(f"{archive.as_posix()}!/deep/crow.jpg"),
        hit("/gone/crow.jpg"),
        hit(f"{archive.as_posix()}!/deep/none.jpg"),
    ]
    target = tmp_path / "new" / "folder"
    collected = collect.copy(hits, target)
    assert collected.done == 3
    assert [item.path for item in collected.left_out] == [hits[3].path, hits[4].path]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        "1-crow.jpg": crow.read_bytes(),
        "2-crow.jpg": duck.read_bytes(),
        "3-crow.jpg": crow.read_bytes(),
    }
    assert (target / "1-crow.jpg").stat().st_mtime_ns == 1_500_000_000_123_456_789


def test_nothing_is_overwritten_and_no_link_followed(photos: Path, tmp_path: Path) -> None:
    crow = photos / "birds/crow.jpg"
    outside, target = tmp_path / "outside", tmp_path / "target"
    target.mkdir()
    (target / "1-crow.jpg").write_text("mine")
    (target / "1-crow-2.jpg").symlink_to(outside)
    for make in (collect.copy, collect.link):
        assert make([hit(crow.as_posix())], target).done == 1
    assert (target / "1-crow.jpg").read_text() == "mine"
    assert not outside.exists()
    assert (target / "1-crow-3.jpg").read_bytes() == crow.read_bytes()
    assert (target / "1-crow-4.jpg").readlink() == crow


@pytest.mark.parametrize(
    "name", ["..", ".", "a\\..\\b.jpg", "CON:\n.jpg", "-rf", "no ending", ".hidden", "é" * 400]
)
def test_names_never_leave_the_folder(name: str, samples: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.write(samples / "birds/crow.jpg", "x/y.jpg")
    put = collect._name(f"{tmp_path}/{name}")
    assert not re.search(r"[\\/:\x00-\x1f]", put)
    assert len(put.encode()) <= 210
    collect._collect([hit(f"/{name}")] * 2, target, lambda path, file: file.touch(exist_ok=False))
    assert len(list(target.iterdir())) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"target", "a.zip"}


def test_links_are_refused_with_a_reason_where_there_can_be_none(
    photos: Path, archive: Path, tmp_path: Path
) -> None:
    hits = [
        hit((photos / "birds/crow.jpg").as_posix()),
        hit(f"{archive.as_posix()}!/deep/crow.jpg"),
        hit("s3://bucket/crow.jpg"),
        hit("/gone/crow.jpg"),
    ]
    collected = collect.link(hits, tmp_path / "links")
    assert collected.done == 1
    for item, word in zip(collected.left_out, ("archive", "address", "no such file"), strict=True):
        assert word in item.reason
    assert [path.name for path in (tmp_path / "links").iterdir()] == ["1-crow.jpg"]


def test_search_collects_what_it_finds(cli: Cli, photos: Path, archive: Path) -> None:
    indexed(archive.parent, photos / "birds", archive)
    folders = archive.parent / "copies", archive.parent / "links"
    done = cli(
        "search", photos / "birds/crow.jpg", "-k", "2", "--format", "paths",
        "--copy-to", folders[0], "--link-to", folders[1],
    )  # fmt: skip
    assert done.code == 0
    member = next(line for line in done.out.splitlines() if ".zip!" in line)
    assert done.err.splitlines() == [
        f"2 of 2 hits copied to {folders[0]}",
        f"not linked: {member}: nothing can link into an archive; --copy-to takes it out",
        f"1 of 2 hits linked to {folders[1]}",
    ]
    assert [len(list(folder.iterdir())) for folder in folders] == [2, 1]


def help_of(command: str) -> str:
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"}).output


def test_the_examples_in_the_help_run(
    cli: Cli, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(tmp_path, samples)
    monkeypatch.chdir(tmp_path)
    for command in ("cluster", "export", "import"):
        (example,) = re.findall(r"Example: (.*\S)", help_of(command))
        assert example.startswith(f"lookalike {command} ")
        done = cli(*shlex.split(example)[1:])
        assert done.code == 0, done.err
    page = (tmp_path / "groups.html").read_text("utf-8")
    groups = page.count("<section ")
    assert groups >= 6
    assert page.count('<a href="#group') == groups
    assert (tmp_path / "photos.parquet").exists()
    with Index.open(tmp_path / "copy.db", create=False) as index:
        assert len(index) == 86
    found = cli("cluster", "--k", "10", "--format", "json").json
    assert len(found["groups"]) == 10
    assert sum(group["size"] for group in found["groups"]) == 86


def test_what_cannot_be_imported_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    done = cli("import", tmp_path / "a.parquet")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), done.err
    assert f"{tmp_path}/a.parquet cannot be imported: it is damaged" in done.err


def test_groups_are_printed_with_their_most_central_pictures() -> None:
    groups = [Cluster((f"/{n}/a", f"/{n}/b", f"/{n}/c", f"/{n}/d"), 0.5, (0, n)) for n in (0, 1)]
    found = Clustering(tuple(groups), ("/alone",), 9)
    assert cluster._text(found, cluster.GroupFormat.table) == (
        "1\t4\t0.500\t/0/a\t/0/b\t/0/c\n2\t4\t0.500\t/1/a\t/1/b\t/1/c\n"
    )
    known = json.loads(cluster._text(found, cluster.GroupFormat.json))
    assert known["groups"][1] == {
        "size": 4, "cohesion": 0.5, "position": [0, 1], "paths": ["/1/a", "/1/b", "/1/c", "/1/d"],
    }  # fmt: skip
    assert (known["alone"], known["sampled"]) == (["/alone"], 9)


def test_the_programs_in_the_documents_run(samples: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "output.md").read_text("utf-8")
    reading, asking = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "crow.jpg").write_bytes((samples / "birds/crow.jpg").read_bytes())
    indexed(tmp_path, samples)
    exporting = 'with Index.open("photos.db") as index:\n    index.export("photos.npy")\n'
    checking = "assert vectors.shape == (86, 384) and len(rows) == 86\n"
    program = "\n".join([asking, exporting, reading, checking, "print(report.total, len(others))"])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "86 5"
