"""Models of timm by name: the vectors are timm's own, made without it after the first use."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import timm.data
import torch
from PIL import Image

from lookalike import (
    Index,
    InvalidSetting,
    ModelMismatch,
    ModelUnusable,
    Settings,
    UnknownModel,
    load_embedder,
)
from lookalike.embed import exports, timm_models
from lookalike.embed.embedder import ModelEmbedder

# Its threads wait for each other: with a busy neighbour two are ten times as slow as one.
torch.set_num_threads(1)

FP32 = Settings(precision="fp32", device="cpu")
FAMILIES = ["resnet34", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224"]
SMALL = "test_resnet"  # one of timm's own for tests: 160 pixels, 512 dimensions

Vectors = npt.NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("models_cache")


@pytest.fixture(scope="module")
def files(samples: Path) -> list[Path]:
    """A picture of each kind."""
    return [min(folder.glob("*.jpg")) for folder in sorted(samples.iterdir()) if folder.is_dir()]


def plain_timm(name: str, weights: Path, files: list[Path]) -> Vectors:
    """(n, dim): as timm's documentation has it."""
    model: Any = timm.create_model(name, pretrained=False, checkpoint_path=str(weights))
    model.reset_classifier(0)
    model.eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    pictures = torch.stack([transform(Image.open(path).convert("RGB")) for path in files])
    with torch.inference_mode():
        features = torch.cat([model(picture[None]) for picture in pictures])
        vectors: Vectors = torch.nn.functional.normalize(features, dim=1).numpy()
    return vectors


@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_are_those_of_plain_timm(
    name: str, weights: Callable[[str], Path], files: list[Path]
) -> None:
    embedder = load_embedder(name, weights=weights(name), settings=FP32)
    expected = plain_timm(name, weights(name), files)
    vectors = embedder.embed_files(files)
    assert vectors.shape == expected.shape
    cosine = (vectors * expected).sum(axis=1)
    assert cosine.mean() >= 0.999
    assert cosine.min() >= 0.99
    spread = expected - expected.mean(axis=0)
    assert abs(spread).max() > 1e-4, "random weights, too, tell the pictures apart"


def test_an_index_of_resnet34_has_512_dimensions_and_is_searched_without_naming_it(
    weights: Callable[[str], Path], samples: Path, tmp_path: Path
) -> None:
    database = tmp_path / "resnet.db"
    with Index.open(database, model="resnet34", weights=weights("resnet34")) as index:
        assert index.add(samples / "birds").added == 12
        assert (index.info().model, index.info().dim) == ("resnet34", 512)
    picture = samples / "birds" / "crow.jpg"
    with Index.open(database) as index:
        hits = index.search(picture, limit=3)
        assert Path(hits[0].path) == picture
        assert hits[0].score > 0.999
        assert index.add(samples / "birds").unchanged == 12


def test_after_the_first_use_neither_timm_nor_torch_is_needed(
    weights: Callable[[str], Path],
    cli: Callable[..., Any],
    samples: Path,
    without_torch: dict[str, str],
) -> None:
    named = ("--model", SMALL, "--weights", weights(SMALL))
    refused = cli("index", samples / "birds", *named, **without_torch)
    assert refused.code == 1
    assert "pip install 'lookalike[timm]'" in refused.err
    assert refused.err.count("\n") == 1
    first = cli("index", samples / "birds", *named)
    assert first.code == 0, first.err
    assert "Getting test_resnet ready" in first.err
    again = cli("index", samples / "birds", samples / "deer", *named, **without_torch)
    assert again.code == 0, again.err
    assert "12 unchanged" in again.out
    assert "ready" not in again.err
    for options in (named, ()):
        found = cli(
            "search", samples / "birds" / "crow.jpg", *options, "--format", "json", **without_torch
        )
        assert found.code == 0, found.err
        assert found.json["hits"][0]["path"].endswith("crow.jpg")
        assert found.json["model"] == SMALL


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Variables of an environment in which these cannot be imported."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    hidden = dict.fromkeys(("torch", "timm", "torchvision", "nncf"))
    (blocked / "sitecustomize.py").write_text(f"import sys; sys.modules.update({hidden})\n")
    return {"PYTHONPATH": os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])}


def test_a_model_that_openvino_cannot_convert_runs_on_pytorch_and_says_so(
    weights: Callable[[str], Path],
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("lookalike.embed.openvino_export.ov.convert_model", refuse)
        embedder = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    vectors = embedder.embed_files(files[:4])
    embedder.embed_files(files[:1])
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"OpenVINO cannot run {SMALL}; it runs on PyTorch, which is slower."]
    expected = plain_timm(SMALL, weights(SMALL), files[:4])
    assert (vectors * expected).sum(axis=1).min() >= 0.999


def test_the_fingerprint_tells_weights_and_models_apart_but_not_files(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    other = timm.create_model(SMALL, pretrained=False, num_classes=3)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "other.pth")
    same = timm.create_model(SMALL, pretrained=False, checkpoint_path=str(weights(SMALL)))
    torch.save(same.state_dict(), tmp_path / "same.pth")
    paths = [weights(SMALL), tmp_path / "same.pth", tmp_path / "other.pth"]
    first, second, third = (load_embedder(SMALL, weights=path).fingerprint for path in paths)
    assert first == second != third


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (112, 112)])
@pytest.mark.parametrize("crop", [1.0, 0.9, 0.875])
def test_pictures_are_prepared_as_timm_does(
    mode: str, size: tuple[int, int], crop: float, samples: Path
) -> None:
    from lookalike.embed.description import ModelDescription  # noqa: PLC0415

    colours: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
    common: dict[str, Any] = {"interpolation": "bicubic", "crop_mode": mode}
    description = ModelDescription(
        name="any", fingerprint="", dim=1, size=size, crop=crop, **colours, **common
    )
    transform: Any = timm.data.create_transform(
        (3, *size), crop_pct=crop, normalize=False, **colours, **common
    )
    for picture in (Image.open(samples / "birds" / "crow.jpg"), Image.new("RGB", (700, 90), "red")):
        upright = picture.convert("RGB")
        pixels = description.prepare(upright)
        expected = transform(upright).numpy().transpose(1, 2, 0)
        assert pixels.shape == expected.shape
        assert abs(pixels.astype(int) - expected).mean() < 2


def test_int8_is_another_model_that_is_kept_with_the_index(
    weights: Callable[[str], Path], samples: Path, cli: Callable[..., Any]
) -> None:
    named = ("--model", SMALL, "--weights", weights(SMALL))
    folders = (samples / "birds", samples / "deer")
    kept = exports.calibrated_folder()
    for name, days in ((".killed", 2), (".at-work", 0)):
        (kept / name).mkdir(parents=True)
        then = time.time() - days * 86_400
        os.utime(kept / name, (then, then))
    made = cli("index", *folders, *named, "--precision", "int8")
    assert made.code == 0, made.err
    assert made.out.startswith("18 added")
    assert "top-10 overlap with fp32 on 18 of your pictures: " in made.err
    assert [path.name for path in kept.iterdir() if path.name.startswith(".")] == [".at-work"]
    again = cli("index", *folders)
    assert again.code == 0, again.err
    assert "18 unchanged" in again.out
    same = cli("index", *folders, *named, "--precision", "int8")
    assert same.code == 0, same.err
    assert "overlap" not in same.err
    found = cli("search", samples / "birds" / "crow.jpg", "--format", "paths", "-k", "1")
    assert found.out.strip().endswith("crow.jpg")
    other = cli("search", samples / "birds" / "crow.jpg", *named)
    assert other.code == 1
    assert "lookalike index FOLDER --db" in other.err
    wrong = cli("index", samples, "--precision", "fp32")
    assert wrong.code == 1
    assert "int8" in wrong.err


def test_another_model_is_refused_with_the_command_that_indexes_again(
    weights: Callable[[str], Path], samples: Path, tmp_path: Path
) -> None:
    Index.open(tmp_path / "a.db").close()
    with pytest.raises(ModelMismatch) as caught:
        Index.open(tmp_path / "a.db", model=SMALL, weights=weights(SMALL))
    message = str(caught.value)
    assert "efficientnet-lite0-384" in message
    command = f"lookalike index FOLDER --db OTHER.db --model {SMALL} --weights {weights(SMALL)}"
    assert message.endswith(command)


def test_the_command_that_indexes_again_repeats_the_weights_and_the_precision(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "my own.safetensors"
    shutil.copy(weights(SMALL), file)
    Index.open(tmp_path / "a.db").close()
    for precision in ("fp32", "int8"):
        with pytest.raises(ModelMismatch) as caught:
            Index.open(
                tmp_path / "a.db",
                model=SMALL,
                weights=file,
                settings=Settings(precision=precision),
            )
        _, _, command = str(caught.value).partition("for the second: ")
        assert shlex.split(command)[-6:] == [
            *("--model", SMALL, "--weights", str(file), "--precision", precision)
        ]


def saved(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/lookalike-was-here",))


def test_bad_weights_are_one_line_each(weights: Callable[[str], Path], tmp_path: Path) -> None:
    good = timm.create_model(SMALL, pretrained=False).state_dict()
    first = next(iter(good))
    cases: dict[Path, str] = {
        tmp_path / "missing.pth": "cannot be read",
        saved(tmp_path / "shape.pth", good | {first: torch.zeros(1)}): rf"{first} has the shape",
        saved(tmp_path / "few.pth", {first: good[first]}): "is missing",
        saved(tmp_path / "more.pth", good | {"layer9.weight": torch.zeros(1)}): "layer9.weight",
        saved(tmp_path / "none.pth", {"epoch": 3}): "is missing|no checkpoint",
        saved(tmp_path / "list.pth", [1, 2]): "no checkpoint",
        saved(tmp_path / "evil.pth", {"state_dict": Evil()}): "no checkpoint",
        weights("resnet34"): "not those of",
    }
    for name, content in (("text.pth", b"hello"), ("text.safetensors", b"hello"), ("nil.pth", b"")):
        (tmp_path / name).write_bytes(content)
        cases[tmp_path / name] = "no checkpoint"
    for path, expected in cases.items():
        with pytest.raises(ModelUnusable, match=expected) as caught:
            load_embedder(SMALL, weights=path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not Path("/tmp/lookalike-was-here").exists()


def test_an_unknown_model_is_told_the_nearest_names(cli: Callable[..., Any], samples: Path) -> None:
    with pytest.raises(UnknownModel, match="resnet34"):
        load_embedder("resnet_34")
    with pytest.raises(UnknownModel, match=r"resnet34\.a1_in1k"):
        load_embedder("resnet34.a9_in1k")
    refused = cli("index", samples, "--model", "no_such_model")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("lookalike: There is no model 'no_such_model'.")
    assert refused.err.count("\n") == 1


def test_a_model_without_pooled_features_is_refused(
    monkeypatch: pytest.MonkeyPatch, weights: Callable[[str], Path]
) -> None:
    monkeypatch.setattr(
        "timm.create_model",
        lambda *_, **__: timm.models.resnet18(num_classes=0, global_pool=""),
    )
    with pytest.raises(ModelUnusable, match="no pooled features"):
        load_embedder("resnet18", weights=weights("resnet18"))


def test_a_preset_is_a_short_name(weights: Callable[[str], Path]) -> None:
    path = weights("mobilenetv4_conv_medium.e250_r384_in12k")
    embedder: ModelEmbedder = load_embedder("mobilenetv4-medium", weights=path)
    assert (embedder.name, embedder.dim) == ("mobilenetv4-medium", 1280)


def test_naming_a_file_without_its_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="name of its model"):
        Index.open(tmp_path / "a.db", weights=tmp_path / "w.pth")
    with pytest.raises(ModelUnusable, match="weights of its own"):
        load_embedder(weights=tmp_path / "w.pth")
    with pytest.raises(InvalidSetting, match="calibrate"):
        load_embedder(settings=Settings(precision="int8"))


def test_loading_a_model_that_is_ready_imports_no_torch(weights: Callable[[str], Path]) -> None:
    load_embedder(SMALL, weights=weights(SMALL))
    program = (
        "import sys; from lookalike import load_embedder;"
        f"load_embedder({SMALL!r}, weights={str(weights(SMALL))!r}).load();"
        "assert not {'torch', 'timm', 'nncf'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_damaged_int8_model_is_noticed_and_a_lost_one_named(
    samples: Path,
    cli: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    database, folder = tmp_path / "photos.db", samples / "birds"
    int8 = Settings(precision="int8")
    with Index.open(database, calibration=[folder], settings=int8) as index:
        assert index.add(folder).added == 12
    assert capfd.readouterr().out == "", "NNCF draws its progress elsewhere"
    picture = samples / "birds" / "crow.jpg"
    assert cli("search", picture, LOOKALIKE_PRECISION="int8").code == 0
    (weights,) = tmp_path.glob("data/lookalike/models/*/model.bin")
    data = bytearray(weights.read_bytes())
    data[5000:9000] = bytes(4000)
    weights.write_bytes(data)
    damaged = cli("search", picture)
    assert damaged.code == 1
    assert "is damaged" in damaged.err
    assert damaged.err.count("\n") == 1
    lost = cli("search", picture, XDG_DATA_HOME=str(tmp_path / "elsewhere"))
    assert lost.code == 1
    assert "not on this machine" in lost.err
    assert lost.err.count("\n") == 1


@pytest.mark.parametrize("name", ["levit_128s", "repvit_m0_9", "caformer_s18", "test_vit"])
def test_a_checkpoint_with_any_kind_of_classifier_fits(
    name: str, weights: Callable[[str], Path]
) -> None:
    module = timm_models._create(name, name, pretrained=False)
    state = timm_models.read_checkpoint(weights(name))
    timm_models._load(module, name, state, weights(name))


def test_naming_a_device_for_an_index_of_another_model_names_that_model(
    weights: Callable[[str], Path], samples: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    with Index.open(tmp_path / "photos.db", model=SMALL, weights=weights(SMALL)) as index:
        index.add(samples / "birds")
    done = cli("index", samples / "birds", "--device", "cpu")
    assert (done.code, "12 unchanged" in done.out) == (0, True)
