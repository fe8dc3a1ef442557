"""Models on PyTorch: the vectors of OpenVINO, whatever the device's memory and arithmetic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lookalike import (
    DeviceUnavailable,
    Index,
    InvalidSetting,
    ModelUnusable,
    Settings,
    load_embedder,
)
from lookalike.embed import torch_engine

# Its threads wait for each other: with a busy neighbour two are ten times as slow as one.
torch.set_num_threads(1)

FP32 = Settings(precision="fp32", device="cpu")
SMALL = "test_resnet"  # one of timm's own for tests: 160 pixels, 512 dimensions

pytestmark = pytest.mark.usefixtures("models_cache")


@pytest.fixture(scope="module")
def files(samples: Path) -> list[Path]:
    return sorted(samples.glob("*/*.jpg"))[::6]


def test_pytorch_gives_the_vectors_of_openvino(
    weights: Callable[[str], Path], files: list[Path]
) -> None:
    embedder = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    pictures = np.stack([embedder.prepare(Image.open(path).convert("RGB")) for path in files[:9]])
    engine = torch_engine.start(embedder.description, SMALL, weights(SMALL), "cpu", "fp32")
    assert (engine(pictures) * embedder.embed(pictures)).sum(axis=1).min() >= 0.9999
    lower = torch_engine.start(embedder.description, SMALL, weights(SMALL), "cpu", "bf16")
    assert (lower(pictures) * embedder.embed(pictures)).sum(axis=1).min() >= 0.99


def test_out_of_memory_halves_the_batch_and_goes_on(
    weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    engine = torch_engine.start(embedder.description, SMALL, weights(SMALL), "cpu", "fp32")
    pictures = np.random.default_rng(0).integers(0, 255, (11, 160, 160, 3), np.uint8)
    expected = engine(pictures)
    run, tried = engine._run, []

    def small(batch: Any) -> Any:
        tried.append(len(batch))
        if len(batch) > fits:
            raise torch.OutOfMemoryError("too much")
        return run(batch)

    monkeypatch.setattr(engine, "_run", small)
    fits = 3
    assert np.allclose(engine(pictures), expected, atol=1e-5)
    assert tried == [11, 5, 2, 2, 2, 2, 2, 1]
    fits = 0
    with pytest.raises(ModelUnusable, match="memory"):
        engine(pictures)


def magnified(path: Path, factor: float, into: Path) -> Path:
    """The same model, with features that are larger by a factor: the same unit vectors."""
    state = load_file(path)
    for name in ("layer4.0.bn2", "layer4.0.downsample.2"):
        for part in ("weight", "bias"):
            state[f"{name}.{part}"] *= factor
    save_file(state, into)
    return into


def test_a_model_too_large_for_16_bits_goes_on_in_fp32_and_says_so_once(
    weights: Callable[[str], Path],
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    small = load_embedder(SMALL, weights=weights(SMALL), settings=FP32)
    pictures = np.stack([small.prepare(Image.open(path).convert("RGB")) for path in files[:5]])
    large = magnified(weights(SMALL), 1e6, tmp_path / "large.safetensors")
    # What Apple's GPUs and older ones of NVIDIA's have.
    monkeypatch.setattr(torch_engine, "_arithmetic", lambda device, precision: torch.float16)
    described = load_embedder(SMALL, weights=large, settings=FP32).description
    engine = torch_engine.start(described, SMALL, large, "cpu", "auto")
    caplog.set_level(logging.WARNING, logger="lookalike")
    for part in (pictures[:3], pictures[3:]):
        assert (engine(part) * small.embed(part)).sum(axis=1).min() >= 0.9999
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    (said,) = [record.getMessage() for record in warnings if record.name == "lookalike"]
    assert said == f"{SMALL} overflows in float16 on cpu; it goes on in fp32, which is slower."


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_that_are_no_numbers_are_never_given(
    weights: Callable[[str], Path], precision: str
) -> None:
    described = load_embedder(SMALL, weights=weights(SMALL), settings=FP32).description
    engine = torch_engine.start(described, SMALL, weights(SMALL), "cpu", precision)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 160, 160, 3), np.uint8)
    assert np.isfinite(engine(pictures)).all()
    with torch.no_grad():
        next(engine._module.parameters())[0] = torch.nan
    with pytest.raises(
        ModelUnusable, match=rf"{SMALL} gives vectors that are no numbers"
    ) as caught:
        engine(pictures)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_refused(
    weights: Callable[[str], Path], cli: Callable[..., Any], samples: Path, tmp_path: Path
) -> None:
    settings = Settings(device="cuda:99")
    embedder = load_embedder(SMALL, weights=weights(SMALL), settings=settings)
    with pytest.raises(DeviceUnavailable, match="auto, cpu"):
        embedder.load()
    refused = cli("index", samples, "--model", SMALL, "--weights", weights(SMALL), "--device", "x")
    assert refused.code == 1
    assert "cuda:N" in refused.err
    with pytest.raises(DeviceUnavailable, match="auto, cpu"):
        Index.open(tmp_path / "photos.db", model=SMALL, weights=weights(SMALL), settings=settings)
    assert not (tmp_path / "photos.db").exists(), "it would be empty"
    with pytest.raises(InvalidSetting, match="name a timm model"):
        load_embedder(settings=settings)
