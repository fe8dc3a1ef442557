"""Duplicates are moved, linked and deleted, never the last copy, and all of it can be undone."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from lookalike import (
    Disposal,
    DisposalReport,
    Index,
    InvalidSetting,
    UndoFileUnusable,
    load_embedder,
)
from lookalike.embed.embedder import Embedder
from lookalike.ingest import file_moves
from lookalike.ingest.undo import Entry, UndoFile

CROW = "crow.jpg"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with a trash of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    (tmp_path / "home").mkdir()
    # It reads the variable when it is imported.
    other = pytest.importorskip("send2trash.plat_other")
    trash = os.fsencode(tmp_path / "home" / "data")
    monkeypatch.setattr(other, "XDG_DATA_HOME", trash)
    monkeypatch.setattr(other, "HOMETRASH_B", trash + b"/Trash")
    return tmp_path / "home"


@pytest.fixture
def pictures(tmp_path: Path, samples: Path) -> Path:
    """Three copies of one picture, of which one is smaller, and another picture."""
    folder = tmp_path / "pictures"
    (folder / "a" / "deep").mkdir(parents=True)
    shutil.copyfile(samples / "birds" / CROW, folder / CROW)
    shutil.copyfile(samples / "birds" / CROW, folder / "a" / "copy.jpg")
    with Image.open(samples / "birds" / CROW) as image:
        image.resize((image.width // 2, image.height // 2)).save(folder / "a/deep/small.jpg")
    shutil.copyfile(samples / "deer" / "chamois.jpg", folder / "other.jpg")
    os.utime(folder / CROW, ns=(1_600_000_000_000_000_001,) * 2)
    os.utime(folder / "a" / "copy.jpg", ns=(1_700_000_000_123_456_789,) * 2)
    (folder / "a" / "copy.jpg").chmod(0o640)
    return folder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """One for all tests: starting it takes most of their time."""
    return load_embedder()


@pytest.fixture
def index(tmp_path: Path, pictures: Path, home: Path, embedder: Embedder) -> Iterator[Index]:
    with Index.open(tmp_path / "photos.db", model=embedder) as opened:
        fields = {str(pictures / "a" / "copy.jpg"): {"label": "crow"}}
        opened.add(pictures, metadata=fields)
        yield opened


def paths_in(index: Index) -> set[str]:
    return {path for page in index._store.paths_under(None) for _, path in page}


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """All files, with their bytes, times and modes."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def why(report_of: tuple[Disposal, ...]) -> list[str]:
    return [each.refused for each in report_of]


def test_a_dry_run_changes_nothing(index: Index, pictures: Path, tmp_path: Path) -> None:
    before, rows = tree(tmp_path / "pictures"), paths_in(index)
    report = index.dispose(index.duplicates(), "move", to=tmp_path / "away", within=[pictures])
    assert [(Path(each.path).name, each.target, each.refused) for each in report.done] == [
        ("copy.jpg", f"{tmp_path}/away/a/copy.jpg", ""),
        ("small.jpg", f"{tmp_path}/away/a/deep/small.jpg", ""),
    ]
    assert report.undo_file is None
    assert (tree(pictures), paths_in(index)) == (before, rows)
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize("action", ["move", "trash"])
def test_what_was_moved_or_deleted_is_out_of_the_index_and_comes_back_as_it_was(
    index: Index, pictures: Path, tmp_path: Path, home: Path, action: str
) -> None:
    before, rows = tree(pictures), paths_in(index)
    to = tmp_path / "away" if action == "move" else None
    report = index.dispose(index.duplicates(), action, to=to, within=[pictures], dry_run=False)
    assert (len(report.done), report.refused) == (2, ())
    left = {f"{pictures}/{CROW}", f"{pictures}/other.jpg"}
    assert paths_in(index) == {str(path) for path in pictures.rglob("*.jpg")} == left
    assert index.duplicates() == []
    for each in report.done:
        assert Path(each.target).read_bytes() == before[each.path[len(f"{pictures}/") :]][0]
    assert report.undo_file is not None
    assert Path(report.undo_file).is_relative_to(home)
    undone = index.undo(report.undo_file)
    assert (len(undone.done), undone.refused) == (2, ())
    assert (tree(pictures), paths_in(index)) == (before, rows)
    assert not [path for path in (home / "data").rglob("Trash/*/*") if path.is_file()]
    found = {hit.path: hit.metadata for hit in index.search(pictures / CROW, limit=3)}
    assert found[f"{pictures}/a/copy.jpg"] == {"label": "crow"}
    # Twice does no harm.
    assert why(index.undo(report.undo_file).refused) != []
    assert tree(pictures) == before


def test_exact_duplicates_become_hard_links_and_files_of_their_own_again(
    index: Index, pictures: Path
) -> None:
    before = tree(pictures)
    report = index.dispose(index.duplicates(), "hardlink", within=[pictures], dry_run=False)
    assert [each.path for each in report.done] == [f"{pictures}/a/copy.jpg"]
    assert why(report.refused) == ["it has other bytes than the one that is kept"]
    assert (pictures / "a" / "copy.jpg").samefile(pictures / CROW)
    assert index.add(pictures).unchanged == 4
    again = index.dispose(index.duplicates(), "hardlink", within=[pictures], dry_run=False)
    assert "it is the same file as the one that is kept, under another name" in why(again.refused)
    for action in ("trash", "move"):
        to = pictures / "x" if action == "move" else None
        same = index.dispose(
            index.duplicates(level="exact"), action, to=to, within=[pictures], dry_run=False
        )
        assert same.done == ()
    assert report.undo_file is not None
    assert len(index.undo(report.undo_file).done) == 1
    assert not (pictures / "a" / "copy.jpg").samefile(pictures / CROW)
    assert tree(pictures) == before
    assert index.add(pictures).unchanged == 4


def test_nothing_is_overwritten(index: Index, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "away" / "a").mkdir(parents=True)
    (tmp_path / "away" / "a" / "copy.jpg").write_bytes(b"mine")
    report = index.dispose(
        index.duplicates(level="exact"), "move", to=tmp_path / "away", within=[pictures],
        dry_run=False, undo_file=tmp_path / "undo.jsonl",
    )  # fmt: skip
    assert [each.target for each in report.done] == [f"{tmp_path}/away/a/copy (2).jpg"]
    assert (tmp_path / "away" / "a" / "copy.jpg").read_bytes() == b"mine"
    (pictures / "a" / "copy.jpg").write_bytes(b"new")
    undone = index.undo(tmp_path / "undo.jsonl")
    assert why(undone.refused) == ["there is something at its place"]
    assert (pictures / "a" / "copy.jpg").read_bytes() == b"new"
    assert (tmp_path / "away" / "a" / "copy (2).jpg").exists()
    with pytest.raises(UndoFileUnusable, match="nothing is done without it"):
        index.dispose(
            index.duplicates(), "trash", within=[pictures], dry_run=False,
            undo_file=tmp_path / "undo.jsonl",
        )  # fmt: skip
    assert (pictures / "a" / "deep" / "small.jpg").exists()


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: (p / CROW).unlink(), "is not there any more"),
        (lambda p: (p / CROW).write_bytes(b"x"), "has been changed; index it again"),
        (lambda p: (p / "a/copy.jpg").write_bytes(b"x"), "it has been changed; index it again"),
        (lambda p: (p / "a/copy.jpg").unlink(), "it is not there any more"),
        (lambda p: _link(p / CROW, p / "a/copy.jpg"), "is a link"),
        (lambda p: _link(p / "a/copy.jpg", p / CROW), "it is a link"),
        (lambda p: _hardlink(p / "a/copy.jpg", p / CROW), "it is the same file as the one"),
        (lambda p: _make_folder(p / "a/copy.jpg"), "it is not a regular file"),
        (lambda p: _make_pipe(p / CROW), "is not a regular file"),
    ],
)
def test_the_last_copy_and_what_has_changed_are_left_alone(
    index: Index, pictures: Path, change: Change, reason: str
) -> None:
    groups = index.duplicates(level="exact")
    assert [group.keep.path for group in groups] == [f"{pictures}/{CROW}"]
    change(pictures)
    report = index.dispose(groups, "trash", within=[pictures], dry_run=False)
    assert report.done == ()
    assert report.undo_file is None
    assert reason in why(report.refused)[0]
    assert f"{pictures}/a/copy.jpg" in paths_in(index)


def _link(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to)


def _hardlink(path: Path, to: Path) -> None:
    path.unlink()
    path.hardlink_to(to)


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_link_is_not_followed_out_of_the_folder(
    index: Index, pictures: Path, tmp_path: Path, samples: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copyfile(samples / "birds" / CROW, outside / "linked.jpg")
    (pictures / "link").symlink_to(outside)
    index.add(pictures)
    for within in ([pictures], []):
        report = index.dispose(
            index.duplicates(level="exact"), "trash", within=within, dry_run=False
        )
        refused = {each.path: each.refused for each in report.refused}
        assert refused == {
            f"{pictures}/link/linked.jpg": "a link leads to it; name the folder that it really "
            "lies in"
        }
    assert (outside / "linked.jpg").exists()


def test_what_lies_outside_the_named_folders_is_left_alone(index: Index, pictures: Path) -> None:
    groups = index.duplicates(level="exact")
    for dry_run in (True, False):
        report = index.dispose(groups, "trash", within=[pictures / "a/deep"], dry_run=dry_run)
        assert why(report.disposals) == ["it lies outside the folders that were named"]
    assert (pictures / "a" / "copy.jpg").exists()


@pytest.mark.parametrize(
    ("keep", "reason"), [("oldest", "it lies in "), ("newest", "what would be kept, ")]
)
def test_a_pair_of_which_one_lies_where_files_are_moved_to_is_left_alone(
    index: Index, pictures: Path, tmp_path: Path, keep: str, reason: str
) -> None:
    (tmp_path / "link").symlink_to(pictures / "a")
    groups = index.duplicates(level="exact", keep=keep)
    for to in (pictures / "a", tmp_path / "link"):
        report = index.dispose(groups, "move", to=to, within=[pictures], dry_run=False)
        assert report.done == ()
        assert why(report.refused)[0].startswith(reason)
    assert (pictures / "a" / "copy.jpg").exists()
    assert (pictures / CROW).exists()


def test_a_folder_that_is_itself_a_link_must_be_named(
    tmp_path: Path, pictures: Path, home: Path
) -> None:
    (tmp_path / "album").symlink_to(pictures)
    with Index.open(tmp_path / "album.db") as index:
        index.add(tmp_path / "album")
        groups = index.duplicates(level="exact")
        assert index.dispose(groups, "trash").done == ()
        assert len(index.dispose(groups, "trash", within=[tmp_path / "album"]).done) == 1


def test_members_of_archives_are_neither_deleted_nor_counted_as_copies(
    index: Index, pictures: Path
) -> None:
    with zipfile.ZipFile(pictures / "z.zip", "w") as archive:
        archive.write(pictures / "other.jpg", "other.jpg")
    index.add(pictures)
    for keep in ("shortest-path", "newest"):
        groups = [group for group in index.duplicates(keep=keep) if "other" in group.keep.path]
        assert len(groups) == 1
        report = index.dispose(groups, "trash", within=[pictures], dry_run=False)
        assert report.done == ()
        assert "lies in an archive" in why(report.refused)[0]


def test_pictures_of_the_folder_compared_against_stay(index: Index, pictures: Path) -> None:
    groups = index.duplicates(pictures, against=pictures / "a")
    report = index.dispose(groups, "trash", within=[pictures], dry_run=False)
    assert [each.path for each in report.done] == [f"{pictures}/{CROW}"]
    assert (pictures / "a" / "copy.jpg").exists()
    assert (pictures / "a" / "deep" / "small.jpg").exists()


def test_a_kill_between_two_steps_of_a_move_can_be_undone(
    index: Index, pictures: Path, tmp_path: Path
) -> None:
    before = tree(pictures)
    written = tmp_path / "undo.jsonl"
    groups = index.duplicates(level="exact")
    index.dispose(
        groups, "move", to=tmp_path / "away", within=[pictures], dry_run=False, undo_file=written
    )
    moved = tmp_path / "away" / "a" / "copy.jpg"
    (pictures / "a" / "copy.jpg").hardlink_to(moved)
    with written.open("a") as file:
        file.write('{"action": "mo')
    assert why(index.undo(written).disposals) == [""]
    assert not moved.exists()
    assert tree(pictures) == before


def test_undoing_does_not_delete_a_file_that_has_two_paths_and_one_name(
    index: Index, pictures: Path, tmp_path: Path
) -> None:
    written = tmp_path / "undo.jsonl"
    index.dispose(
        index.duplicates(level="exact"), "move", to=tmp_path / "away", within=[pictures],
        dry_run=False, undo_file=written,
    )  # fmt: skip
    entry = json.loads(written.read_text())
    (pictures / "a" / "copy.jpg").hardlink_to(entry["target"])
    (tmp_path / "link").symlink_to(pictures)
    for target in (f"{tmp_path}/link/a/copy.jpg", entry["path"]):
        written.write_text(json.dumps({**entry, "target": target}) + "\n")
        assert why(index.undo(written).refused) == ["it is in its place already"]
        assert (pictures / "a" / "copy.jpg").exists()
    Path(entry["target"]).unlink()
    assert why(index.undo(written).refused) == ["it is in its place already"]
    assert (pictures / "a" / "copy.jpg").exists()


def test_files_move_to_another_disk_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "there" / "a.jpg"
    source.write_bytes(b"picture" * 1000)
    os.utime(source, ns=(5_000_000_007,) * 2)
    content = file_moves.look_at(str(source)).content

    def no_links(*args: object, **options: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", no_links)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copystat", lambda *args: target.write_bytes(b"half"))
        with pytest.raises(OSError, match="was changed while"):
            file_moves.move(str(source), str(target), content=content)
    assert (source.exists(), target.exists()) == (True, False)
    file_moves.move(str(source), str(target), content=content)
    assert (source.exists(), target.read_bytes()) == (False, b"picture" * 1000)
    assert target.stat().st_mtime_ns == 5_000_000_007
    source.write_bytes(b"another")
    with pytest.raises(FileExistsError):
        file_moves.move(str(source), str(target), content=content)
    assert source.read_bytes() == b"another"


@pytest.mark.parametrize(
    ("action", "changed"),
    [
        ("hardlink", CROW),
        ("hardlink", "a/copy.jpg"),
        ("move", "a/copy.jpg"),
        ("trash", "a/copy.jpg"),
    ],
)
@pytest.mark.parametrize("by", ["rename", "write"])
def test_what_changes_at_the_last_moment_stays_as_it_is(
    index: Index, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    action: str, changed: str, by: str,
) -> None:  # fmt: skip
    """After both were read and the undo file was written, one of the two gets other bytes."""
    write = UndoFile.write

    def write_and_change(undo_file: UndoFile, entry: Entry) -> None:
        write(undo_file, entry)
        if by == "write":
            (pictures / changed).write_bytes(b"new")
        else:
            (tmp_path / "new").write_bytes(b"new")
            (tmp_path / "new").replace(pictures / changed)

    monkeypatch.setattr(UndoFile, "write", write_and_change)
    groups = index.duplicates(level="exact")
    to = tmp_path / "away" if action == "move" else None
    report = index.dispose(groups, action, to=to, within=[pictures], dry_run=False)
    assert why(report.disposals) == [f"{pictures}/{changed} was changed meanwhile; index it again"]
    assert (pictures / changed).read_bytes() == b"new"
    assert not (pictures / "a/copy.jpg").samefile(pictures / CROW)
    assert f"{pictures}/a/copy.jpg" in paths_in(index)
    assert not list(tmp_path.rglob("away/**/*.jpg"))


def test_a_free_name_has_a_number_before_its_ending(tmp_path: Path) -> None:
    for name, expected in (("a.b.jpg", "a.b (3).jpg"), ("plain", "plain (3)"), (".x", ".x (3)")):
        path = tmp_path / name
        path.write_bytes(b"")
        (tmp_path / expected.replace("3", "2")).write_bytes(b"")
        assert file_moves.free_name(str(path)) == str(tmp_path / expected)
    assert file_moves.free_name(str(tmp_path / "new.jpg")) == str(tmp_path / "new.jpg")


def test_a_preview_names_each_target_once(index: Index, pictures: Path, tmp_path: Path) -> None:
    shutil.copyfile(pictures / CROW, pictures / "a" / "again.jpg")
    (pictures / "b").mkdir()
    shutil.copyfile(pictures / CROW, pictures / "b" / "copy.jpg")
    index.add(pictures)
    within = [pictures / "a", pictures / "b", pictures]
    groups, to = index.duplicates(keep="shortest-path"), tmp_path / "away"
    planned = index.dispose(groups, "move", to=to, within=within)
    targets = [each.target for each in planned.done]
    assert f"{to}/copy.jpg" in targets
    assert f"{to}/copy (2).jpg" in targets
    done = index.dispose(groups, "move", to=to, within=within, dry_run=False)
    assert [each.target for each in done.done] == targets


def test_what_is_in_the_trash_is_found_without_listing_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file_moves.look_at
    files = home / "data" / "Trash" / "files"

    def refuse(folder: object) -> None:
        raise AssertionError(folder)

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refuse)
        for number in range(3):
            picture = tmp_path / "a.b.jpg"
            picture.write_bytes(b"%d" % number)
            there = file_moves.to_trash(str(picture), content=content(str(picture)).content)
            assert there == str(files / ("a.b.jpg" if not number else f"a.b {number}.jpg"))
            assert Path(there).read_bytes() == b"%d" % number
    # Others have named it otherwise.
    picture.write_bytes(b"x")
    picture.rename(files / "other")
    status = (files / "other").stat()
    assert list(file_moves._in_trash(str(picture), status)) == [str(files / "other")]


def test_of_two_links_with_one_name_the_trash_has_each_where_its_note_says(
    home: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"
    for link in (first, second):
        link.parent.mkdir()
    first.write_bytes(b"one file")
    second.hardlink_to(first)
    content = file_moves.look_at(str(first)).content
    files = home / "data" / "Trash" / "files"
    assert file_moves.to_trash(str(first), content=content) == str(files / "x.jpg")
    assert file_moves.to_trash(str(second), content=content) == str(files / "x 1.jpg")


def test_wrong_arguments_and_undo_files_are_refused(index: Index, tmp_path: Path) -> None:
    for action, to in (("burn", None), ("move", None), ("trash", tmp_path)):
        with pytest.raises(InvalidSetting):
            index.dispose([], action, to=to)
    with pytest.raises(UndoFileUnusable, match="cannot be read"):
        index.undo(tmp_path / "none.jsonl")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    with pytest.raises(UndoFileUnusable, match="see its line 1"):
        index.undo(tmp_path / "other.jsonl")
    good = {
        "action": "move", "path": "/a", "keep": "/b", "content": "c", "mtime_ns": 1, "mode": 1,
    }  # fmt: skip
    wrong: list[dict[str, object]] = [
        {"action": "burn"}, {"path": 1}, {"mtime_ns": "1"}, {"metadata": []},
    ]  # fmt: skip
    for bad in wrong:
        lines = [json.dumps(each) for each in (good, {**good, **bad}, good)]
        (tmp_path / "other.jsonl").write_text("\n".join(lines))
        with pytest.raises(UndoFileUnusable, match="see its line 2"):
            index.undo(tmp_path / "other.jsonl")
    assert index.dispose([], "trash", dry_run=False).disposals == ()


def test_the_undo_file_is_plain_json(index: Index, pictures: Path, tmp_path: Path) -> None:
    written = tmp_path / "undo.jsonl"
    index.dispose(
        index.duplicates(level="exact"), "move", to=tmp_path / "away", within=[pictures],
        dry_run=False, undo_file=written,
    )  # fmt: skip
    (line,) = written.read_text().splitlines()
    entry = json.loads(line)
    assert entry["path"] == f"{pictures}/a/copy.jpg"
    assert entry["target"] == f"{tmp_path}/away/a/copy.jpg"
    assert entry["metadata"] == {"label": "crow"}


def test_the_program_in_the_documents_runs(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    text = (Path(__file__).parents[1] / "docs" / "duplicates.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    index.close()
    (tmp_path / "pictures").rename(tmp_path / "Pictures")
    with Index.open(tmp_path / "photos.db") as opened:
        opened.relocate(tmp_path / "pictures", tmp_path / "Pictures")
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    exec(program, variables)  # the documents' own
    assert f"{tmp_path}/Pictures/{CROW} [('exact', " in capsys.readouterr().out
    report = variables["report"]
    assert isinstance(report, DisposalReport)
    assert len(report.done) == 2
