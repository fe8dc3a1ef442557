"""What is left out of a folder: patterns of the run, and files that lie in it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from lookalike import Index
from lookalike.errors import InvalidSetting
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.records import Skipped
from tests.test_archives import zipped
from tests.test_scan import below, touch

NAMES = ("a.jpg", "b.png", "keep.jpg", "thumbs/a.jpg", "2019/a.jpg", "2019/thumbs/keep.jpg",
         "2019/raw/b.png", "2020/a.jpg", "2020/raw/a.jpg", "raw/keep.jpg", "[x].jpg")  # fmt: skip


def tree(folder: Path, **ignore: str) -> Path:
    """The files of `NAMES`, and ignore files: folder (_ for the top) -> lines."""
    for name in NAMES:
        touch(folder / name)
    for place, lines in ignore.items():
        where = folder if place == "_" else folder / place
        (where / ".lookalikeignore").write_text(lines)
    return folder


def found(folder: Path, *, options: ScanOptions | None = None) -> tuple[Scan, set[str]]:
    scan = Scan([folder], options=options or ScanOptions())
    items = list(scan)
    assert not [item for item in items if isinstance(item, Skipped)]
    return scan, {item.path.removeprefix(f"{folder}/") for item in items}


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["*.png"], {"b.png", "2019/raw/b.png"}),
        (["thumbs/"], {"thumbs/a.jpg", "2019/thumbs/keep.jpg"}),
        (["/thumbs"], {"thumbs/a.jpg"}),
        (["20*/a.jpg"], {"2019/a.jpg", "2020/a.jpg"}),
        (["**/raw"], {"2019/raw/b.png", "2020/raw/a.jpg", "raw/keep.jpg"}),
        (["*.jpg", "!keep.jpg"], {name for name in NAMES if name.endswith(("a.jpg", "].jpg"))}),
        (["raw", "!raw/keep.jpg"], {"2019/raw/b.png", "2020/raw/a.jpg", "raw/keep.jpg"}),
        (["\\[x].jpg", "# a.jpg", ""], {"[x].jpg"}),
        ([], set()),
    ],
)
def test_patterns_leave_out_what_git_would(
    tmp_path: Path, exclude: list[str], left: set[str]
) -> None:
    tree(tmp_path)
    scan, names = found(tmp_path, options=ScanOptions(exclude=tuple(exclude)))
    assert names == set(NAMES) - left
    for name in NAMES:
        assert scan.leaves_out(f"{tmp_path}/{name}") is (name in left)


@pytest.mark.skipif(not shutil.which("git"), reason="git is the judge")
@pytest.mark.parametrize("seed", range(8))
def test_nested_ignore_files_are_read_as_git_reads_its_own(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines = ["*.jpg", "!keep.jpg", "raw/", "/thumbs", "!a.jpg", "2019/*", "!2019/raw", "b.*",
             "**/thumbs", "!*.png", "20?0", "raw/*", "[a-b].jpg", "/a.jpg"]  # fmt: skip
    places = {place: "\n".join(draw.sample(lines, 3)) + "\n" for place in ("_", "2019", "raw")}
    tree(tmp_path, **places)
    exclude = tuple(draw.sample(lines, seed % 2))
    for path in tmp_path.rglob(".lookalikeignore"):
        shutil.copy(path, path.with_name(".gitignore"))
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    listing = subprocess.run(
        [*git, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore",
         *[f"--exclude={line}" for line in exclude]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    expected = set(listing.stdout.split("\0")) & set(NAMES)
    scan, names = found(tmp_path, options=ScanOptions(exclude=exclude))
    assert names == expected
    assert {name for name in NAMES if not scan.leaves_out(f"{tmp_path}/{name}")} == expected


def test_an_ignore_file_leaves_out_folders_without_listing_them(tmp_path: Path) -> None:
    scan, _ = found(tree(tmp_path, _="2019/\n"))
    assert scan.listed == {str(tmp_path), *below(tmp_path, "2020", "2020/raw", "raw", "thumbs")}


def test_what_is_itself_a_source_is_never_left_out(tmp_path: Path) -> None:
    tree(tmp_path, _="*\n")
    named = tmp_path / "2019/a.jpg"
    scan = Scan([tmp_path, named, tmp_path / "2020"])
    items = [item.path for item in scan]
    assert items == [str(named), *below(tmp_path, "2020/a.jpg", "2020/raw/a.jpg")]
    assert not any(scan.leaves_out(path) for path in items)
    assert scan.leaves_out(f"{tmp_path}/a.jpg")
    assert not scan.leaves_out("/elsewhere/a.jpg")


def test_members_of_archives_are_left_out_by_the_same_rules(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"thumbs/b.jpg": b"x", "c.jpg": b"y"})
    zipped(tmp_path / "b.zip", {"d.jpg": b"x"})
    scan, names = found(tmp_path, options=ScanOptions(exclude=("thumbs/", "b.zip")))
    assert names == {"a.zip!/c.jpg"}
    assert scan.leaves_out(f"{archive}!/thumbs/b.jpg")
    assert scan.leaves_out(f"{tmp_path}/b.zip!/d.jpg")
    assert not scan.leaves_out(f"{archive}!/c.jpg")


@pytest.mark.parametrize("pattern", ["!", "\\"])
def test_what_is_no_pattern_is_refused_before_anything_is_done(
    tmp_path: Path, pattern: str
) -> None:
    with pytest.raises(InvalidSetting, match=r"exclude is .*a pattern as in \.gitignore"):
        Scan([tmp_path], options=ScanOptions(exclude=("*.jpg", pattern)))


@pytest.mark.parametrize("content", [b"!\n", None])
def test_an_ignore_file_that_cannot_be_used_costs_its_folder_and_no_row(
    tmp_path: Path, content: bytes | None
) -> None:
    tree(tmp_path)
    bad = tmp_path / "2019" / ".lookalikeignore"
    bad.write_bytes(content) if content else bad.mkdir()
    scan = Scan([tmp_path])
    items = list(scan)
    (skipped,) = [item for item in items if isinstance(item, Skipped)]
    assert skipped.path == str(bad)
    assert "so this folder is left out as it is" in skipped.reason
    assert f"{tmp_path}/2019" not in scan.listed
    assert len(items) == 1 + sum(not name.startswith("2019") for name in NAMES)
    assert not scan.leaves_out(f"{tmp_path}/2019/a.jpg")


def test_names_that_are_no_utf8_and_windows_line_ends_are_understood(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    try:
        touch(tmp_path / odd)
    except OSError:
        pytest.skip("this file system refuses such names")
    touch(tmp_path / "a.jpg"), touch(tmp_path / "b.jpg")
    (tmp_path / ".lookalikeignore").write_bytes(b"caf\xe9.jpg\r\nb.jpg\r\n")
    assert found(tmp_path)[1] == {"a.jpg"}


def test_with_all_files_every_regular_file_is_handed_on(tmp_path: Path) -> None:
    for name in ("a.jpg", "b", "c.txt", ".hidden", "d/e.MOV"):
        touch(tmp_path / name)
    zipped(tmp_path / "z.zip", {"f": b"x", ".g": b"y"})
    assert found(tmp_path)[1] == {"a.jpg"}
    options = ScanOptions(all_files=True, exclude=("c.*",))
    assert found(tmp_path, options=options)[1] == {"a.jpg", "b", "d/e.MOV", "z.zip!/f"}


def test_other_file_systems_are_left_out_where_asked(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    touch(tmp_path / "a.jpg")
    other = memory / f"lookalike-{os.getpid()}"
    touch(other / "b.jpg")
    (tmp_path / "other").symlink_to(other)
    try:
        assert found(tmp_path)[1] == {"a.jpg", "other/b.jpg"}
        scan, names = found(tmp_path, options=ScanOptions(one_file_system=True))
        assert names == {"a.jpg"}
        assert f"{tmp_path}/other" not in scan.listed
        assert scan.exists(f"{tmp_path}/other")
    finally:
        shutil.rmtree(other)


def test_rows_of_what_is_now_left_out_are_removed_and_come_back(
    photos: Path, tmp_path: Path
) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        assert index.add(photos).added == 30
        fewer = index.add(photos, exclude=["birds/"])
        assert (fewer.added, fewer.removed, fewer.total) == (0, 12, 18)
        (photos / ".lookalikeignore").write_text("flowers\n")
        other = index.add(photos)
        assert (other.added, other.total) == (12, 12 + fewer.total - other.removed)
        (photos / ".lookalikeignore").write_text("*\n")
        assert index.add(photos).total == 0
        (photos / ".lookalikeignore").unlink()
        assert index.add(photos).total == 30
