"""Runs a timm model with PyTorch: on CUDA, on Apple's GPUs, or on a CPU."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lookalike.embed.description import ModelDescription
from lookalike.embed.timm_models import TimmModel, build
from lookalike.errors import DeviceUnavailable, ModelUnusable
from lookalike.records import Pixels

_log = logging.getLogger("lookalike")


class TorchEngine:
    """A model on one device, which runs one batch at a time."""

    def __init__(self, model: TimmModel, *, device: str, precision: str) -> None:
        """Move the model to the device.

        Args:
            model: what is run.
            device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
            precision: ``fp32``, ``bf16``, or ``auto`` for 16 bits on GPUs.

        Raises:
            DeviceUnavailable: it is not there.
        """
        self.device = checked_device(device)
        self.name = model.description.name
        self._dtype = _arithmetic(self.device, precision)
        self._busy = threading.Lock()
        self._at_once = 0  # pictures that fit the memory, once it is known
        self._mean, self._std = (
            (torch.tensor(channels, device=self.device) * 255).view(1, 3, 1, 1)
            for channels in (model.description.mean, model.description.std)
        )
        module = model.module.eval()
        self._module = module.to(self.device).to(memory_format=torch.channels_last)

    def __call__(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, dim) float32, unit rows."""
        # Writable, or PyTorch warns: a single picture may be a view of what Pillow holds.
        batch = torch.from_numpy(np.require(pictures, requirements=["C", "W"]))
        if self.device.type == "cuda":
            # Before the lock: the next batch is copied while the GPU has this one.
            batch = batch.pin_memory()
        parts, start = [], 0
        with self._busy:
            while start < len(batch):
                part = batch[start : start + (self._at_once or len(batch))]
                vectors = self._run_if_it_fits(part)
                if vectors is None:
                    self._halve(len(part))
                else:
                    parts.append(vectors)
                    start += len(part)
        return np.concatenate(parts)

    def _run_if_it_fits(self, batch: torch.Tensor) -> npt.NDArray[np.float32] | None:
        # The memory is free only after the exception is: its traceback holds all tensors.
        try:
            return self._run(batch)
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:
            if "out of memory" in str(error) or "ALLOC_FAILED" in str(error):  # MPS, cuBLAS
                return None
            raise

    def _halve(self, tried: int) -> None:
        if tried <= 1:
            raise ModelUnusable(
                f"{self.device} has not enough free memory for one picture with {self.name}. "
                "Close what else uses it, or choose another device with --device."
            )
        self._at_once = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        """Raises `ModelUnusable` where the vectors are not finite, in fp32 either."""
        vectors = self._vectors(batch)
        if self._dtype is not None and not np.isfinite(vectors).all():
            _log.warning(
                "%s overflows in %s on %s; it goes on in fp32, which is slower.",
                self.name,
                str(self._dtype).removeprefix("torch."),
                self.device,
            )
            self._dtype = None
            vectors = self._vectors(batch)
        if not np.isfinite(vectors).all():
            raise ModelUnusable(
                f"{self.name} gives vectors that are no numbers on {self.device}, in fp32, too: "
                "its weights are damaged, or too large. Choose other weights (--weights FILE) or "
                "another model: lookalike models."
            )
        return vectors

    @torch.inference_mode()
    def _vectors(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        batch = batch.to(self.device, non_blocking=self.device.type == "cuda")
        # NHWC bytes permuted are NCHW in channels-last order: nothing is copied.
        inputs = (batch.permute(0, 3, 1, 2).float() - self._mean) / self._std
        lower = self._dtype is not None
        with torch.autocast(self.device.type, self._dtype) if lower else contextlib.nullcontext():
            features: torch.Tensor = self._module(inputs)
        # 16 bits are too few for rows of unit length, and for the sum of squares.
        return torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy()


def checked_device(name: str) -> torch.device:
    """The device of this name; raises `DeviceUnavailable`."""
    try:
        device = torch.device(name)
        # It may be there, and full; a batch may fit later.
        with contextlib.suppress(torch.OutOfMemoryError):
            torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceUnavailable(name, _devices()) from error
    return device


def _devices() -> tuple[str, ...]:
    cuda = (f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return ("cpu", *cuda, *(("mps",) if torch.backends.mps.is_available() else ()))


def _arithmetic(device: torch.device, precision: str) -> torch.dtype | None:
    """The type of autocast; None is fp32, which PyTorch rounds to TF32 in convolutions on CUDA."""
    if precision == "fp32" or (precision == "auto" and device.type == "cpu"):
        return None
    if device.type == "mps" or (device.type == "cuda" and not _has_bf16(device)):
        return torch.float16
    return torch.bfloat16


def _has_bf16(device: torch.device) -> bool:
    ampere = 8  # the first generation of which it is part, not emulated
    return torch.cuda.get_device_capability(device)[0] >= ampere


def best_device() -> str:
    """A GPU if PyTorch can use one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def start(
    description: ModelDescription,
    timm_name: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> TorchEngine:
    """The engine of a model that has been described before.

    Raises:
        ModelUnusable: what timm has by this name is not that model any more.
        DeviceUnavailable: the device is not there.
    """
    checked_device(device)
    model = build(description.name, timm_name=timm_name, weights=weights)
    return run(model, description, device, precision)


def run(
    model: TimmModel, description: ModelDescription, device: str, precision: str
) -> TorchEngine:
    """The engine of a model, if it is the one that has been described before.

    Raises:
        ModelUnusable: it is another one.
    """
    if model.description.fingerprint != description.fingerprint:
        raise ModelUnusable(
            f"The published weights of {description.name} are not those the index was made with: "
            "name them again with --weights FILE."
        )
    return TorchEngine(model, device=device, precision=precision)
