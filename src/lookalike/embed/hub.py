"""Hugging Face's hub: offline at once where there is no way to it, and what its errors mean."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import constants, errors, hf_hub_download, utils

from lookalike.errors import ModelUnusable

# It reports its use along with its downloads unless this is set.
if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:
    constants.HF_HUB_DISABLE_TELEMETRY = True

# What it raises, and urllib for the few weights that are not on the hub.
HUB_ERRORS: tuple[type[Exception], ...] = (OSError, errors.HTTPError)  # type: ignore[attr-defined]

# It announces every attempt at a download; the failure of the last one is raised.
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

_LOG_IN = "log in first (hf auth login, or HF_TOKEN)"
_FILE = "name a file that you have with --weights FILE"


@contextlib.contextmanager
def reachable_or_offline() -> Iterator[None]:
    """Offline for as long as this lasts, where the hub's host has no address.

    The hub's library would try for 47 s to reach it.
    """
    unreachable = _is_unreachable()
    if unreachable:
        _set_offline(True)
    try:
        yield
    finally:
        if unreachable:
            _set_offline(False)


def download(repository: str, names: Sequence[str]) -> Path:
    """The first of these files that a repository has, in the hub's cache; raises `HUB_ERRORS`."""
    for name in names[:-1]:
        with contextlib.suppress(errors.EntryNotFoundError):
            return Path(hf_hub_download(repository, name))
    return Path(hf_hub_download(repository, names[-1]))


def _is_unreachable() -> bool:
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return False
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return True
    return False


def _set_offline(offline: bool) -> None:
    constants.HF_HUB_OFFLINE = offline
    # Before version 1, sessions remembered what held when they were made.
    getattr(utils, "reset_sessions", lambda: None)()


def unusable(name: str, error: Exception) -> ModelUnusable:
    """What an error of the hub means for the model of this name, and what can be done."""
    # What the library takes for a lost connection may have been an answer: that is its cause.
    told: BaseException = error
    while _status(told) is None and told.__cause__ is not None:
        told = told.__cause__
    status = _status(told)
    if isinstance(told, errors.GatedRepoError):
        says = (
            f"The weights of {name} are given only to those who have accepted their terms. Accept "
            f"them on the model's page at the hub and {_LOG_IN}, or {_FILE}."
        )
    elif isinstance(told, errors.RepositoryNotFoundError):
        says = (
            f"The hub has no repository of {name}, or a private one. Check the spelling; for a "
            f"private one {_LOG_IN}."
        )
    elif isinstance(told, errors.RevisionNotFoundError):
        says = f"The hub has no such revision of {name}. Check what stands behind the @ in it."
    elif status == HTTPStatus.NOT_FOUND:
        says = (
            f"The weights of {name} are not where timm looks for them ({_file(told)}: {status}). "
            f"Choose another model: lookalike models, or {_FILE}."
        )
    elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        says = (
            f"The hub refuses to give out the weights of {name} ({status}). If a token is set, it "
            f"may be wrong or have too few rights; {_LOG_IN}, or {_FILE}."
        )
    elif status is not None:
        says = (
            f"The hub cannot give out the weights of {name} now (it answers {status}). Try again "
            f"later, or {_FILE}."
        )
    else:
        says = (
            f"The weights of {name} are not on this machine and cannot be downloaded "
            f"({type(error).__name__}). Offline there are three ways: {_FILE}, copy the hub's "
            "cache (HF_HOME) from another machine, or use the packaged model, without --model."
        )
    return ModelUnusable(says)


def _status(error: BaseException) -> int | None:
    """The HTTP status that was answered, by the hub or to urllib."""
    answer = getattr(error, "response", None)
    status: int | None = getattr(answer, "status_code", None) or getattr(error, "code", None)
    return status


def _file(error: BaseException) -> str:
    url = getattr(getattr(error, "response", None), "url", None) or getattr(error, "url", None)
    name = urllib.parse.urlsplit(str(url)).path.rpartition("/")[2] if url else ""
    return name or "no file"
