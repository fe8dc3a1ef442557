"""A Milvus server, alone or a cluster, reached by its address.

- pymilvus tries again when a server is busy, but gives up at once when it has gone away, so waiting
  for it to come back is done here. A server that was killed takes up to 40 s until it answers all
  questions again: it first waits for the leases of its former self to expire.
- A read sees the writes of this process that are told their time (``Session``), which costs
  nothing; deletes of servers 2.3 are not. After one, and after opening, one read is ``Strong``: it
  waits, up to half a second, until the server has seen everything written before. So is the first
  one after it was away.
- ``insert`` makes a second row with the same id, ``upsert`` replaces the first.
- What it acknowledges it has in its message queue. It seals and flushes by itself; newer ones
  allow a client hardly any flushes.
- An index is made of rows that are sealed. Until then they are searched exactly only where it is a
  FLAT one; for others a server 2.3 looks, once there are some thousand, into 16 of 128 lists of
  them, whatever effort is asked for. So of an approximate collection what a run has written is
  flushed at its end, which starts the making of the index.
- The consistency that a collection is made with is for searches alone: planning always sees what
  this process has written.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from pymilvus import MilvusClient
from pymilvus.client.types import LoadState
from pymilvus.exceptions import MilvusException

from lookalike.errors import (
    DesignUnavailable,
    IndexIncompatible,
    ServerLost,
    ServerUnreachable,
    StoreError,
    TokenRefused,
)
from lookalike.store import filters
from lookalike.store.address import Address
from lookalike.store.database import Row
from lookalike.store.design import CollectionDesign
from lookalike.store.schema import VECTOR_FIELD, CollectionModel
from lookalike.store.server_errors import REFUSED, code_of, mapped, passes, reason_in, said
from lookalike.store.versions import behind

CONNECT_S = 10.0
INDEXED_ROWS = 1024
SEARCHED_EXACTLY_ROWS = 1000  # young ones, of servers 2.3, before they are searched approximately
LOAD_S = 1800.0  # loading many million rows takes minutes
SHORTEST_S = 10.0  # for one request, however little is waited for a server that has gone
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0

_LEAST_VERSION = (2, 3)
_log = logging.getLogger("lookalike")
# It prints errors, with tracebacks, that it also raises; here every one of these is mapped.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class ServerDatabase:
    """A `Database` on a server."""

    window = 16_384

    def __init__(self, address: Address, *, wait_s: float) -> None:
        """Connect to it; a server that is not there is not waited for.

        Args:
            address: where it is.
            wait_s: how long, in seconds, one that has gone away later is waited for.
        """
        self.shown = address.uri
        self._address, self._wait_s = address, wait_s
        self._client = _connect(address)
        self._lost = False
        self._design = CollectionDesign()
        self._young = 0  # rows written since the last flush
        # How often something happened that later reads must see and whose time is not known.
        self._unseen, self._seen = 1, 0
        self._counting = threading.Lock()

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask the client, again and again while the server is away."""
        deadline = time.monotonic() + (0.0 if self._lost else self._wait_s)
        pause_s = FIRST_PAUSE_S
        while True:
            timeout_s = max(deadline - time.monotonic(), SHORTEST_S)
            try:
                answer = getattr(self._client, method)(*args, timeout=timeout_s, **options)
            except (MilvusException, grpc.RpcError) as error:
                if not passes(error):
                    raise mapped(self.shown, error) from error
                # It may come back with less than it has acknowledged, until it has caught up.
                with self._counting:
                    self._unseen += 1
                if "consistency_level" in options:
                    options["consistency_level"] = "Strong"
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    self._lost = True
                    raise self._is_lost(error) from error
            else:
                self._lost = False
                return answer
            if pause_s == FIRST_PAUSE_S:
                _log.info(f"{self.shown} does not answer; waiting for it, {left_s:.0f} s at most.")
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _is_lost(self, error: Exception) -> ServerLost:
        busy = isinstance(code_of(error), int) and "Fail connecting" not in reason_in(error)
        why = reason_in(error) if busy else _why_silent(self._address)
        return ServerLost(self.shown, self._wait_s, why)

    def load(self, collection: str, design: CollectionDesign) -> None:
        """Load it into the server's memory, if it is not there."""
        self._design = design
        options = {"replica_number": design.replicas} if design.replicas > 1 else {}
        try:
            self.ask("load_collection", collection, _async=True, **options)
        except StoreError as error:
            if options and re.search(r"nodes? not enough|insufficient|replica", str(error)):
                raise DesignUnavailable(
                    self.shown,
                    f"cannot keep {design.replicas} replicas: it has not as many query nodes "
                    f"({said(error)}).",
                ) from error
            raise
        deadline = time.monotonic() + LOAD_S
        while self.ask("get_load_state", collection)["state"] != LoadState.Loaded:
            if time.monotonic() > deadline:
                raise ServerLost(self.shown, LOAD_S, f"it is still loading {collection}")
            time.sleep(FIRST_PAUSE_S)

    def get(self, collection: str, ids: Sequence[str], fields: list[str]) -> list[Row]:
        """Look the rows up by their ids."""
        return list(self._read("get", collection, ids=list(ids), output_fields=fields))

    def count(self, collection: str, condition: str = "") -> int:
        """Ask for it."""
        (row,) = self.query(collection, filter=condition, output_fields=["count(*)"])
        return int(row["count(*)"])

    def query(self, collection: str, **options: Any) -> list[Row]:
        """Filter rows."""
        return list(self._read("query", collection, **options))

    def where(
        self,
        collection: str,
        wanted: Mapping[str, Sequence[int]],
        fields: list[str],
        *,
        limit: int,
    ) -> list[Row]:
        """Filter rows by integers."""
        condition = filters.one_of(wanted)
        return self.query(collection, filter=condition, output_fields=fields, limit=limit)

    def whole_rows(self, collection: str, condition: str, *, size: int) -> None:
        """A server is asked by ranges of ids."""

    def search(self, collection: str, **options: Any) -> list[list[Row]]:
        """Find the nearest rows."""
        found: list[list[Row]]
        if self._design.consistency == "session":
            found = self._read("search", collection, **options)
        else:
            level = self._design.consistency.capitalize()
            found = self.ask("search", collection, consistency_level=level, **options)
        return found

    def _read(self, method: str, collection: str, **options: Any) -> Any:
        with self._counting:
            unseen = self._unseen
            level = "Session" if self._seen >= unseen else "Strong"
        answer = self.ask(method, collection, consistency_level=level, **options)
        with self._counting:
            self._seen = max(self._seen, unseen)
        return answer

    def write(self, collection: str, rows: list[Row]) -> None:
        """Hand rows to the server's message queue."""
        self.ask("upsert", collection, rows)
        with self._counting:
            self._young += len(rows)

    def delete(self, collection: str, ids: list[str]) -> None:
        """Hand the ids to the server's message queue."""
        self.ask("delete", collection, ids=ids)
        with self._counting:
            self._unseen += 1

    def others_wrote(self, rows: int) -> None:
        """Count them as written here; when, only the server knows."""
        with self._counting:
            self._young += rows
            self._unseen += 1

    def flush(self, collection: str) -> None:
        """The server does that by itself, but the index of an approximate one would be late."""
        if self._design.exact:
            return
        with self._counting:
            young, self._young = self._young, 0
        if young >= SEARCHED_EXACTLY_ROWS:
            self.ask("flush", collection)

    def rows_without_index(self, collection: str) -> int:
        """Count those whose index is not made, and those that query nodes have without it.

        Milvus makes none for segments of fewer than 1,024 rows.

        Raises:
            StoreError: the server could not make the index.
        """
        told = self.ask("describe_index", collection, VECTOR_FIELD)
        if told.get("state") == "Failed":
            text = f"{self.shown} could not make the index of {collection!r}. See the server's log."
            raise StoreError(text)
        if pending := int(told.get("pending_index_rows", 0)):
            return pending
        segments = self.ask("list_loaded_segments", collection)
        if not segments:  # they are on their way
            return self.count(collection)
        return sum(
            segment.num_rows
            for segment in segments
            if segment.num_rows >= INDEXED_ROWS and not segment.index_id
        )

    def size_bytes(self) -> None:
        """Servers do not tell."""

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def remembered(address: Address, collection: str, *, wait_s: float) -> CollectionModel | None:
    """The model that a collection was made with; None where there is none.

    Raises:
        StoreError: the server cannot be asked.
    """
    with contextlib.closing(ServerDatabase(address, wait_s=wait_s)) as server:
        if not server.ask("has_collection", collection):
            return None
        described = server.ask("describe_collection", collection)
        if (found := behind(described)) != described["collection_name"]:
            if not server.ask("has_collection", found):
                return None
            described = server.ask("describe_collection", found)
    return CollectionModel.from_properties(described["properties"])


def _connect(address: Address) -> Any:
    scheme = "https" if address.secure else "http"
    try:
        client = MilvusClient(
            f"{scheme}://{address.host}:{address.port}",
            token=address.token,
            db_name=address.db_name,
            timeout=CONNECT_S,
            dedicated=True,  # others are never closed
        )
    except (MilvusException, grpc.RpcError) as error:
        if code_of(error.__cause__ or error) in REFUSED:
            raise TokenRefused(address.uri) from error
        raise ServerUnreachable(address.uri, _why_silent(address)) from error
    version = ""
    # Not everybody is told, and a managed service may say something else.
    with contextlib.suppress(MilvusException, grpc.RpcError):
        version = str(client.get_server_version(timeout=CONNECT_S))
    number = re.search(r"(\d+)\.(\d+)", version)
    if number and (int(number[1]), int(number[2])) < _LEAST_VERSION:
        client.close()
        least = ".".join(map(str, _LEAST_VERSION))
        raise IndexIncompatible(
            f"{address.uri} runs Milvus {version}, but lookalike needs {least} or newer. Update "
            "the server, or name another with --db."
        )
    return client


def _why_silent(address: Address) -> str:
    """Why there is no answer, for pymilvus does not tell."""
    try:
        with socket.create_connection((address.host, address.port), timeout=CONNECT_S):
            return "something listens there, but does not answer as Milvus does"
    except OSError as error:
        return error.strerror or str(error)
