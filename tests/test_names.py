"""What people name: patterns, lists, addresses, and how all of it is stored."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookalike import Index
from lookalike.errors import LookalikeError, PictureError, SourceNotFound
from lookalike.ingest.name_list import names_in
from lookalike.ingest.scan import Scan
from lookalike.records import ImageFile, Skipped
from lookalike.sources.names import (
    PATH_BYTES,
    absolute,
    is_archive,
    split_member,
    without_secrets,
)
from lookalike.store.schema import PATH_BYTES as STORED_PATH_BYTES
from tests.conftest import Outcome
from tests.test_archives import zipped
from tests.test_scan import below, touch

Cli = Callable[..., Outcome]


def paths(items: Iterator[ImageFile | Skipped]) -> list[str]:
    return [item.path for item in items if isinstance(item, ImageFile)]


def test_a_pattern_that_the_shell_left_alone_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.jpg", "2019/c.jpg", "2019/x/d.jpg", ".hidden/e.jpg", "[1].jpg"):
        touch(tmp_path / name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    jpegs = below(tmp_path, "2019/c.jpg", "2019/x/d.jpg", "[1].jpg", "b.jpg")
    for pattern in ("**/*.jpg", "~/**/*.jpg", f"{tmp_path}/**/*.jpg"):
        assert paths(iter(Scan([pattern]))) == jpegs
    assert paths(iter(Scan(["20??", "*.png"]))) == [f"{tmp_path}/a.png", *jpegs[:2]]
    with pytest.raises(SourceNotFound, match=r"\*\.gif does not exist, .*matches nothing"):
        Scan([tmp_path, tmp_path / "*.gif"])


def test_a_file_of_exactly_that_name_comes_before_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg"), touch(tmp_path / "[1].jpg")
    assert paths(iter(Scan([tmp_path / "[1].jpg"]))) == [f"{tmp_path}/[1].jpg"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
@pytest.mark.parametrize("last", [True, False])
def test_a_list_has_a_name_a_line_or_before_each_nul(end: bytes, last: bool) -> None:
    names = [b"a.jpg", b"/b c.jpg", b"caf\xe9.jpg", b"~root", b"x" * 4000, b"\xf0\x9f\xa6\x94"]
    names += [b"%d.jpg" % number for number in range(40_000)]
    if end == b"\0":
        names.insert(0, b"new\nline.jpg")
    data = end.join([names[0], b"", *names[1:]]) + (end if last else b"")
    expected = [os.fsdecode(name) for name in names]
    expected[expected.index("~root")] = "./~root"
    assert list(names_in(io.BytesIO(data))) == expected


def test_a_list_is_not_read_ahead_of_its_use() -> None:
    file = io.BytesIO(b"name.jpg\n" * 100_000)
    names = names_in(file)
    next(names)
    assert file.tell() <= 1 << 16


def test_something_that_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "movie").write_bytes(b"x" * 200_000)
    with (tmp_path / "movie").open("rb") as file, pytest.raises(SourceNotFound, match="no list"):
        list(names_in(file))


def test_what_more_names_comes_once_and_what_is_missing_is_skipped(tmp_path: Path) -> None:
    for name in ("in/a.jpg", "in/odd", "out/b.jpg", "out/c.jpg"):
        touch(tmp_path / name)
    archive = zipped(tmp_path / "z.zip", {"d.jpg": b"x", "e.jpg": b"y"})
    more = below(tmp_path, "in/a.jpg", "in/odd", "none.jpg", "out/c.jpg", "out", "out", "in",
                 "z.zip!/e.jpg", "z.zip", "z.zip!/f.jpg")  # fmt: skip
    items = list(Scan([tmp_path / "in"], more=iter([*more, "ftp://host/g.jpg"])))
    assert paths(iter(items)) == [
        *below(tmp_path, "in/a.jpg", "in/odd", "out/c.jpg", "out/b.jpg"),
        *(f"{archive}!/{name}" for name in ("e.jpg", "d.jpg")),
    ]
    skipped = {item.path: item.reason for item in items if isinstance(item, Skipped)}
    assert skipped.pop(f"{tmp_path}/none.jpg") == "it does not exist"
    assert skipped.pop(f"{archive}!/f.jpg") == "there is no such file in the archive"
    assert skipped.pop("ftp://host/g.jpg").startswith("it is none of what can be read")
    assert skipped == {}


def test_lists_on_stdin_and_in_files_are_indexed_beside_paths(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    birds = sorted((photos / "birds").iterdir())
    strange = photos / "birds" / "new\nline '\"\\ 100% 🦔.jpg"
    birds[0].rename(strange)
    nul = tmp_path / "nul"
    nul.write_bytes(b"\0".join(os.fsencode(path) for path in [strange, birds[1], photos / "no"]))
    first = cli("index", "--from-file", nul, photos / "trees", "--format", "json")
    trees = len(list((photos / "trees").iterdir()))
    assert first.json["added"] == 2 + trees
    assert first.json["skipped"] == [{"path": f"{photos}/no", "reason": "it does not exist"}]
    with Index.open(tmp_path / "photos.db") as index:
        (hit,) = index.search(strange, limit=1)
    assert (hit.path, hit.score > 0.999) == (str(strange), True)
    lines = "\n".join(map(str, birds[1:4]))
    second = cli("index", "--from-file", "-", "--format", "json", stdin=lines).json
    assert (second["added"], second["unchanged"], second["removed"]) == (2, 1, 0)


def test_a_command_without_anything_to_index_is_a_wrong_one(cli: Cli, tmp_path: Path) -> None:
    assert cli("index").code == 2
    assert cli("index", "--from-file", tmp_path / "none").code == 2


def test_options_reach_the_scan(cli: Cli, photos: Path) -> None:
    (photos / "birds" / "crow.jpg").rename(photos / "birds" / "crow")
    options = ("--exclude", "flowers/", "--exclude", "trees", "--all-files", "--one-file-system")
    done = cli("index", photos, *options, "--format", "json")
    assert (done.json["added"], done.json["skipped"]) == (12, [])
    wrong = cli("index", photos, "--exclude", "!")
    assert (wrong.code, wrong.err.count("\n")) == (1, 1)
    assert "exclude is '!', but must be a pattern as in .gitignore" in wrong.err


def test_an_archive_is_kept_in_step_and_its_members_are_questions(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    birds = {path.name: path.read_bytes() for path in (photos / "birds").iterdir()}
    strange = "caf\u00e9 \"100%'\n.jpg"
    archive = zipped(tmp_path / "old.zip", {**birds, strange: birds["crow.jpg"] + b"x"})
    crow = f"{archive}!/crow.jpg"
    assert cli("index", archive).code == 0
    hits = cli("search", crow, "--format", "json", "-k", "2").json["hits"]
    assert {hit["path"] for hit in hits} == {crow, f"{archive}!/{strange}"}
    with Index.open(tmp_path / "photos.db") as index:
        again = index.add(archive)
        assert (again.unchanged, again.removed, again.skipped) == (13, 0, ())
        with pytest.raises(PictureError, match=r"none\.zip"):
            index.search(f"{tmp_path}/none.zip!/a.jpg")
        zipped(archive, {name: birds[name] for name in ("crow.jpg", "lark.jpg")})
        fewer = index.add(archive)
        assert (fewer.removed, fewer.total) == (11, 2)
        whole = archive.read_bytes()
        archive.write_bytes(whole[:5000])
        damaged = index.add(archive)
        assert (damaged.removed, damaged.total, len(damaged.skipped)) == (0, 2, 1)
        assert index.remove(archive) == 2


def test_an_archive_that_left_its_folder_takes_its_rows_along(photos: Path, tmp_path: Path) -> None:
    birds = {path.name: path.read_bytes() for path in (photos / "birds").iterdir()}
    archive = zipped(photos / "old.zip", birds)
    with Index.open(tmp_path / "photos.db") as index:
        assert index.add(photos).added == 42
        assert index.add(photos).unchanged == 42
        archive.unlink()
        assert index.add(photos).removed == 12


def test_what_can_be_stored_is_the_same_here_and_in_the_store() -> None:
    assert PATH_BYTES == STORED_PATH_BYTES


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("s3://bucket/a/../b//c.jpg", "s3://bucket/a/../b//c.jpg"),
        ("S3://bucket/prefix/", "s3://bucket/prefix"),
        ("https://host:8080/a%20b/?page=2", "https://host:8080/a%20b/?page=2"),
        ("https://host/a.jpg#top", "https://host/a.jpg"),
        ("s3://bucket/user@home:1.jpg", "s3://bucket/user@home:1.jpg"),
        ("abfs://box@account.example/a.jpg", "abfs://box@account.example/a.jpg"),
        ("file:///tmp/a%20b.jpg", "/tmp/a b.jpg"),
        ("/tmp/x/../a.zip!/b/c.jpg", "/tmp/a.zip!/b/c.jpg"),
    ],
)
def test_addresses_are_stored_as_they_are(written: str, stored: str) -> None:
    assert absolute(written) == stored


@pytest.mark.parametrize(
    "address",
    [
        "https://me:hunter2@host/a.jpg", "http://hunter2@host/a.jpg", "s3://hunter2:k@bucket/a",
        "abfs://key:hunter2@account/a", "https://host/a.jpg?x=1&X-Amz-Signature=hunter2",
        "https://host/a.jpg?sig=hunter2", "https://me:hunter2@host/a?token=hunter2#x",
        "memory://me:hunter2@x/a", "zip://a.jpg::s3://hunter2@bucket/a.zip",
    ],
)  # fmt: skip
def test_secrets_in_addresses_are_refused_and_never_repeated(address: str) -> None:
    with pytest.raises(SourceNotFound) as caught:
        absolute(address)
    assert "hunter2" not in str(caught.value) + caught.value.path


def test_secrets_are_not_repeated_by_an_index(photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        for address in ("https://me:hunter2@host/a.jpg", "https://host/a.jpg?sig=hunter2"):
            for use in (index.add, index.remove, index.search):
                with pytest.raises(LookalikeError) as caught:
                    use(address)
                assert "hunter2" not in str(caught.value)
    assert without_secrets("x https://a:b@c/d?e=f y") == "x https://…@c/d?… y"


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a.zip!/b/c.jpg", ("/a.zip", "b/c.jpg")),
        ("/A.TAR.GZ!/b.jpg", ("/A.TAR.GZ", "b.jpg")),
        ("/a.zip!/b.tar!/c.jpg", ("/a.zip", "b.tar!/c.jpg")),
        ("/a.zip!", ("/a.zip", "")),
        ("/a.zip/b.jpg", None),
        ("/a.txt!/b.jpg", None),
        ("/wow!/b.jpg", None),
        ("s3://bucket/a.zip!/b.jpg", None),
    ],
)
def test_a_members_name_has_two_parts(path: str, parts: tuple[str, str] | None) -> None:
    assert split_member(path) == parts


def test_archives_are_known_by_their_endings() -> None:
    assert all(map(is_archive, ("a.zip", "a.CBZ", "a.tar", "a.tgz", "a.tar.bz2", "a.tar.xz")))
    assert not any(map(is_archive, ("zip", "a.zip.jpg", "a.gz", "a.zip\n", "a.7z")))
