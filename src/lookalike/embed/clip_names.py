"""The names of open_clip's pretrained models. Importing this loads PyTorch, too."""

from __future__ import annotations

import open_clip

from lookalike.embed.source import CLIP_PREFIX
from lookalike.embed.timm_names import matching


def pretrained_names(pattern: str) -> list[str]:
    """Names of models with weights, as `--model` takes them; see `timm_names`."""
    names = (f"{CLIP_PREFIX}{model}/{tag}" for model, tag in open_clip.list_pretrained())
    return matching(names, pattern, tag="/")
