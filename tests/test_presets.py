"""What the table of models claims, measured with timm itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lookalike.embed.catalog import load_embedder
from lookalike.embed.presets import DEFAULT_MODEL, PRESETS, Preset
from tests.conftest import PACKAGE

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

LICENCES = {
    "apache-2.0": "Apache-2.0",
    "apple-amlr": "Apple AMLR (research only)",
    "dinov3-license": "DINOv3 (conditions)",
}
FROM_TIMM = [preset for preset in PRESETS.values() if preset.timm_model]
FROM_OPEN_CLIP = [preset for preset in PRESETS.values() if preset.clip_model]


@pytest.fixture
def build() -> Iterator[Callable[..., Any]]:
    """Builds models that have shapes but no numbers, so that they cost nothing to run.

    Their attention consists of plain matrix products: those of fused kernels are not counted.
    """
    timm.layers.set_fused_attn(False)
    with torch.device("meta"):
        yield timm.create_model
    timm.layers.set_fused_attn(True)


def measured(model: Any, size: tuple[int, int]) -> tuple[tuple[int, ...], int, float]:
    """The shape of the output for one picture, the number of parameters, and 10^9 multiply-adds."""
    model.eval().requires_grad_(False)
    with flop_counter.FlopCounterMode(display=False) as counter:
        output = model(torch.zeros(1, 3, *size))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return tuple(output.shape), parameters, float(f"{counter.get_total_flops() / 2e9:.3g}")


@pytest.mark.parametrize("preset", FROM_TIMM, ids=lambda preset: preset.name)
def test_a_preset_is_what_timm_builds(preset: Preset, build: Callable[..., Any]) -> None:
    model = build(preset.timm_model, num_classes=0)
    assert timm.data.resolve_model_data_config(model)["input_size"] == (3, *preset.size)
    assert measured(model, preset.size) == ((1, preset.dim), preset.parameters, preset.gmacs)


@pytest.mark.parametrize("preset", FROM_OPEN_CLIP, ids=lambda preset: preset.name)
def test_a_preset_that_reads_words_is_what_open_clip_builds(
    preset: Preset, build: Callable[..., Any]
) -> None:
    architecture, _, tag = preset.clip_model.removeprefix("clip:").partition("/")
    assert open_clip.is_pretrained_cfg(architecture, tag)
    with torch.device("meta"):
        model = open_clip.create_model(architecture, load_weights=False, device="meta")
    sees = model.visual.image_size
    assert (sees if isinstance(sees, tuple) else (sees, sees)) == preset.size
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        found = measured(model.visual, preset.size)
    assert found == ((1, preset.dim), preset.parameters, preset.gmacs)


def test_a_preset_that_reads_words_has_the_licence_of_the_same_pictures_without_them() -> None:
    same = {preset.name: preset.licence for preset in FROM_TIMM}
    for preset in FROM_OPEN_CLIP:
        assert preset.licence == same[preset.name.removesuffix("-text")]


def test_the_packaged_model_is_what_is_said(build: Callable[..., Any]) -> None:
    packaged = PRESETS[DEFAULT_MODEL]
    # Its projection to 384 numbers has the shape of a classifier with as many classes.
    model = build("tf_efficientnet_lite0", num_classes=packaged.dim)
    assert measured(model, packaged.size) == ((1, 384), packaged.parameters, packaged.gmacs)
    assert load_embedder(packaged.name).dim == packaged.dim
    text = (PACKAGE / "embed" / "default_model" / "model.json").read_text(encoding="utf-8")
    assert json.loads(text)["size"] in (packaged.size[0], list(packaged.size))


def test_timm_has_weights_for_every_preset_under_the_licence_that_is_shown() -> None:
    pretrained = set(timm.list_models(pretrained=True))
    assert {preset.timm_model for preset in FROM_TIMM} <= pretrained
    for preset in FROM_TIMM:
        licence = timm.get_pretrained_cfg(preset.timm_model).license
        shown = "MIT" if preset.timm_model.endswith(".laion2b") else LICENCES[licence]
        assert preset.licence == shown, preset.name


def test_a_preset_with_the_name_of_a_timm_model_is_timms_default() -> None:
    for name in ("resnet34", "resnet50"):
        default = timm.get_pretrained_cfg(name)
        assert PRESETS[name].timm_model == f"{default.architecture}.{default.tag}"
    clashing = set(PRESETS) & set(timm.list_models())
    assert clashing == {"resnet34", "resnet50"}


def test_the_packaged_model_is_first_and_the_others_follow_by_their_cost() -> None:
    presets = list(PRESETS.values())
    assert (presets[0].name, presets[0].timm_model) == (DEFAULT_MODEL, "")
    assert [preset.gmacs for preset in presets] == sorted(preset.gmacs for preset in presets)
    assert all(name == preset.name for name, preset in PRESETS.items())
    readers = [preset for preset in presets if preset.reads_words]
    assert len(PRESETS) - len(readers) <= 12
    assert len(readers) <= 3


def test_every_family_that_is_asked_for_is_there() -> None:
    models = {preset.timm_model for preset in FROM_TIMM}
    for part in ("resnet34.", "resnet50.", "convnext_", "_dinov2.", "_dinov3.", "siglip", "mclip"):
        assert any(part in model for model in models), part
