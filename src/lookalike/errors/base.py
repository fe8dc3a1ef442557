"""What all errors have in common."""

from __future__ import annotations

from typing import Any, TypeVar

Error = TypeVar("Error", bound="LookalikeError")


def reason_of(error: BaseException) -> str:
    """The first line of what another library says, or the error's name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class LookalikeError(Exception):
    """The base of all errors: says what happened, to which thing, and what to do."""

    def __reduce__(self) -> tuple[Any, ...]:
        """How it gets to another process, without what its class is called with."""
        return restored, (type(self), self.args, vars(self))


def restored(kind: type[Error], args: tuple[object, ...], fields: dict[str, Any]) -> Error:
    """An error that another process has raised."""
    error = kind.__new__(kind, *args)
    for name, value in fields.items():
        setattr(error, name, value)
    return error


class PathUnusable(LookalikeError):
    """What is at `path`, a path or address, cannot be used; `reason` says why, without the path."""

    form = "{path}: {reason}."

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(self.form.format(path=path, reason=reason))
