"""What all errors have in common."""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """The first line of what another library says, or the error's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class LookalikeError(Exception):
    """The base of all errors: says what happened, to which thing, and what to do."""


class PathUnusable(LookalikeError):
    """What is at `path`, a path or address, cannot be used; `reason` says why, without the path."""

    form = "{path}: {reason}."

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(self.form.format(path=path, reason=reason))
