"""Small text-image models of open_clip with random weights, in folders as open_clip saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CLIP = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2,
    },
}  # fmt: skip
SIGLIP = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160, "timm_model_name": "test_vit", "timm_model_pretrained": False,
        "timm_pool": "map", "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 24, "vocab_size": 600, "hf_tokenizer_name": "beside",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 64, "heads": 4, "layers": 2,
        "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
    },
}  # fmt: skip
SQUASHED = {
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def save_clip(folder: Path) -> Path:
    """A CLIP with its byte-pair encoding."""
    return _save(folder, CLIP, {})


def save_siglip(folder: Path) -> Path:
    """A SigLIP whose tokenizer, trained here, lies beside it."""
    folder.mkdir()
    _tokenizer().save_pretrained(folder)
    return _save(folder, SIGLIP, SQUASHED)


def _save(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    written = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(written), encoding="utf-8")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("visual.") and parameter.ndim > 1:
                # Trained ones are wider than those one starts with, by which all texts are alike.
                parameter.mul_(5)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _tokenizer() -> Any:
    """A SentencePiece unigram tokenizer like SigLIP's, with an end and no beginning."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(open_clip.IMAGENET_CLASSNAMES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
