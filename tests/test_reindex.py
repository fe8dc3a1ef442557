"""An index gets another model while it is searched with the one it has, and can go back."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from lookalike import (
    Index,
    IndexServed,
    InvalidSetting,
    LabelsUnusable,
    ModelMismatch,
    NothingBefore,
    Progress,
    ReindexReport,
    load_embedder,
)
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.records import row_id
from lookalike.store.design import CollectionDesign
from lookalike.store.milvus import MilvusStore
from lookalike.store.remembered import peek
from lookalike.store.tuning import keep_level
from tests.colours import Colours
from tests.conftest import Outcome, Place
from tests.milvus_server import TOKEN, ServerAddress
from tests.test_served import served

Cli = Callable[..., Outcome]


class Home:
    """An index of pictures in a place, with fields of the user's own."""

    def __init__(self, place: Place, photos: Path) -> None:
        self.place, self.photos = place, photos
        self.pictures = sorted(photos.rglob("*.*"))
        self.options: dict[str, Any] = {"token": place.token, "collection": place.collection}
        with self.open(model=Colours()) as index:
            index.add(photos, metadata=self.fields)

    @staticmethod
    def fields(path: str) -> dict[str, str]:
        return {"stem": Path(path).stem}

    def open(self, **options: Any) -> Index:
        return Index.open(self.place.database, **self.options, **options)

    def reindex(self, model: Any, **options: Any) -> ReindexReport:
        return Index.reindex(self.place.database, model=model, **self.options, **options)

    def rollback(self) -> str:
        return Index.rollback(self.place.database, **self.options)

    def drop_old(self) -> list[str]:
        return Index.drop_old(self.place.database, **self.options)

    def check(self, model: Colours) -> None:
        """Whether who opens it now finds every picture, by this model, with its fields."""
        with self.open(model=model, create=False) as index:
            assert len(self.pictures) > 10
            for picture in self.pictures[::7]:
                hits = index.search(picture, limit=100)
                assert (hits[0].path, round(hits[0].score, 5)) == (picture.as_posix(), 1.0)
                assert sorted(hit.path for hit in hits) == [p.as_posix() for p in self.pictures]
                assert all(hit.metadata == self.fields(hit.path) for hit in hits)

    def in_use(self) -> str:
        """The collection behind the name; what is known without opening the database agrees."""
        known = peek(self.place.database, self.place.collection, token=self.place.token)
        with self.open(create=False) as index:
            info = index.info()
        assert known
        assert (known.model, info.collection) == (info.model, self.place.collection)
        return info.rows_in


@pytest.fixture
def home(place: Place, photos: Path) -> Home:
    shutil.rmtree(photos / "trees")
    return Home(place, photos)


@pytest.fixture
def another(samples: Path) -> Path:
    """A picture that the index does not have."""
    return min((samples / "trees").glob("*.jpg"))


def test_a_new_model_takes_the_place_of_the_old_one_and_back(home: Home, another: Path) -> None:
    name, old, new = home.place.collection, Colours(), Colours("squares", power=2)
    second = f"{name}__squaresx"
    with home.open(model=old) as before:  # stays open through all of this
        report = home.reindex(
            new, labels=lambda paths: {path: Path(path).parts[-2] for path in paths}
        )
        assert (report.embedded, report.unchanged, report.skipped) == (len(home.pictures), 0, ())
        assert (report.swapped, report.total, new.embedded) == (
            True,
            report.embedded,
            report.embedded,
        )
        assert report.before == ("colours", old.fingerprint, name)
        assert report.after == ("squares", new.fingerprint, second)
        assert home.in_use() == second
        home.check(new)
        with pytest.raises(ModelMismatch):
            home.open(model=old)
        hits = before.search(home.pictures[0], limit=100)
        assert (hits[0].score, len(hits)) == (1.0, len(home.pictures))
        with home.open() as after:
            check_comparison(report, home, before, after)

    with pytest.raises(InvalidSetting, match="must be another than the index has"):
        home.reindex(new)
    # What is indexed now goes into the new one; the old one is as it was.
    added = home.photos / "birds" / "another.jpg"
    shutil.copy(another, added)
    with home.open(model=new) as index:
        index.add(home.photos, metadata=home.fields)
    home.pictures = sorted([*home.pictures, added])
    home.check(new)
    assert home.rollback() == name
    assert home.in_use() == name
    with home.open(model=old) as index:
        assert len(index) == len(home.pictures) - 1
    assert home.rollback() == second
    home.check(new)
    # Back to the first model: its rows are there already, and what came later is added.
    again = Colours()
    report = home.reindex(again)
    assert (report.after[2], report.embedded, again.embedded) == (name, 1, 1)
    assert report.unchanged == len(home.pictures) - 1
    home.check(again)
    assert home.drop_old() == [second]
    home.check(again)
    for gone in (home.rollback, home.drop_old):
        with pytest.raises(NothingBefore, match="Nothing was changed"):
            gone()


def check_comparison(report: ReindexReport, home: Home, *indexes: Index) -> None:
    """The figures, by NumPy from all vectors."""
    ids = [row_id(path.as_posix()) for path in home.pictures]
    labels = np.array([path.parent.name for path in home.pictures])
    nearest, right = [], []
    for index in indexes:
        vectors = index.vectors(ids)
        scores = vectors @ vectors.T - 3 * np.eye(len(vectors))
        nearest.append(np.argsort(-scores, kind="stable")[:, :10])
        right.append(labels[nearest[-1]] == labels[:, np.newaxis])
    overlap = [len({*one} & {*other}) / 10 for one, other in zip(*nearest, strict=True)]
    compared = report.comparison
    assert compared.questions == compared.labelled == len(home.pictures)
    # Equal pictures may be taken in another order.
    assert compared.overlap_at_10 == pytest.approx(np.mean(overlap), abs=0.02)
    assert 0.2 < compared.overlap_at_10 < 1
    assert compared.r_at_1 == pytest.approx([each[:, 0].mean() for each in right], abs=0.02)
    assert compared.p_at_10 == pytest.approx([each.mean() for each in right], abs=0.02)


def test_an_alias_of_milvus_is_pointed_elsewhere(
    photos: Path, tmp_path: Path, milvus_server: ServerAddress
) -> None:
    """Whoever has given the collection another name, for other programs, too."""
    for database, token in ((f"{tmp_path}/photos.db", None), (milvus_server.uri, TOKEN)):
        actual, alias = f"rows_{os.getpid()}", f"pictures_{os.getpid()}"
        Home(Place(database, actual, token), photos / "birds")
        client = MilvusClient(database, token=token or "", dedicated=True)
        client.create_alias(actual, alias)
        client.close()
        home = Home(Place(database, alias, token), photos / "birds")  # finds what is there
        assert home.in_use() == actual
        home.check(Colours())
        new = Colours("squares", power=2)
        report = home.reindex(new)
        assert report.swapped
        client = MilvusClient(database, token=token or "", dedicated=True)
        assert client.describe_alias(alias)["collection_name"] == report.after[2]
        client.close()
        home.check(new)
        assert home.rollback() == actual
        home.check(Colours())


def test_whoever_opens_it_while_it_is_swapped_finds_a_whole_collection_of_one_model(
    photos: Path, milvus_server: ServerAddress
) -> None:
    place = Place(milvus_server.uri, f"swapped_{os.getpid()}", TOKEN)
    options: dict[str, Any] = {"token": TOKEN, "collection": place.collection, "model": Colours()}
    Index.open(place.database, design=CollectionDesign.of("balanced"), **options).close()
    with contextlib.closing(place.open(None)) as store:
        keep_level(store, 0.9)
    home = Home(place, photos / "birds")
    keys = [row_id(path.as_posix()) for path in home.pictures]
    with home.open() as index:
        expected = {"colours": index.vectors(keys)}
    assert home.reindex(Colours("squares", power=2)).untuned
    with contextlib.closing(place.open(None)) as store:
        assert (store.level, store.design.index_type) == (0.9, "HNSW")
        assert store.collection != place.collection
    with home.open() as index:
        expected["squares"] = index.vectors(keys)
    found: Counter[str] = Counter()
    swapped = threading.Event()

    def ask() -> None:
        while not swapped.is_set():
            with home.open(create=False) as index:
                name = index.info().model
                np.testing.assert_array_equal(index.vectors(keys), expected[name])
                assert len(index.similar(keys[0], limit=100)) == len(keys) - 1
                found[name] += 1

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            while len(found) < 2 or found.total() < 20:
                home.rollback()
                if asking.done():
                    break
        finally:
            swapped.set()
        asking.result()


def test_pictures_that_are_gone_keep_it_from_taking_the_place(photos: Path, tmp_path: Path) -> None:
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos)
    new, lost = Colours("squares", power=2), home.pictures[:2]
    data = [path.read_bytes() for path in lost]
    lost[0].unlink()
    lost[1].write_bytes(b"no picture any more")
    report = home.reindex(new)
    assert [each.path for each in report.skipped] == [path.as_posix() for path in lost]
    assert (report.swapped, report.total) == (False, len(home.pictures) - 2)
    assert home.in_use() == home.place.collection
    lost[1].write_bytes(data[1])
    report = home.reindex(new, allow_missing=True)
    assert (report.swapped, report.embedded, len(report.skipped)) == (True, 1, 1)
    home.pictures.remove(lost[0])
    home.check(new)


def test_what_changes_meanwhile_is_followed(home: Home, another: Path) -> None:
    """Rows come, go and get other fields in the old collection while the new one is made."""
    new, gone, added = Colours("squares", power=2), home.pictures[1], home.photos / "new.jpg"
    late, told, asked = home.photos / "late.jpg", list[Progress](), list[Any]()

    def on_progress(progress: Progress) -> None:
        if not told:
            shutil.copy(another, added)
            with home.open(model=Colours()) as index:
                index.add(added, metadata=home.fields)
                index.add(home.pictures[9], metadata={home.pictures[9]: {"stem": "other"}})
                index.remove(gone)
        told.append(progress)

    def labels(paths: Any) -> dict[str, str]:  # is called while both are compared
        if not asked:
            shutil.copy(max(another.parent.glob("*.jpg")), late)
            with home.open(model=Colours()) as index:
                index.add(late, metadata=home.fields)
        asked.append(paths)
        return {}

    before = len(home.pictures)
    report = home.reindex(new, on_progress=on_progress, labels=labels)
    assert (report.swapped, report.removed) == (True, 1)
    assert report.embedded in {before + 1, before + 2}  # the one that is gone, or not
    home.pictures = sorted({*home.pictures, added, late} - {gone})
    other = home.pictures[8].as_posix()
    home.fields = lambda path: {"stem": "other" if path == other else Path(path).stem}  # type: ignore[method-assign]
    assert Path(other).stem != "other"
    home.check(new)


KILLED = """
import os, signal, sys
from lookalike import Index
from lookalike.store.versions import Versions
from tests.colours import Colours
from lookalike.store.milvus import MilvusStore
database, token, collection, moment = sys.argv[1:]
place = {"token": token or None, "collection": collection}
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def kill_later(self, collection, key, value):
    self._ask("alter_collection_properties", collection, {key: value})
    kill()
delete = MilvusStore.delete
def delete_half(self, ids):
    delete(self, ids[::2])
    kill()
if moment == "at the swap":
    Versions._set = kill_later
elif moment == "while dropping":
    MilvusStore.delete = delete_half
    Index.drop_old(database, **place)
Index.reindex(
    database, model=Colours("squares", power=2), **place,
    on_progress=kill if moment == "while embedding" else None,
)
"""


def test_it_may_be_killed_at_any_moment(home: Home) -> None:
    place, new = home.place, Colours("squares", power=2)

    def kill(moment: str) -> None:
        arguments = [place.database, place.token or "", place.collection, moment]
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
        assert done.returncode == -signal.SIGKILL

    for moment in ("while embedding", "at the swap"):
        kill(moment)
        assert home.in_use() == place.collection
        home.check(Colours())
    report = home.reindex(new)
    assert (report.swapped, report.embedded, report.unchanged) == (True, 0, len(home.pictures))
    home.check(new)
    assert home.rollback() == place.collection
    home.rollback()
    if "://" not in place.database:
        kill("while dropping")
        with pytest.raises(NothingBefore):  # to come back to half of it
            home.rollback()
        home.check(new)
        named = (place.database, place.collection)
        with contextlib.closing(MilvusStore(*named, create=None, follow=False)) as first:
            assert 0 < first.count() < len(home.pictures)
    assert home.drop_old() == [place.collection]
    with pytest.raises(NothingBefore):
        home.drop_old()
    home.check(new)


def test_the_command(cli: Cli, photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "trees")
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos)
    pictures, to_new = len(home.pictures), ("reindex", "--model", DEFAULT_MODEL)
    (tmp_path / "labels.csv").write_text("a,b\n")
    bad = cli(*to_new, "--labels", tmp_path / "labels.csv")
    assert (bad.code, bad.err.count("\n")) == (1, 1)
    assert "the header must be: path,label" in bad.err
    kept = home.pictures[0].read_bytes()
    home.pictures[0].unlink()
    lacking = cli(*to_new)
    assert lacking.code == 1
    assert f"skipped {home.pictures[0]}: " in lacking.err
    assert "The index is as it was: 1 of its pictures could not be embedded. Bring" in lacking.err
    home.pictures[0].write_bytes(kept)
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in home.pictures[4:]]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *lines]))
    told = cli(*to_new, "--labels", tmp_path / "labels.csv", "--format", "json").json
    assert (told["embedded"], told["unchanged"], told["swapped"]) == (1, pictures - 1, True)
    assert told["comparison"]["labelled"] == pictures - 4
    assert told["after"]["rows_in"].startswith("images__")
    assert cli("reindex", "--rollback").out == "images is images again\n"
    assert cli("remove", home.pictures[5]).code == 0
    less = cli(*to_new)
    assert less.code == 1
    assert "where it was before, has rows that are not in it any more (1). Go" in less.err
    assert cli("reindex", "--rollback").out.startswith("images is images__")
    assert cli("reindex", "--drop-old").out == "the rows of images are dropped\n"
    back = cli("reindex", "--rollback")
    assert (back.code, back.err.count("\n")) == (1, 1)
    assert "keeps nothing that 'images' was before" in back.err
    for wrong in ((), ("--rollback", "--drop-old"), ("--rollback", "--no-swap")):
        assert cli("reindex", *wrong).code == 2


def test_the_guide_to_moving_shows_commands_that_work(
    cli: Cli, samples: Path, tmp_path: Path, milvus_server: ServerAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    guide = (Path(__file__).parents[1] / "docs" / "moving.md").read_text(encoding="utf-8")
    laptop, backup, model = re.findall(r"^```sh\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    shutil.copytree(samples / "birds", tmp_path / "Pictures" / "birds")
    shutil.copytree(samples / "flowers", tmp_path / "Pictures" / "flowers")
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), tmp_path / "Pictures")
    pictures, crow = len(home.pictures), tmp_path / "Pictures" / "birds" / "crow.jpg"
    monkeypatch.chdir(tmp_path)
    # The server is shared with other tests.
    address = f"{milvus_server.uri}/moving"
    client = MilvusClient(milvus_server.uri, token=TOKEN, dedicated=True)
    client.create_database("moving")
    client.close()

    def run(lines: str) -> list[str]:
        # The model of the guide would have to be fetched.
        lines = lines.replace("resnet34", DEFAULT_MODEL)
        lines = lines.replace("http://localhost:19530", address).replace("~", str(tmp_path))
        said = []
        for line in lines.splitlines():
            done = cli(*shlex.split(line)[1:], LOOKALIKE_TOKEN=TOKEN)
            assert done.code == 0, (line, done.err)
            said.append(done.out)
        return said

    compared, swapped, told, back, forth, dropped = run(model)
    first, overlap, old, new, last = compared.splitlines()
    assert first.startswith(f"{pictures} embedded, 0 there already, 0 skipped, ")
    assert overlap.startswith("overlap of the nearest 10: 0.")
    assert (old[:12], new[:27]) == ("colours: R@1", f"{DEFAULT_MODEL}: R@1")
    assert last.startswith(f"images in {tmp_path}/photos.db is still images, of the model colours")
    assert swapped.startswith(f"0 embedded, {pictures} there already, 0 skipped, ")
    rows_in = f"images__{load_embedder().fingerprint[:8]}"
    assert f" is now {rows_in}, of the model {DEFAULT_MODEL} (" in swapped
    assert f"rows_in      {rows_in}\n" in told
    assert (back, forth) == ("images is images again\n", f"images is {rows_in} again\n")
    assert dropped == "the rows of images are dropped\n"

    whole = f"{pictures} of {pictures} rows written, {pictures} compared; {pictures} in "
    assert run(laptop) == [f"{whole}{address}\n"]
    *copied, found = run(backup)
    assert copied == [f"{whole}backup.parquet\n", f"{whole}{address}\n"]
    assert found.split("\t")[1:3] == ["1.000", crow.as_posix()]


def test_a_database_that_a_server_has_open_is_left_alone(photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "a.db", model=Colours()) as index:
        index.add(photos / "birds")
        with (
            served(index),
            pytest.raises(IndexServed, match="Stop that server first; nothing was changed"),
        ):
            Index.reindex(tmp_path / "a.db", model=Colours("squares"))


def test_labels_that_nothing_can_be_measured_with_leave_the_figures_out(
    photos: Path, tmp_path: Path
) -> None:
    home = Home(Place(f"{tmp_path}/photos.db", "images", None), photos)

    def unusable(paths: Any) -> dict[str, str]:
        raise LabelsUnusable("none")

    for labels in (unusable, lambda paths: dict.fromkeys(paths, "all the same")):
        compared = home.reindex(Colours("squares", power=2), labels=labels, swap=False).comparison
        assert (compared.labelled, compared.r_at_1, compared.p_at_10) == (0, None, None)
        assert compared.questions == len(home.pictures)
