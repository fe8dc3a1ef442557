"""Models worth knowing, by short names. Any other can be named just as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_MODEL = "efficientnet-lite0-384"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A model and what it costs.

    `timm_model` is its full name in timm, with the tag of its weights; for one that reads words it
    is empty and `clip_model` is its full name in open_clip, behind ``clip:``. The packaged model
    has neither. `size` is (height, width) in pixels, `parameters` and `gmacs`, 10^9 multiply-adds,
    are those of the part that sees pictures, `licence` is that of the weights.
    """

    name: str
    timm_model: str
    dim: int
    size: tuple[int, int]
    parameters: int
    gmacs: float
    licence: str
    good_for: str
    clip_model: str = ""

    @property
    def full_name(self) -> str:
        """The name that its library knows it by."""
        return self.timm_model or self.clip_model

    @property
    def reads_words(self) -> bool:
        """Whether pictures can be asked for with words."""
        return bool(self.clip_model)


_ALL = (
    Preset(
        name=DEFAULT_MODEL,
        timm_model="",
        dim=384,
        size=(224, 224),
        parameters=3_862_912,
        gmacs=0.384,
        licence="Apache-2.0",
        good_for="photos of things and animals; packaged: needs no download and no PyTorch",
    ),
    Preset(
        name="mobileclip2-s0",
        timm_model="fastvit_mci0.apple_mclip2_dfndr2b",
        dim=1024,
        size=(256, 256),
        parameters=10_882_176,
        gmacs=2.39,
        licence="Apple AMLR (research only)",
        good_for="subjects and scenes, drawings, too; made for CPUs",
    ),
    Preset(
        name="mobileclip2-s0-text",
        timm_model="",
        clip_model="clip:MobileCLIP2-S0/dfndr2b",
        dim=512,
        size=(256, 256),
        parameters=11_406_976,
        gmacs=2.39,
        licence="Apple AMLR (research only)",
        good_for="asking in words; made for CPUs",
    ),
    Preset(
        name="mobilenetv4-medium",
        timm_model="mobilenetv4_conv_medium.e250_r384_in12k",
        dim=1280,
        size=(384, 384),
        parameters=8_434_512,
        gmacs=2.43,
        licence="Apache-2.0",
        good_for="photos of things and animals, in finer detail; made for CPUs",
    ),
    Preset(
        name="resnet34",
        timm_model="resnet34.a1_in1k",
        dim=512,
        size=(224, 224),
        parameters=21_284_672,
        gmacs=3.66,
        licence="Apache-2.0",
        good_for="what tutorials use; to compare with",
    ),
    Preset(
        name="resnet50",
        timm_model="resnet50.a1_in1k",
        dim=2048,
        size=(224, 224),
        parameters=23_508_032,
        gmacs=4.09,
        licence="Apache-2.0",
        good_for="what papers use; to compare with; long vectors",
    ),
    Preset(
        name="clip-base",
        timm_model="vit_base_patch32_clip_224.laion2b",
        dim=768,
        size=(224, 224),
        parameters=87_456_000,
        gmacs=4.41,
        # As those say who trained it; timm's config has timm's own licence here.
        licence="MIT",
        good_for="subjects and scenes, drawings and screenshots, too; little fine detail",
    ),
    Preset(
        name="clip-base-text",
        timm_model="",
        clip_model="clip:ViT-B-32/laion2b_s34b_b79k",
        dim=512,
        size=(224, 224),
        parameters=87_849_216,
        gmacs=4.41,
        licence="MIT",
        good_for="asking in words, in English",
    ),
    Preset(
        name="convnext-tiny",
        timm_model="convnext_tiny.in12k_ft_in1k",
        dim=768,
        size=(224, 224),
        parameters=27_820_128,
        gmacs=4.45,
        licence="Apache-2.0",
        good_for="photos of things and animals; CPU or GPU",
    ),
    Preset(
        name="dinov3-convnext-tiny",
        timm_model="convnext_tiny.dinov3_lvd1689m",
        dim=768,
        size=(224, 224),
        parameters=27_820_128,
        gmacs=4.45,
        licence="DINOv3 (conditions)",
        good_for="the same thing or place again, textures; CPU or GPU",
    ),
    Preset(
        name="dinov3-small",
        timm_model="vit_small_patch16_dinov3.lvd1689m",
        dim=384,
        size=(256, 256),
        parameters=21_586_944,
        gmacs=6.25,
        licence="DINOv3 (conditions)",
        good_for="the same thing or place again, textures; short vectors; CPU or GPU",
    ),
    Preset(
        name="siglip2-base",
        timm_model="vit_base_patch16_siglip_224.v2_webli",
        dim=768,
        size=(224, 224),
        parameters=92_884_224,
        gmacs=17.7,
        licence="Apache-2.0",
        good_for="subjects and scenes, drawings and screenshots, too; for a GPU",
    ),
    Preset(
        name="siglip2-base-text",
        timm_model="",
        clip_model="clip:ViT-B-16-SigLIP2/webli",
        dim=768,
        size=(224, 224),
        parameters=92_884_224,
        gmacs=17.7,
        licence="Apache-2.0",
        good_for="asking in words, in many languages; for a GPU",
    ),
    Preset(
        name="dinov3-base",
        timm_model="vit_base_patch16_dinov3.lvd1689m",
        dim=768,
        size=(256, 256),
        parameters=85_641_216,
        gmacs=23.6,
        licence="DINOv3 (conditions)",
        good_for="the same thing or place again, textures; for a GPU",
    ),
    Preset(
        name="dinov2-small",
        timm_model="vit_small_patch14_dinov2.lvd142m",
        dim=384,
        size=(518, 518),
        parameters=22_056_192,
        gmacs=46.7,
        licence="Apache-2.0",
        good_for="the same thing or place again, in fine detail; for a GPU",
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""By name: the packaged model first, and the cheaper before the dearer."""
