"""Exported models: made once, found again, mended where they are damaged, tried again in time."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookalike import Index, ModelUnusable, Settings, load_embedder
from lookalike.embed import exports

# Its threads wait for each other: with a busy neighbour two are ten times as slow as one.
torch.set_num_threads(1)

FP32 = Settings(precision="fp32", device="cpu")
SMALL = "test_resnet"  # one of timm's own for tests: 160 pixels, 512 dimensions

pytestmark = pytest.mark.usefixtures("models_cache")


@pytest.fixture(scope="module")
def files(samples: Path) -> list[Path]:
    return sorted((samples / "birds").glob("*.jpg"))[:4]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of exported models, in which there is none yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return exports.exports_folder()


def exported(path: Path) -> Path:
    """The folder of an export, made now if it is not there."""
    embedder = load_embedder(SMALL, weights=path, settings=FP32)
    embedder.load()  # what an earlier test has damaged is mended by this
    folder = exports.find(embedder.fingerprint)
    assert folder
    return folder


@pytest.mark.parametrize("damage", ["model.bin", "model.xml", "model.json", "sums.json", "shorter"])
def test_a_damaged_export_is_made_again(
    weights: Callable[[str], Path], files: list[Path], damage: str
) -> None:
    whole = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    before = whole.embed_files(files[:2])
    folder = exports.find(whole.fingerprint)
    assert folder
    if damage == "shorter":
        (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1000])
    else:
        data = bytearray((folder / damage).read_bytes())
        data[len(data) // 2 : len(data) // 2 + 8] = b"\0" * 8
        (folder / damage).write_bytes(data)
    mended = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    assert np.allclose(mended.embed_files(files[:2]), before)
    assert exports.is_whole(folder)


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of files that are read as a whole to compare their sums."""
    read: list[str] = []
    file_sum = exports.file_sum

    def noted(path: Path) -> str:
        read.append(path.name)
        return file_sum(path)

    monkeypatch.setattr(exports, "file_sum", noted)
    yield read


def test_a_file_with_its_size_and_time_is_not_read_again(
    weights: Callable[[str], Path], sums: list[str]
) -> None:
    folder = exported(weights(SMALL))
    sums.clear()
    assert exports.is_whole(folder)
    assert sums == []
    os.utime(folder / "model.bin")  # as a copy from elsewhere has it
    assert exports.is_whole(folder)
    assert sums == ["model.bin"]
    with (folder / "model.bin").open("r+b") as file:
        file.seek(5000)
        file.write(bytes(100))
    assert not exports.is_whole(folder)


def test_sums_without_times_are_still_understood(
    weights: Callable[[str], Path], sums: list[str]
) -> None:
    folder = exported(weights(SMALL))
    known = json.loads((folder / "sums.json").read_text())
    without = {name: [size, digest] for name, (size, digest, _) in known.items()}
    (folder / "sums.json").write_text(json.dumps(without))
    sums.clear()
    assert exports.is_whole(folder)
    assert sorted(sums) == ["model.bin", "model.json", "model.xml"]
    data = bytearray((folder / "model.bin").read_bytes())
    data[5000:5100] = bytes(100)
    (folder / "model.bin").write_bytes(data)
    assert not exports.is_whole(folder)


def test_all_files_are_on_the_disk_before_they_are_in_their_place(
    weights: Callable[[str], Path], empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace = os.fsync, os.replace
    on_disk: set[int] = set()
    moved: list[bool] = []

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        on_disk.add(os.fstat(descriptor).st_ino)

    def checked(source: Any, target: Any) -> None:
        if Path(source).is_dir():
            moved.append({path.stat().st_ino for path in Path(source).iterdir()} <= on_disk)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", checked)
    exported(weights(SMALL))
    assert moved == [True]


def test_what_killed_exports_have_left_is_removed_by_the_next(
    weights: Callable[[str], Path], empty_cache: Path
) -> None:
    (empty_cache / ".killed" / "model").mkdir(parents=True)
    (empty_cache / ".killed" / "model" / "model.bin").write_bytes(bytes(100))
    folder = exported(weights(SMALL))
    assert exports.is_whole(folder)
    assert [path.name for path in empty_cache.iterdir() if path.name.startswith(".")] == []


def _export(path: Path, ready: Any, made: Any) -> None:
    ready.wait()
    made.put(exported(path).name)


def test_two_processes_may_export_at_once(
    weights: Callable[[str], Path], empty_cache: Path
) -> None:
    path = weights(SMALL)
    context = multiprocessing.get_context("spawn")
    ready, made = context.Barrier(2), context.Queue()
    other = context.Process(target=_export, args=(path, ready, made))
    other.start()
    ready.wait(60)  # until the other has imported what it needs
    folder = exported(path)
    assert made.get(timeout=60) == folder.name
    other.join()
    assert exports.is_whole(folder)
    assert [path.name for path in empty_cache.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """OpenVINO refuses all models; every try."""
    tries: list[object] = []

    def refuse(model: object, **_: object) -> None:
        tries.append(model)
        raise RuntimeError("no such operation")

    monkeypatch.setattr("lookalike.embed.openvino_export.ov.convert_model", refuse)
    return tries


def test_a_refused_model_is_tried_again_by_another_version_of_openvino_only(
    weights: Callable[[str], Path],
    files: list[Path],
    empty_cache: Path,
    refused: list[object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = weights(SMALL)
    vectors = load_embedder(SMALL, weights=path, settings=FP32).embed_files(files)
    load_embedder(SMALL, weights=path, settings=FP32).load()
    assert len(refused) == 1
    monkeypatch.setattr(exports, "openvino_version", lambda: "2099.1.0")
    for _ in range(2):
        load_embedder(SMALL, weights=path, settings=FP32).load()
    assert len(refused) == 2
    folder = exported(path)
    assert not exports.has_graph(folder)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty_cache.parents[1]))
    caplog.clear()
    again = load_embedder(SMALL, weights=path, settings=FP32).embed_files(files)
    assert exports.has_graph(folder)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert (again * vectors).sum(axis=1).min() >= 0.9999


def test_a_refused_model_of_which_no_version_is_known_is_tried_again(
    weights: Callable[[str], Path], empty_cache: Path, refused: list[object]
) -> None:
    folder = exported(weights(SMALL))
    (folder / "refused.txt").unlink()
    known = json.loads((folder / "sums.json").read_text())
    del known["refused.txt"]
    (folder / "sums.json").write_text(json.dumps(known))
    load_embedder(SMALL, weights=weights(SMALL), settings=FP32).load()
    assert len(refused) == 2


def test_an_index_knows_the_file_of_weights_that_pytorch_runs_it_with(
    weights: Callable[[str], Path],
    samples: Path,
    tmp_path: Path,
    empty_cache: Path,
    refused: list[object],
) -> None:
    file, database = tmp_path / "own.safetensors", tmp_path / "photos.db"
    shutil.copy(weights(SMALL), file)
    with Index.open(database, model=SMALL, weights=file, settings=FP32) as index:
        index.add(samples / "birds")
    picture = samples / "birds" / "crow.jpg"

    def first_hit() -> str:
        with Index.open(database, settings=FP32) as index:
            return Path(index.search(picture, limit=1)[0].path).name

    assert first_hit() == "crow.jpg"
    elsewhere = file.rename(tmp_path / "moved.safetensors")
    with pytest.raises(ModelUnusable, match=r"own\.safetensors.*gone.*--weights FILE") as gone:
        first_hit()
    assert "\n" not in str(gone.value)
    file.write_bytes(elsewhere.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelUnusable, match="gone or have changed"):
        first_hit()
    with Index.open(database, model=SMALL, weights=elsewhere, settings=FP32) as index:
        assert index.add(samples / "birds").unchanged == 12
    assert first_hit() == "crow.jpg"


def test_a_damaged_export_is_made_again_from_the_file_that_it_was_made_from(
    weights: Callable[[str], Path], samples: Path, tmp_path: Path, empty_cache: Path
) -> None:
    database = tmp_path / "photos.db"
    with Index.open(database, model=SMALL, weights=weights(SMALL), settings=FP32) as index:
        index.add(samples / "birds")
    (model,) = empty_cache.glob("*/model.bin")
    model.write_bytes(model.read_bytes()[:-1000])
    with Index.open(database, settings=FP32) as index:
        assert index.search(samples / "birds" / "crow.jpg")[0].score > 0.999
    assert exports.is_whole(model.parent)


def test_what_stands_in_a_database_or_a_request_is_no_path(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    embedder = load_embedder(SMALL, weights=weights(SMALL))
    folder = exports.find(embedder.fingerprint)
    assert folder
    for fingerprint in (str(folder), f"../models/{folder.name}", "", "x\0"):
        assert exports.find(fingerprint) is None
        assert exports.weights_of(fingerprint) is None
    for note in ("requests", "weights"):
        for path in (folder.parent / note).iterdir():
            path.write_bytes(b"\0\xff" * 16)
    assert load_embedder(SMALL, weights=weights(SMALL)).fingerprint == embedder.fingerprint
