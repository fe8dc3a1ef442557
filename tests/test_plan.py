"""What has to be embedded and what is gone, from lists alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lookalike.ingest.plan import Task, changes, is_gone, with_metadata
from lookalike.records import ImageFile, Stamp, row_id

OLD, NEW = Stamp(10, 1_000), Stamp(10, 1_001)


def test_new_and_changed_files_are_done_in_the_order_they_were_found() -> None:
    files = [ImageFile(f"/p/{name}.jpg", OLD) for name in ("d", "b", "same", "a", "c")]
    stored = {
        row_id("/p/b.jpg"): NEW,
        row_id("/p/a.jpg"): Stamp(11, 1_000),
        row_id("/p/same.jpg"): OLD,
    }
    asked: list[str] = []

    def stamps(ids: Sequence[str]) -> dict[str, Stamp]:
        asked.extend(ids)
        return stored

    assert changes(files, stamps) == [
        Task(files[0], known=False),
        Task(files[1], known=True),
        Task(files[3], known=True),
        Task(files[4], known=False),
    ]
    assert asked == [row_id(file.path) for file in files]


def test_nothing_found_means_nothing_to_do() -> None:
    assert changes([], lambda ids: {}) == []


def test_given_fields_replace_stored_ones_and_only_missing_ones_are_asked_for() -> None:
    files = {name: ImageFile(f"/p/{name}.jpg", OLD) for name in ("new", "kept", "given", "bare")}
    tasks = [Task(file, known=name != "new") for name, file in files.items()]
    asked: list[str] = []

    def stored(ids: Sequence[str]) -> dict[str, dict[str, str]]:
        asked.extend(ids)
        return {row_id("/p/kept.jpg"): {"old": "1"}}

    assert with_metadata(tasks, {"/p/given.jpg": {"new": "2"}}, stored) == [
        Task(files["new"], known=False),
        Task(files["kept"], known=True, metadata={"old": "1"}),
        Task(files["given"], known=True, metadata={"new": "2"}),
        Task(files["bare"], known=True),
    ]
    assert asked == [row_id("/p/kept.jpg"), row_id("/p/bare.jpg")]


def test_ids_are_hex_of_128_bits_and_differ_between_paths() -> None:
    paths = ["/a", "/a/", "/A", "/ä", "/a\n", '/"', "/\\"]
    ids = {row_id(path) for path in paths}
    assert len(ids) == len(paths)
    assert all(len(key) == 32 and int(key, 16) < 1 << 128 for key in ids)
    assert row_id("/a") == "58213ce1d571d32b15ae8554b4e0a4dd"  # printf /a | b2sum -l 128


@pytest.mark.parametrize(
    ("listed", "on_disk", "gone"),
    [
        pytest.param({"/p", "/p/q"}, {"/p", "/p/q"}, True, id="its own folder lacks it"),
        pytest.param({"/p", "/p/q"}, {"/p/q/a.jpg"}, False, id="its own folder has it"),
        pytest.param({"/p"}, {"/p"}, True, id="the folder was deleted with it"),
        pytest.param({"/p"}, {"/p/q"}, False, id="the folder is there but was not listed"),
        pytest.param({"/other"}, set(), False, id="no folder above was listed"),
        pytest.param(set(), set(), False, id="nothing was listed"),
        pytest.param({"/p/q2", "/p/"}, set(), False, id="only folders with similar names"),
        pytest.param({"/"}, {"/"}, True, id="the root was listed and lacks all of it"),
        pytest.param({"/"}, {"/p"}, False, id="the root was listed and has its first folder"),
        pytest.param({"/p/q/a.jpg"}, set(), False, id="it was itself a folder once"),
    ],
)
def test_a_picture_is_gone_only_where_a_listed_folder_can_tell(
    listed: set[str], on_disk: set[str], gone: bool
) -> None:
    assert is_gone("/p/q/a.jpg", listed=listed, repeated=(), exists=on_disk.__contains__) is gone


def test_a_picture_right_below_the_root_can_be_gone() -> None:
    assert is_gone("/a.jpg", listed={"/"}, repeated=(), exists=lambda path: False)
    assert not is_gone("/a.jpg", listed={"/"}, repeated=(), exists=lambda path: path == "/a.jpg")


def test_the_nearest_listed_folder_decides_alone() -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return True

    assert not is_gone("/p/q/r/a.jpg", listed={"/", "/p", "/p/q"}, repeated=(), exists=exists)
    assert asked == ["/p/q/r"]
