"""Runs the text tower of an exported model on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookalike.embed.exports import TEXT_GRAPH, TOKENIZER
from lookalike.embed.openvino_engine import OpenVINOEngine
from lookalike.embed.tokens import Tokens


class TextEngine:
    """A tokenizer and the graph behind it."""

    def __init__(self, folder: Path, *, cleaning: str, streams: int) -> None:
        """Compile ``text.xml`` of `folder`; raises `ModelUnusable`."""
        self._tokens = Tokens.read(folder / TOKENIZER, cleaning=cleaning)
        # In fp32: for one text the fewer bits save less than turning the weights into them costs.
        self._engine = OpenVINOEngine(folder, precision="fp32", streams=streams, graph=TEXT_GRAPH)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Texts, one at least -> (n, dim) float32, unit rows."""
        return self._engine(self._tokens(texts))
