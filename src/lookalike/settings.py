"""The table of settings: name, default, unit, environment variable and help of each."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from lookalike.errors import InvalidSetting

PRECISIONS = ("auto", "bf16", "fp32", "int8")
_LEAST = {
    "max_pixels": 1, "max_bytes": 1, "max_seconds": 1, "batch_size": 0, "threads": 0,
    "network_reads": 1, "max_archive_members": 1, "max_archive_bytes": 1, "server_wait_s": 0,
    "allow_private_urls": 0, "max_upload_bytes": 1, "max_upload_pixels": 1,
    "max_upload_seconds": 1,
    "requests_per_minute": 0, "concurrent_requests": 1,
}  # fmt: skip


def _setting(default: Any, *, unit: str, help: str) -> Any:  # noqa: A002
    return dataclasses.field(default=default, metadata={"unit": unit, "help": help})


def available_cores() -> int:
    """Cores this process may use: fewer than the machine has, in a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_database() -> str:
    """``images.db`` in the folder where this platform keeps a program's data."""
    return str(Path(platformdirs.user_data_dir("lookalike", appauthor=False)) / "images.db")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be tuned. Every field is read from ``LOOKALIKE_<NAME>`` by `from_environment`."""

    max_pixels: int = _setting(
        200_000_000,
        unit="pixels",
        help="Pictures with more pixels are skipped: decoding them could exhaust the memory.",
    )
    max_bytes: int = _setting(
        1_000_000_000,
        unit="bytes",
        help="Larger files are skipped: a file is read as a whole.",
    )
    max_seconds: int = _setting(
        60,
        unit="seconds",
        help="Pictures that take longer to read and decode are skipped.",
    )
    precision: str = _setting(
        "auto",
        unit="auto, bf16, fp32 or int8",
        help="Arithmetic of the model; auto is bf16 where the processor has it.",
    )
    device: str = _setting(
        "auto",
        unit="auto, cpu, cuda, cuda:N or mps",
        help="What runs timm models; auto is a GPU for indexing, where there is one.",
    )
    batch_size: int = _setting(
        0,
        unit="pictures",
        help="Pictures that go through the model and are committed together; 0 is 16 on a CPU "
        "and 128 on a GPU.",
    )
    threads: int = _setting(
        0, unit="threads", help="Threads that decode, and that embed; 0 is one for each core."
    )
    network_reads: int = _setting(
        16,
        unit="requests",
        help="Requests to a storage or web server that are under way at once.",
    )
    max_archive_members: int = _setting(
        100_000,
        unit="files",
        help="Archives with more files in them are skipped.",
    )
    max_archive_bytes: int = _setting(
        10_000_000_000,
        unit="bytes",
        help="Compressed tar files that are larger once decompressed are skipped.",
    )
    allow_private_urls: int = _setting(
        0,
        unit="0 or 1",
        help="Whether a question, or a picture shown from an index, may have an address on this "
        "machine or in its network.",
    )
    server_wait_s: int = _setting(
        60,
        unit="seconds",
        help="How long a Milvus server is waited for that has gone away; one that was killed takes "
        "up to 40 to come back.",
    )

    max_upload_bytes: int = _setting(
        50_000_000,
        unit="bytes",
        help="What a client may send to a server with one request.",
    )
    max_upload_pixels: int = _setting(
        50_000_000,
        unit="pixels",
        help="Larger pictures of a server's clients are not decoded.",
    )
    max_upload_seconds: int = _setting(
        30,
        unit="seconds",
        help="In which time what a client sends to a server must be there.",
    )
    requests_per_minute: int = _setting(
        600,
        unit="requests",
        help="What one client may ask of a server; thumbnails hardly count, and 0 is no limit.",
    )
    concurrent_requests: int = _setting(
        64,
        unit="requests",
        help="How many requests a server works on at once; it refuses others.",
    )

    def __post_init__(self) -> None:
        """Raise `InvalidSetting` where a value is out of range."""
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                expected = f"a whole number from {least} up"
                raise InvalidSetting(environment_variable(name), getattr(self, name), expected)
        if self.allow_private_urls > 1:
            name = environment_variable("allow_private_urls")
            raise InvalidSetting(name, self.allow_private_urls, "0 or 1")
        if self.precision not in PRECISIONS:
            name = environment_variable("precision")
            raise InvalidSetting(name, self.precision, "auto, bf16, fp32 or int8")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", self.device):
            name = environment_variable("device")
            raise InvalidSetting(name, self.device, "auto, cpu, cuda, cuda:N or mps")

    @property
    def workers(self) -> int:
        """The number of threads, with 0 resolved."""
        return self.threads or available_cores()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The defaults, replaced by what the environment variables say."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            name = environment_variable(field.name)
            text = environ.get(name, "")
            if not text:
                continue
            if isinstance(field.default, int):
                try:
                    values[field.name] = int(text)
                except ValueError:
                    raise InvalidSetting(name, text, "a whole number") from None
            else:
                values[field.name] = text
        return cls(**values)


def environment_variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"LOOKALIKE_{name.upper()}"
