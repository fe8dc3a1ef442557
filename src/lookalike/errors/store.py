"""Errors of the database."""

from __future__ import annotations

from lookalike.errors.base import LookalikeError


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


class CopyIncomplete(StoreError):
    """The target of a copy has fewer rows than it must have."""

    def __init__(self, database: str, rows: int, expected: int) -> None:
        self.database, self.rows, self.expected = database, rows, expected
        super().__init__(
            f"{database} has {rows} rows after the copy, but must have {expected}. Run the same "
            "command again, while nothing else removes rows there."
        )


class CopyDiffers(StoreError):
    """A row is not in the target of a copy as it was in the source."""

    def __init__(self, path: str, database: str, reason: str) -> None:
        self.path, self.database, self.reason = path, database, reason
        super().__init__(
            f"The row of {path} was copied to {database}, but {reason}. Run the same command again "
            "with --rewrite, while nothing else writes there."
        )


class NothingBefore(StoreError):
    """There is no earlier collection behind a name."""

    def __init__(self, database: str, collection: str) -> None:
        self.database, self.collection = database, collection
        super().__init__(
            f"{database} keeps nothing that {collection!r} was before: it was not indexed again "
            "with another model, or that was dropped. Nothing was changed."
        )


class TokenRefused(StoreError):
    """A server refuses the user, password or token, or what they want to do."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"{database} refuses: the user, password or token is wrong, or may not do this. Give "
            "them as LOOKALIKE_TOKEN=USER:PASSWORD or --token."
        )


class DesignUnavailable(StoreError):
    """This database cannot keep a collection in the way that is asked for; `reason` says why."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(f"{database} {reason}")


class DesignMismatch(StoreError):
    """The collection is kept in another way; that is settled when it is made."""

    def __init__(self, database: str, collection: str, *, part: str, kept: str, asked: str) -> None:
        self.database, self.collection = database, collection
        self.part, self.kept, self.asked = part, kept, asked
        super().__init__(
            f"The collection {collection!r} in {database} was made with {part} {kept}, but {asked} "
            "is asked for. Leave that out to use the collection as it is, or index into another "
            "(--collection); lookalike tune changes the profile of one that is there."
        )


class TenantMismatch(StoreError):
    """A collection of several tenants needs the name of one; others know of none.

    `option` is what names one.
    """

    def __init__(
        self,
        database: str,
        collection: str,
        *,
        shared: bool,
        option: str = "--tenant or LOOKALIKE_TENANT",
    ) -> None:
        self.database, self.collection, self.shared = database, collection, shared
        if shared:
            why = f"belongs to several tenants. Say whose rows are meant: {option}."
        else:
            why = (
                f"was not made for several tenants. Leave {option.partition(' ')[0]} out, or index "
                "into another collection with it (--collection)."
            )
        super().__init__(f"The collection {collection!r} in {database} {why}")


class TenantsShareIt(StoreError):
    """A collection of several tenants cannot get another model."""

    def __init__(self, database: str, collection: str) -> None:
        self.database, self.collection = database, collection
        super().__init__(
            f"The collection {collection!r} in {database} belongs to several tenants, and cannot "
            "get another model. Index the folders of each with --model and --tenant into a new one "
            "(--collection); nothing was changed."
        )


class ServerFull(StoreError):
    """A server takes no more rows: its memory, its disk or what it allows is used up."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(
            f"{database} takes no more ({reason}). Everything committed so far is kept; give the "
            "server more room, or remove rows, and run the same command again."
        )


class ServerReadOnly(StoreError):
    """A server was told to refuse writing, or reading."""

    def __init__(self, database: str, reason: str) -> None:
        self.database, self.reason = database, reason
        super().__init__(
            f"{database} refuses for now ({reason}): whoever runs it has switched that off. "
            "Everything committed so far is kept; run the same command again when it is allowed."
        )
