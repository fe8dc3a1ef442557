"""The packages that lookalike runs on, and its optional parts."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from lookalike.doctor.finding import Finding, broken, ok, warning
from lookalike.version import __version__

ENGINES = ("openvino", "pymilvus", "milvus-lite", "faiss-cpu", "numpy", "pillow", "pyarrow")
_OWN = "lookalike"
_NOT_FOR_USERS = frozenset({"dev"})


def requirements() -> Iterator[Finding]:
    """Whether what lookalike needs is there, in versions that it works with."""
    yield ok(
        _OWN,
        f"{__version__} on Python {platform.python_version()}, {platform.platform(terse=True)}",
    )
    wrong = [each for each in _needed("") if _problem(each)]
    for each in wrong:
        fix = f"pip install '{each.name}{each.specifier}'"
        yield broken("packages", f"{each.name} {_problem(each)}.", fix)
    if not wrong:
        found = ((name, _version(name)) for name in ENGINES)
        yield ok("packages", ", ".join(f"{name} {version}" for name, version in found if version))


def extras() -> Iterator[Finding]:
    """Which optional parts are there, not there, and there in part."""
    there, missing = [], []
    names = metadata.metadata(_OWN).get_all("Provides-Extra") or []
    for extra in sorted(set(names) - _NOT_FOR_USERS):
        needed = _needed(extra)
        wrong = [each for each in needed if _problem(each)]
        if not wrong:
            there.append(extra)
        elif _is_begun(needed):
            first = wrong[0]
            fix = f"pip install '{_OWN}[{extra}]'"
            yield warning(extra, f"Of this part {first.name} {_problem(first)}.", fix)
        else:
            missing.append(extra)
    installed = f"installed: {', '.join(there) or 'none'}"
    others = f"; not installed: {', '.join(missing)} (pip install '{_OWN}[…]')" if missing else ""
    yield ok("extras", f"{installed}{others}")


def _is_begun(needed: list[Requirement]) -> bool:
    """Whether an extra was installed once: all that it needs is there, if in a wrong version."""
    return all(_version(each.name) for each in needed)


def _needed(extra: str) -> list[Requirement]:
    """What an extra needs beyond the core, or the core itself for the empty one."""
    known = [Requirement(text) for text in metadata.requires(_OWN) or []]
    core = {str(each) for each in known if _applies(each, "")}
    if not extra:
        return [each for each in known if str(each) in core]
    needed: list[Requirement] = []
    for each in known:
        if str(each) in core or not _applies(each, extra):
            continue
        if each.name == _OWN:
            needed += [other for name in each.extras for other in _needed(name)]
        else:
            needed.append(each)
    return needed


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _problem(requirement: Requirement) -> str:
    """What is wrong with what is installed; empty if nothing is."""
    version = _version(requirement.name)
    if version is None:
        return "is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{version} is installed, but {requirement.specifier} is needed"
    return ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
