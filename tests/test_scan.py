"""Folders become a stream of files: each once, in order, whatever lies in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import SourceNotFound
from lookalike.ingest.scan import Scan
from lookalike.records import ImageFile, Skipped, Stamp


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def scanned(*sources: Path) -> tuple[list[str], dict[str, str]]:
    """The paths found, in order, and path -> reason of what was skipped."""
    items = list(Scan(sources))
    found = [item.path for item in items if isinstance(item, ImageFile)]
    skipped = [item for item in items if isinstance(item, Skipped)]
    assert len(skipped) == len({item.path for item in skipped})
    return found, {item.path: item.reason for item in skipped}


def below(folder: Path, *names: str) -> list[str]:
    return [f"{folder.as_posix()}/{name}" for name in names]


def test_files_come_before_subfolders_and_both_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "a/2.jpg", "a/c/3.png", "a/1.jpg", "z.jpg", "B.JPG", "a.txt", "b/n"):
        touch(tmp_path / name)
    expected = below(tmp_path, "B.JPG", "z.jpg", "a/1.jpg", "a/2.jpg", "a/c/3.png", "b/1.jpg")
    assert scanned(tmp_path) == (expected, {})


def test_sources_are_walked_in_the_order_of_their_names_and_single_files_first(
    tmp_path: Path,
) -> None:
    one, two = touch(tmp_path / "one/1.jpg"), touch(tmp_path / "two/2.jpg")
    single = touch(tmp_path / "zz/3.jpg")
    found, _ = scanned(two.parent, single, one.parent)
    assert found == [str(single), str(one), str(two)]


def test_every_file_has_its_size_and_its_time_to_the_nanosecond(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.jpg")
    path.write_bytes(b"12345")
    os.utime(path, ns=(7, 1_600_000_000_123_456_000))
    assert list(Scan([tmp_path])) == [ImageFile(str(path), Stamp(5, 1_600_000_000_123_456_000))]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    for name in (".a.jpg", ".thumbnails/b.jpg", "c.jpg", "d/.e/f.jpg"):
        touch(tmp_path / name)
    assert scanned(tmp_path) == (below(tmp_path, "c.jpg"), {})


def test_a_file_named_explicitly_is_taken_whatever_its_name(tmp_path: Path) -> None:
    paths = [touch(tmp_path / name) for name in (".hidden.jpg", "a.jpg", "photo.of-it", "plain")]
    assert scanned(*paths) == ([str(path) for path in paths], {})


def test_a_file_named_explicitly_beside_its_folder_is_taken_whatever_its_name(
    tmp_path: Path,
) -> None:
    odd = touch(tmp_path / "photo.of-it")
    assert scanned(tmp_path, odd) == ([str(odd)], {})


def test_a_hidden_folder_named_explicitly_beside_its_parent_is_walked(tmp_path: Path) -> None:
    path = touch(tmp_path / ".hidden/a.jpg")
    assert scanned(tmp_path, path.parent) == ([str(path)], {})


def test_a_folder_given_twice_or_within_another_is_walked_once(tmp_path: Path) -> None:
    for name in ("p/a.jpg", "p/q/b.jpg", "p2/c.jpg", "p/d"):
        touch(tmp_path / name)
    sources = [tmp_path / name for name in ("p/q", "p", "p/", "p/../p", "p2", "p/a.jpg")]
    found, _ = scanned(*sources)
    assert found == below(tmp_path, "p/a.jpg", "p/q/b.jpg", "p2/c.jpg")


def test_relative_sources_become_absolute_with_their_links_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "real/a.jpg")
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in ("link", "./link/", "~/link", "real/../link"):
        assert scanned(Path(source))[0] == below(tmp_path, "link/a.jpg")


def test_a_missing_source_is_an_error_before_anything_is_walked(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SourceNotFound, match=r"missing does not exist\.") as caught:
        Scan([tmp_path, missing])
    assert caught.value.path == str(missing)


def test_links_that_lead_back_end_and_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a/b/x.jpg")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/b/self").symlink_to(".")
    found, skipped = scanned(tmp_path)
    assert found == below(tmp_path, "a/b/x.jpg")
    assert list(skipped) == below(tmp_path, "a/b/self", "a/b/up")
    assert f"links back to {tmp_path}/a," in skipped[f"{tmp_path}/a/b/up"]


def test_folders_that_link_to_each_other_are_walked_once(tmp_path: Path) -> None:
    touch(tmp_path / "a/1.jpg"), touch(tmp_path / "b/2.jpg")
    (tmp_path / "a/to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b/to_a").symlink_to(tmp_path / "a")
    assert scanned(tmp_path) == (below(tmp_path, "a/1.jpg", "b/2.jpg"), {})
    assert scanned(tmp_path / "a")[0] == below(tmp_path / "a", "1.jpg", "to_b/2.jpg")


def test_a_link_to_a_folder_outside_is_followed_once_and_after_the_rest(tmp_path: Path) -> None:
    touch(tmp_path / "outside/x.jpg"), touch(tmp_path / "in/z/y.jpg")
    for name in ("first", "second"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "outside")
    (tmp_path / "in/file.jpg").symlink_to(tmp_path / "outside/x.jpg")
    found, skipped = scanned(tmp_path / "in")
    assert found == below(tmp_path / "in", "file.jpg", "z/y.jpg", "first/x.jpg")
    assert skipped == {}


@pytest.mark.parametrize("name", ["broken.jpg", "broken"])
@pytest.mark.parametrize("target", ["nowhere", "{name}", "a.jpg/inside"])
def test_broken_links_do_not_end_the_scan(tmp_path: Path, name: str, target: str) -> None:
    path = touch(tmp_path / "a.jpg")
    (tmp_path / name).symlink_to(target.format(name=name))
    found, skipped = scanned(tmp_path)
    assert found == [str(path)]
    assert list(skipped) == (below(tmp_path, name) if name.endswith(".jpg") else [])


def test_what_is_no_regular_file_is_skipped_aloud(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    touch(tmp_path / "folder.jpg/a.jpg")
    found, skipped = scanned(tmp_path)
    assert found == below(tmp_path, "folder.jpg/a.jpg")
    assert skipped == {f"{tmp_path}/pipe.jpg": "it is not a regular file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_listed_is_skipped_aloud(tmp_path: Path) -> None:
    path = touch(tmp_path / "open/a.jpg")
    closed = touch(tmp_path / "closed/b.jpg").parent
    closed.chmod(0)
    try:
        scan = Scan([tmp_path])
        items = list(scan)
    finally:
        closed.chmod(0o700)
    assert [item.path for item in items] == [str(closed), str(path)]
    assert "it cannot be listed" in str(items[0])
    assert scan.listed == {str(tmp_path), str(path.parent)}


@pytest.mark.parametrize(
    "name",
    [
        "new\nline",
        'it\'s "quoted"',
        "100% \\ {of} $HOME *",
        "🦔 Ünïcode",
        " ",
        "x" * 251,
        "a\u2028",
    ],
)
def test_strange_names_are_ordinary_names(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / "folder" / f"{name}.jpg")
    inner = touch(tmp_path / "folder" / name / "a.jpg")
    assert scanned(tmp_path) == ([str(path), str(inner)], {})
    assert len(os.fsencode(path.name)) <= 255


def test_names_that_are_not_utf_8_are_skipped_with_a_printable_path(tmp_path: Path) -> None:
    good = touch(tmp_path / "good.jpg")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"x")
        touch(Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff/a.jpg")))
    except OSError:
        pytest.skip("this file system refuses such names")
    found, skipped = scanned(tmp_path)
    assert found == [str(good)]
    assert {path.removeprefix(f"{tmp_path}/") for path in skipped} == {
        "caf\\udce9.jpg",
        "d\\udcff",
    }
    assert set(skipped.values()) == {"its name is not valid UTF-8"}


def test_afterwards_it_is_known_which_folders_were_listed_and_which_sources_hold_pictures(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "full/sub/a.jpg"), touch(tmp_path / "hidden/.b.jpg")
    for name in ("empty", "full/empty_too"):
        (tmp_path / name).mkdir()
    scan = Scan([tmp_path / name for name in ("empty", "full", "hidden")])
    assert scan.folders == below(tmp_path, "empty", "full", "hidden")
    assert not scan.listed
    list(scan)
    assert scan.listed == set(
        below(tmp_path, "empty", "full", "full/sub", "full/empty_too", "hidden")
    )
    assert scan.fruitful == set(below(tmp_path, "full"))
