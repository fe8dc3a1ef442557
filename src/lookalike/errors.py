"""Everything that can go wrong, as one tree.

LookalikeError
├── InvalidSetting            an environment variable or option with an impossible value
├── InvalidQuestion           a question or filter that makes no sense, or not for this index
├── LabelsUnusable            labels that nothing can be measured with
├── AddressUnusable           an address that a server cannot listen at
├── TokenUnsafe               a server for others without a token, or with one that can be guessed
├── ExtraMissing              it needs an optional part of lookalike
├── PathUnusable              what is at a path or an address: one of these
│   ├── SourceNotFound        a folder or file to index that is not there
│   ├── ExportUnusable        a file to import that is no export, or a damaged one
│   ├── InvalidMetadata       fields of the user's own that cannot be stored, or a bad file of them
│   ├── UndoFileUnusable      the record of what was done with files cannot be written or read
│   ├── DownloadFailed        the sample pictures could not be fetched or unpacked
│   ├── WatchFailed           folders whose changes the system does not tell
│   └── PictureError          one picture; indexing skips it, a search cannot go on
│       ├── PictureUnreadable its bytes could not be had
│       └── PictureDamaged    its bytes are no picture, or a broken one
│           └── PictureTooLarge   it has more pixels than are decoded
├── ModelError
│   ├── UnknownModel          no such model here
│   ├── ModelUnusable         the model's files are missing or damaged
│   ├── ModelMismatch         the index was made with another model
│   ├── DeviceUnavailable     there is no such device to run it on
│   └── ExtraBroken           its optional part is installed, but does not load
└── StoreError                the database
    ├── IndexNotFound         there is none, or it has no such collection
    ├── IndexLocked           another process has it open
    ├── IndexServed           a server has it open, which cannot be gone through
    ├── OwnerLost             the server that has it open has stopped
    ├── IndexIncompatible     a file of another kind or version
    ├── MetricMismatch        the index was made with another metric
    ├── IndexNotWritable      its folder cannot be written
    ├── StorageFull           the disk is full
    ├── ServerUnreachable     nothing answers at a server's address
    ├── ServerLost            a server has stopped to answer
    └── TokenRefused          a server does not accept who asks, or not for this
"""

from __future__ import annotations

import shlex


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


class ModelError(LookalikeError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """There is no model of this name; `nearest` are the names most like it."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        self.name, self.nearest = name, nearest
        meant = f"Did you mean {', '.join(nearest)}? " if nearest else ""
        super().__init__(
            f"There is no model {name!r}. {meant}See: lookalike models, or lookalike models "
            "--search TEXT."
        )


class ModelUnusable(ModelError):
    """A model's files are missing or damaged, or this machine cannot run them."""


class DeviceUnavailable(ModelError):
    """A device to run the model on is not there."""

    def __init__(self, name: str, available: tuple[str, ...]) -> None:
        self.name, self.available = name, available
        super().__init__(
            f"There is no device {name!r} that PyTorch can use here; choose with --device from: "
            f"auto, {', '.join(available)}."
        )


class ModelMismatch(ModelError):
    """The index holds embeddings of another model; scores between the two mean nothing."""

    def __init__(
        self,
        *,
        database: str,
        indexed: tuple[str, str],
        requested: tuple[str, str],
        weights: str | None = None,
        precision: str = "auto",
        export: str | None = None,
    ) -> None:
        self.database, self.indexed, self.requested = database, indexed, requested
        self.weights, self.precision, self.export = weights, precision, export
        if export is not None:
            super().__init__(
                f"{export} holds embeddings of the model {requested[0]} ({requested[1][:8]}), but "
                f"{database} was made with {indexed[0]} ({indexed[1][:8]}), and the two cannot be "
                "compared. Nothing was changed; import it into another database with --db."
            )
            return
        options = f" --weights {shlex.quote(weights)}" if weights else ""
        if precision != "auto":
            options += f" --precision {precision}"
        super().__init__(
            f"{database} was made with the model {indexed[0]} ({indexed[1][:8]}), but "
            f"{requested[0]} ({requested[1][:8]}) is asked for, and their embeddings cannot be "
            "compared. Leave --model out to go on with the first, or index again for the second: "
            f"lookalike index FOLDER --db OTHER.db --model {shlex.quote(requested[0])}{options}"
        )


class ExtraBroken(ModelError):
    """An optional part is installed, but fails to import; `reason` is what it says itself."""

    def __init__(self, what: str, *, extra: str, packages: str, reason: str) -> None:
        self.what, self.extra, self.reason = what, extra, reason
        super().__init__(
            f"{what} needs {extra}, which is installed but does not load ({reason}). Install what "
            f"belongs together again: pip install --force-reinstall {packages}"
        )


class StoreError(LookalikeError):
    """The database refused or failed."""


class IndexNotFound(StoreError):
    """There is no such index."""

    def __init__(self, database: str, collection: str) -> None:
        self.database, self.collection = database, collection
        super().__init__(
            f"There is no index {collection!r} in {database}. Make one first: "
            "lookalike index FOLDER, with the same --db and --collection."
        )


class IndexLocked(StoreError):
    """Another process has the database open."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database} is open in another process. Wait until that one has finished, or "
            "close it; nothing was changed. While `lookalike serve` has it open, others go through "
            "that."
        )


class IndexServed(StoreError):
    """A server has the database open, and it cannot be gone through; `reason` says why."""

    def __init__(self, database: str, address: str, reason: str) -> None:
        self.database, self.address, self.reason = database, address, reason
        super().__init__(
            f"{database} is open in the server at {address}, {reason}. Stop that server first; "
            "nothing was changed."
        )


class OwnerLost(StoreError):
    """The server that has the database open has stopped while it was gone through."""

    def __init__(self, database: str, address: str) -> None:
        self.database, self.address = database, address
        super().__init__(
            f"The server at {address}, which had {database} open, does not answer any more. "
            "Everything committed so far is kept; run the same command again."
        )


class IndexIncompatible(StoreError):
    """The database is of another kind or version."""


class MetricMismatch(StoreError):
    """The index measures likeness in another way; that is settled when it is made."""

    def __init__(self, *, database: str, indexed: str, requested: str) -> None:
        self.database, self.indexed, self.requested = database, indexed, requested
        super().__init__(
            f"{database} was made with the metric {indexed}, but {requested} is asked for. Leave "
            "the metric out to use the index as it is, or index the folders into another database "
            "(--db)."
        )


class IndexNotWritable(StoreError):
    """The database's folder cannot be written."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(
            f"{database} cannot be written ({reason}). Check the rights of its folder, or name "
            "another database with --db."
        )


class StorageFull(StoreError):
    """No space is left where the database lies."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"The disk that holds {database} is full. Everything committed so far is kept; "
            "free some space and run the same command again."
        )


class ServerUnreachable(StoreError):
    """No Milvus answers at this address."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(
            f"{database} cannot be reached ({reason}). Check the address (--db), and that Milvus "
            "runs there."
        )


class ServerLost(StoreError):
    """A server that had answered does so no more, or is busy with itself for too long."""

    def __init__(self, database: str, seconds: float, reason: str) -> None:
        self.database, self.seconds, self.reason = database, seconds, reason
        super().__init__(
            f"{database} has not answered for {seconds:g} s ({reason}). Everything committed so "
            "far is kept; run the same command again when it does. LOOKALIKE_SERVER_WAIT_S is how "
            "long it is waited for."
        )


class TokenRefused(StoreError):
    """A server refuses the user, password or token, or what they want to do."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database} refuses: the user, password or token is wrong, or may not do this. Give "
            "them as LOOKALIKE_TOKEN=USER:PASSWORD or --token."
        )
