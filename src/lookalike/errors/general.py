"""Errors about settings, questions, files and pictures."""

from __future__ import annotations

from lookalike.errors.base import LookalikeError, PathUnusable


class InvalidSetting(LookalikeError):
    """A setting has an impossible value."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        self.name, self.value, self.expected = name, value, expected
        super().__init__(f"{name} is {value!r}, but must be {expected}.")


class DownloadFailed(PathUnusable):
    """A file could not be fetched, or is not what was expected; `reason` also says what to do."""


class SourceNotFound(PathUnusable):
    """A file or folder that was to be indexed is not there."""

    form = "{path} {reason}. Nothing was changed; check the spelling."


class WatchFailed(PathUnusable):
    """The system does not tell what changes in these folders."""

    form = "{path} cannot be watched: {reason}."


class InvalidQuestion(LookalikeError):
    """A question or a filter makes no sense, or none for this index.

    `column` is where in a filter, counted from 1, where that is known.
    """

    def __init__(self, message: str, *, column: int | None = None) -> None:
        self.column = column
        super().__init__(message)


class ExportUnusable(PathUnusable):
    """What is to be imported is no export of an index, or a damaged one."""

    form = "{path} cannot be imported: {reason}. Export the index again."


class LabelsUnusable(LookalikeError):
    """The labels of the pictures cannot be read, or nothing can be measured with them."""


class InvalidMetadata(PathUnusable):
    """Fields of the user's own cannot be stored; `path` is the picture, or the file of fields."""


class UndoFileUnusable(PathUnusable):
    """The record of what was done with files cannot be written, or is none."""

    form = "The undo file {path} {reason}."


class AddressUnusable(LookalikeError):
    """A server cannot listen at an address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host, self.port, self.reason = host, port, reason
        super().__init__(
            f"The server cannot listen at {host}, port {port}: {reason}. Choose others with --host "
            "and --port; port 0 is any that is free."
        )


class TokenUnsafe(LookalikeError):
    """A server that others reach is to have no token, or one that can be guessed."""


class ExtraMissing(LookalikeError):
    """An optional part is not installed; `what` is who needs it: "The model resnet34"."""

    def __init__(self, what: str, *, extra: str) -> None:
        self.what, self.extra = what, extra
        # No full stop: it would be copied along with the command.
        super().__init__(f"{what} needs {extra}; install it with: pip install 'lookalike[{extra}]'")


class PictureError(PathUnusable):
    """A picture cannot be used; `reason` says why, without the path."""


class PictureUnreadable(PictureError):
    """The file could not be read, so nothing is known about its content."""


class PictureDamaged(PictureError):
    """The file was read, but it is no picture that can be used."""


class PictureTooLarge(PictureDamaged):
    """It has more pixels than are decoded; `size` is its (width, height)."""

    def __init__(self, path: str, size: tuple[int, int], max_pixels: int) -> None:
        self.size, self.max_pixels = size, max_pixels
        width, height = size
        super().__init__(
            path, f"it has {width} × {height} pixels, more than LOOKALIKE_MAX_PIXELS={max_pixels}"
        )
