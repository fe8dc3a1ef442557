"""The machine: its processor, its settings, what decodes pictures, and room for what is kept."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import platformdirs
from PIL import features

from lookalike.doctor.finding import Finding, broken, ok, warning
from lookalike.settings import Settings, available_cores
from lookalike.sources.names import without_secrets

LEAST_FREE_BYTES, LITTLE_FREE_BYTES = 50_000_000, 1_000_000_000
_FLAGS = {  # as Linux names them: what makes a model fast
    "avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX",
    "avx512_vnni": "VNNI", "avx_vnni": "VNNI", "asimd": "NEON", "bf16": "bf16", "i8mm": "int8",
}  # fmt: skip
_PREFIX = "LOOKALIKE_"


def settings(known: Collection[str]) -> Iterator[Finding]:
    """Whether all variables are such as lookalike reads, and have possible values.

    Args:
        known: the names of those that are no settings, but options.
    """
    from_environment = {name for name in os.environ if name.startswith(_PREFIX)}
    names = {f"{_PREFIX}{name.upper()}" for name in Settings.__dataclass_fields__} | {*known}
    for name in sorted(from_environment - names):
        nearest = difflib.get_close_matches(name, names, 1)
        meant = f"It may be meant for {nearest[0]}." if nearest else "See docs/settings.md."
        yield warning("settings", f"There is no {name}, so it does nothing.", meant)
    Settings.from_environment()
    shown = sorted(name for name in from_environment & names if "TOKEN" not in name)
    values = ", ".join(f"{name}={_without_password(os.environ[name])}" for name in shown)
    yield ok("settings", values or "defaults")


def _without_password(value: str) -> str:
    """A setting or an option; an address may have a user and a password, with any signs in it."""
    scheme, separator, rest = value.partition("://")
    if separator and "@" in rest:
        value = f"{scheme}://…@{rest.rpartition('@')[2]}"
    return without_secrets(value)


def processor() -> Iterator[Finding]:
    """Which cores may be used, and what the model runs with on them."""
    # Imported here: it takes 0.3 s, and may be what is broken.
    from lookalike.embed.openvino_engine import capabilities  # noqa: PLC0415

    has = capabilities()
    names = dict.fromkeys(_FLAGS[flag] for flag in _FLAGS if flag in _cpu_flags())
    runs = "bf16" if "BF16" in has else "fp32, for it has no bf16, which is nearly twice as fast"
    cores = available_cores()
    known = f" with {', '.join(names)}" if names else ""
    plural = "core" if cores == 1 else "cores"
    yield ok("processor", f"{cores} {plural}{known}; the packaged model runs in {runs}")


def _cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What Linux knows of the processor; nothing elsewhere."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def decoders() -> Iterator[Finding]:
    """Which formats of pictures can be read."""
    probes: Mapping[str, Callable[[], bool | None]] = {
        "JPEG": lambda: features.check("jpg"),
        "PNG": lambda: features.check("zlib"),
        "TIFF": lambda: features.check("libtiff"),
        "WebP": lambda: features.check("webp"),
        "AVIF": lambda: features.check("avif"),
        "JPEG 2000": lambda: features.check("jpg_2000"),
        "HEIC": _reads_heic,
    }
    reads = {name: bool(probe()) for name, probe in probes.items()}
    for name, works in reads.items():
        if not works:
            package = "pi-heif" if name == "HEIC" else "pillow"
            yield warning(
                "decoders",
                f"{name} cannot be read here; such pictures are skipped.",
                f"pip install --force-reinstall {package}",
            )
    yield ok("decoders", ", ".join(name for name, works in reads.items() if works))


def _reads_heic() -> bool:
    try:
        import pi_heif  # noqa: PLC0415 - may be what is broken
    except ImportError:
        return False
    return bool(pi_heif.libheif_info()["decoders"])


def room(what: str, folder: Path) -> Iterator[Finding]:
    """Whether a folder can be written, and how much fits on its disk.

    Args:
        what: what is kept in it.
        folder: need not be there yet.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield broken(what, f"{there} cannot be written.", "See to the rights of this folder.")
        return
    free = shutil.disk_usage(there).free
    said = f"{there} can be written; {free / 1e9:.1f} GB are free"
    if free < LEAST_FREE_BYTES:
        yield broken(what, f"The disk of {there} is full.", "Free some space.")
    elif free < LITTLE_FREE_BYTES:
        yield warning(what, f"{said}.", "Free some space.")
    else:
        yield ok(what, said)


def cache() -> Iterator[Finding]:
    """The folder for exported models, which need not be there."""
    return room("cache", Path(platformdirs.user_cache_dir("lookalike", appauthor=False)))
