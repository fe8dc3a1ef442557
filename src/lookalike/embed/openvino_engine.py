"""Runs an exported model on the CPU. OpenVINO is imported here; others take `ov` from here."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lookalike.errors import ModelUnusable

# OpenVINO reports its use over the network when it is imported, unless this package is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

__all__ = ["OpenVINOEngine", "capabilities", "ov"]

# The first conversion between an array and a tensor fills a table in OpenVINO's binding; two
# threads that do it at once wait for each other for ever. An import is never done twice at once.
_ = ov.Tensor(np.zeros(1, np.uint8), shared_memory=True).data

# More do not fit the caches of one core: 4 are some percent faster than 16.
PICTURES_AT_ONCE = 4


def capabilities(core: ov.Core | None = None) -> frozenset[str]:
    """What the CPU is fast at, as OpenVINO names it: ``BF16``, ``INT8`` and others."""
    return frozenset((core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class OpenVINOEngine:
    """A compiled model with one stream of one thread for each worker.

    Streams that do not wait for each other share the cores with the decoding threads better than
    one request on all cores does; pinning them would put both on the same core.
    """

    def __init__(
        self, folder: Path, *, precision: str, streams: int, graph: str = "model.xml"
    ) -> None:
        """Compile a graph of `folder`.

        Args:
            folder: the exported model.
            precision: ``fp32``, ``bf16``, or ``auto`` for bf16 where the CPU has it.
            streams: how many threads may call at once without waiting.
            graph: its file.
        """
        try:
            core = ov.Core()
            if precision == "auto":
                precision = "bf16" if "BF16" in capabilities(core) else "fp32"
            self._compiled = core.compile_model(
                core.read_model(folder / graph),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
                    "NUM_STREAMS": streams,
                    "INFERENCE_NUM_THREADS": streams,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ModelUnusable(f"The model in {folder} cannot be run ({reason}).") from error
        self._requests = threading.local()

    def __call__(self, inputs: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 or (n, length) int64 -> (n, dim) float32, unit rows."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        parts = []
        for start in range(0, len(inputs), PICTURES_AT_ONCE):
            request.infer([inputs[start : start + PICTURES_AT_ONCE]], share_inputs=True)
            parts.append(request.get_output_tensor(0).data.copy())
        return np.concatenate(parts)
