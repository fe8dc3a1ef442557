"""Models worth knowing, by short names; any other of timm's can be named just as well."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MODEL = "efficientnet-lite0-384"


@dataclass(frozen=True, slots=True)
class Preset:
    """A model and what it costs.

    `timm_model` is its name in timm, empty for the packaged one; `size` is (height, width) in
    pixels; `parameters` are in millions; `gmacs` are 10^9 multiply-adds for one picture.
    """

    name: str
    timm_model: str
    dim: int
    size: tuple[int, int]
    parameters: float
    gmacs: float
    licence: str
    good_for: str


_ALL = (
    Preset(
        DEFAULT_MODEL, "", 384, (224, 224), 3.9, 0.4, "apache-2.0",
        "packaged: no download, fast on any CPU",
    ),
    Preset(
        "mobileclip2-s0", "fastvit_mci0.apple_mclip2_dfndr2b", 1024, (256, 256), 10.9, 2.4,
        "apple-amlr (research only)", "what is in a picture, at little cost",
    ),
    Preset(
        "resnet34", "resnet34.a1_in1k", 512, (224, 224), 21.3, 3.7, "apache-2.0",
        "the classic of tutorials",
    ),
    Preset(
        "resnet50", "resnet50.a1_in1k", 2048, (224, 224), 23.5, 4.1, "apache-2.0",
        "to compare with others",
    ),
    Preset(
        "convnext-tiny", "convnext_tiny.in12k_ft_in1k", 768, (224, 224), 27.8, 4.5, "apache-2.0",
        "objects, well and still fast",
    ),
    Preset(
        "dinov2-small", "vit_small_patch14_dinov2.lvd142m", 384, (518, 518), 22.1, 46.7,
        "apache-2.0", "fine differences within a kind; slow on a CPU",
    ),
    Preset(
        "dinov3-small", "vit_small_patch16_dinov3.lvd1689m", 384, (256, 256), 21.6, 6.2,
        "dinov3-license (Meta's terms)", "fine differences within a kind",
    ),
    Preset(
        "dinov3-base", "vit_base_patch16_dinov3.lvd1689m", 768, (256, 256), 85.6, 23.6,
        "dinov3-license (Meta's terms)", "the same, better; for a GPU",
    ),
    Preset(
        "siglip2-base", "vit_base_patch16_siglip_224.v2_webli", 768, (224, 224), 92.9, 17.7,
        "apache-2.0", "what is in a picture; for a GPU",
    ),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in _ALL}
"""By name; the packaged model first, then by cost."""
