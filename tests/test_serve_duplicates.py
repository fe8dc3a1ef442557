"""Duplicates over HTTP: listed, taken out of the index, put into the trash and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from lookalike import Index
from lookalike.records import row_id
from tests.serving import API, served


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with a trash of its own."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    other = pytest.importorskip("send2trash.plat_other")
    trash = os.fsencode(home / "data")
    monkeypatch.setattr(other, "XDG_DATA_HOME", trash)
    monkeypatch.setattr(other, "HOMETRASH_B", trash + b"/Trash")
    return home


@pytest.fixture
def pictures(tmp_path: Path, samples: Path) -> Path:
    """Two groups of duplicates: the same bytes, and smaller ones."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("crow", "duck", "lark"):
        shutil.copy(samples / "birds" / f"{name}.jpg", folder)
    shutil.copy(folder / "crow.jpg", folder / "crow-again.jpg")
    with Image.open(folder / "duck.jpg") as duck:
        duck.resize((duck.width * 2 // 3, duck.height * 2 // 3)).save(folder / "duck-small.png")
    return folder


@pytest.fixture
def index(tmp_path: Path, pictures: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "photos.db") as opened:
        opened.add(pictures)
        yield opened


def groups(client: httpx.Client, **asked: str | int) -> Any:
    return client.get(f"{API}/duplicates", params=asked).json()


def discard(client: httpx.Client, keep: str, others: list[str], *, files: bool) -> httpx.Response:
    body = {"keep": keep, "discard": others, "files": files}
    return client.post(f"{API}/duplicates/discard", json=body)


def test_groups_are_those_of_the_library_and_are_looked_for_once(
    index: Index, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look = index.duplicates

    def counted(**asked: Any) -> Any:
        looked.append(asked["level"])
        return look(**asked)

    monkeypatch.setattr(index, "duplicates", counted)
    with served(index, cache=tmp_path / "cache") as client:
        found = groups(client)
        expected = look()
        assert (found["total"], found["more"]) == (len(expected), False) == (2, False)
        for ours, theirs in zip(found["groups"], expected, strict=True):
            assert ours["keep"]["id"] == row_id(theirs.keep.path)
            assert [(each["id"], each["kind"]) for each in ours["others"]] == [
                (row_id(each.path), each.kind) for each in theirs.others
            ]
        second = groups(client, limit=1, offset=1)
        assert second["groups"] == found["groups"][1:]
        assert groups(client, limit=1)["more"]
        assert groups(client, level="exact")["total"] == 1
        assert looked == ["near", "exact"]
        index.forget([row_id((pictures / "crow-again.jpg").as_posix())])
        assert groups(client)["total"] == 1
        assert looked == ["near", "exact", "near"]
        for wrong in ({"level": "same"}, {"keep": "best"}, {"limit": 0}):
            refused = client.get(f"{API}/duplicates", params=wrong)
            assert refused.status_code == 422


def test_rows_are_taken_out_and_files_stay(index: Index, pictures: Path, tmp_path: Path) -> None:
    with served(index, cache=tmp_path / "cache") as client:
        first = groups(client)["groups"][0]
        keep, other = first["keep"]["id"], first["others"][0]["id"]
        same = discard(client, keep, [other, keep], files=False)
        assert (same.status_code, len(index)) == (409, 5)
        assert discard(client, "0" * 32, [other], files=False).status_code == 404
        done = discard(client, keep, [other, "f" * 32], files=False).json()
        reason = "there is no such picture in the index"
        refused = [{"id": "f" * 32, "reason": reason}]
        assert done == {"done": [other], "refused": refused, "undo": None}
        assert (len(index), len(list(pictures.iterdir()))) == (4, 5)


def test_files_are_not_touched_unless_that_is_allowed(
    index: Index, pictures: Path, tmp_path: Path
) -> None:
    with served(index, cache=tmp_path / "cache") as client:
        first = groups(client)["groups"][0]
        ids = [each["id"] for each in first["others"]]
        refused = discard(client, first["keep"]["id"], ids, files=True)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "trash_not_allowed")
        assert client.post(f"{API}/undo", json={"undo": "0" * 32}).status_code == 403
        assert (len(index), len(list(pictures.iterdir()))) == (5, 5)


def test_files_go_into_the_trash_and_come_back(
    index: Index, pictures: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    lark = row_id((pictures / "lark.jpg").as_posix())
    with served(index, cache=tmp_path / "cache", allow_trash=True) as client:
        first = groups(client)["groups"][0]
        keep, other = first["keep"]["id"], first["others"][0]
        for others in ([lark], [other["id"], lark]):
            no = discard(client, keep, others, files=True)
            assert (no.status_code, no.json()["error"]["code"]) == (409, "not_duplicates")
        assert len(list(pictures.iterdir())) == 5
        done = discard(client, keep, [other["id"]], files=True).json()
        assert (done["done"], done["refused"]) == ([other["id"]], [])
        assert not (pictures / other["name"]).exists()
        assert len(index) == 4
        back = client.post(f"{API}/undo", json={"undo": done["undo"]})
        assert back.json() == {"done": [other["id"]], "refused": [], "undo": None}
        assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before
        assert len(index) == 5
        again = client.post(f"{API}/undo", json={"undo": done["undo"]})
        assert (again.status_code, again.json()["error"]["code"]) == (404, "nothing_to_undo")


def test_a_file_that_has_changed_is_left_alone_and_its_path_is_not_told(
    index: Index, pictures: Path, tmp_path: Path
) -> None:
    with served(index, cache=tmp_path / "cache", allow_trash=True) as client:
        first = groups(client)["groups"][0]
        keep, other = first["keep"], first["others"][0]
        shutil.copy(pictures / "lark.jpg", pictures / keep["name"])
        answer = discard(client, keep["id"], [other["id"]], files=True)
        (left,) = answer.json()["refused"]
        assert (left["id"], answer.json()["done"], answer.json()["undo"]) == (other["id"], [], None)
        expected = f"what would be kept, {keep['name']}, has been changed; index it again"
        assert left["reason"] == expected
        assert str(tmp_path) not in answer.text
        assert (pictures / other["name"]).exists()
