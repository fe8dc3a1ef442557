"""open_clip's tokenizers become files that run without open_clip and PyTorch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import open_clip.tokenizer
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

from lookalike.embed import hub
from lookalike.embed.timm_models import BAD_CHECKPOINT
from lookalike.embed.tokens import CLEANINGS, Tokens
from lookalike.errors import ModelUnusable, reason_of

PROBES = (
    "", " ", "a", "A red car", "a photo of a cat.", "it's what they'd've said",
    "two  spaces\ttabs\n", "1234567890", "3.14 km²", "C++ & C#",
    "<start_of_text> again <end_of_text>", "&lt;b&gt; &amp;amp;", "Überraschung",
    "naïve café", "nai\u0308ve cafe\u0301", "Москва зимой", "東京の夜", "서울의 봄",
    "قطة على الشجرة", "नमस्ते दुनिया", "ไทย", "😀👍🏽", "👩\u200d👩\u200d👧", "🇩🇪🇫🇷", "schÃ¶n",
    "“quotes” – dashes…", "snake_case_name", "under_ score", "a\u00a0b\u200bc",
    "\u0130stanbul", "that'\u017f \u017ftra\u00dfe", "\u1fb3\u0345a", "!!! ???", "it''s",
    "word " * 200, "😀" * 100, "x" * 1000,
)  # fmt: skip
_UNAVAILABLE: tuple[type[Exception], ...] = (*hub.HUB_ERRORS, *BAD_CHECKPOINT, ImportError)


def tokens_of(name: str, model_name: str, text_config: dict[str, Any]) -> tuple[Tokens, str]:
    """A model's tokenizer and its way of cleaning, the same as open_clip's on many a text.

    Args:
        name: what the model is called here.
        model_name: what open_clip knows it by.
        text_config: the part ``text_cfg`` of its configuration.

    Raises:
        ModelUnusable: it cannot be had, or not without PyTorch.
    """
    # A repository may say in its configuration that its code is to be run.
    wanted = {"trust_remote_code": False} if text_config.get("hf_tokenizer_name") else {}
    try:
        with silent(), hub.reachable_or_offline():
            original: Any = open_clip.get_tokenizer(model_name, **wanted)
            expected = original(list(PROBES)).numpy()
    except _UNAVAILABLE as error:
        raise ModelUnusable(
            f"The tokenizer of {name} is not on this machine and cannot be had "
            f"({reason_of(error)}). Offline copy the hub's cache (HF_HOME) from another machine, "
            "or name a folder that has it: clip:FOLDER."
        ) from error
    try:
        cleaning = _cleaning(original)
        tokens = Tokens(_converted(original), cleaning=cleaning)
        same = np.array_equal(tokens(PROBES), expected)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise _refused(name) from error
    if not same:
        raise _refused(name)
    return tokens, cleaning


def _refused(name: str) -> ModelUnusable:
    return ModelUnusable(
        f"The tokenizer of {name} works in a way that lookalike cannot repeat without PyTorch. "
        "Choose another model: lookalike models."
    )


def _cleaning(original: Any) -> str:
    functions = {open_clip.tokenizer.get_clean_fn(name): name for name in CLEANINGS}
    return functions[original.clean_fn]


def _converted(original: Any) -> Tokenizer:
    """As long as open_clip's, with the same padding."""
    if isinstance(original, open_clip.SimpleTokenizer):
        converted, padding = _byte_pairs(original), {"pad_id": 0, "pad_token": "!"}
    else:
        whole = original.tokenizer
        converted = Tokenizer.from_str(whole.backend_tokenizer.to_str())
        padding = {
            "pad_id": whole.pad_token_id,
            "pad_token": whole.pad_token,
            "direction": whole.padding_side,
        }
    converted.enable_truncation(original.context_length)
    converted.enable_padding(length=original.context_length, **padding)
    return converted


def _byte_pairs(original: Any) -> Tokenizer:
    """CLIP's own byte-pair encoding."""
    start, end = (original.decoder[number] for number in original.all_special_ids[:2])
    merges = sorted(original.bpe_ranks, key=original.bpe_ranks.__getitem__)
    converted = Tokenizer(
        models.BPE(vocab=original.encoder, merges=merges, end_of_word_suffix="</w>")
    )
    # Its pattern ignores case: one lower-case letter is an s by that, one accent not a symbol.
    pattern = original.pat.pattern.replace("|'s|", "|'[s\u017f]|")
    pattern = pattern.replace(r"[^\s", "[^\\s\u0345")
    converted.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    converted.add_special_tokens([AddedToken(token, normalized=False) for token in (start, end)])
    converted.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=list(zip((start, end), original.all_special_ids[:2], strict=True)),
    )
    return converted


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what open_clip tells the root logger, which that would set up to print."""
    nowhere, root = logging.NullHandler(), logging.getLogger()
    folder = str(Path(open_clip.__file__).parent)

    def is_of_others(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(folder)

    root.addHandler(nowhere)
    root.addFilter(is_of_others)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(is_of_others)
        root.removeHandler(nowhere)
