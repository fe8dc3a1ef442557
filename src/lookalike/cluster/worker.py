"""What a worker of a Ray cluster does: it opens the index once, and works on chunks of files."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

import pyarrow as pa

from lookalike import process
from lookalike.embed.catalog import load_embedder
from lookalike.embed.embedder import Embedder
from lookalike.errors import ClusterError, LookalikeError, ModelMismatch
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.work import Chunk, Job, work
from lookalike.opening import own_embedder
from lookalike.owner.messages import decode, encode
from lookalike.sources.local import GONE
from lookalike.sources.reader import Reader
from lookalike.store.milvus import MilvusStore
from lookalike.version import __version__

ABSENT = 16  # files that are new or have changed, of one chunk


class Secret:
    """What workers are told and nobody else: Ray keeps, as a text, what an actor is made with."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "…"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What every worker needs to know. `weights` is a path on the worker's machine."""

    job: Job
    token: Secret
    weights: str | None
    version: str


@dataclass(frozen=True)
class Numbered:
    """A chunk on its way to a worker."""

    number: int
    chunk: Chunk


@dataclass(frozen=True)
class Outcome:
    """What came of a chunk; where `error` is not empty, the run cannot go on."""

    number: int
    node: str
    committed: list[Committed]
    error: str = ""
    kind: str = ""


class ChunkWorker:
    """An actor of Ray Data's: tables of encoded `Numbered` -> tables of encoded `Outcome`.

    Several calls may be under way at once, so that the cores have work while one call ends.
    It is alone in its process, which it makes like the command's.
    """

    def __init__(self, assignment: Assignment) -> None:
        """Open nothing yet: what goes wrong is to be told as an outcome."""
        process.configure()
        self._assignment = assignment
        self._opening = threading.Lock()
        self._opened: tuple[MilvusStore, Embedder, Reader] | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Work on the chunks of a table."""
        outcomes = [self._outcome(decode(row.as_py(), Numbered)) for row in table["chunk"]]
        return pa.table({"outcome": [encode(outcome) for outcome in outcomes]})

    def close(self) -> None:
        """Let go of the index and of the archives, as the end of an actor's process does."""
        if self._opened:
            store, _, reader = self._opened
            reader.close()
            store.close()

    def _outcome(self, numbered: Numbered) -> Outcome:
        committed: list[Committed] = []
        try:
            store, embedder, reader = self._open()
            work(
                [numbered.chunk],
                self._assignment.job,
                committed.append,
                store=store,
                embedder=embedder,
                exists=reader.exists,
                reader=reader,
            )
            _check_files_are_here(committed)
        except LookalikeError as error:
            kind = type(error).__name__
            return Outcome(numbered.number, _here(), committed, str(error), kind)
        except Exception as error:  # noqa: BLE001 - Ray would tell the command little of it
            kind = type(error).__name__
            return Outcome(numbered.number, _here(), committed, f"Unexpected {kind}: {error}", kind)
        return Outcome(numbered.number, _here(), committed)

    def _open(self) -> tuple[MilvusStore, Embedder, Reader]:
        with self._opening:
            if self._opened is None:
                told, job = self._assignment, self._assignment.job
                if told.version != __version__:
                    raise ClusterError(
                        f"lookalike {__version__} is installed there, but {told.version} where the "
                        "command was started. Install the same version everywhere."
                    )
                store = MilvusStore(
                    job.database,
                    job.collection,
                    create=None,
                    token=told.token.value,
                    wait_s=job.settings.server_wait_s,
                    follow=False,  # the command has, and another may have taken its place since
                    tenant=job.tenant,
                )
                # Rows are read and written by the same store for as long as this process lives,
                # and archives are not opened anew for each chunk.
                self._opened = store, _embedder(store, told), Reader.of(job.settings)
            return self._opened


def _check_files_are_here(committed: list[Committed]) -> None:
    """Raise where no file of many is here; such a machine would be done first with all others."""
    skipped = [each for step in committed for each in step.skipped]
    used = sum(step.added + step.updated for step in committed)
    if not used and len(skipped) >= ABSENT and all(each.reason == GONE for each in skipped):
        raise ClusterError(
            f"None of {len(skipped)} files is there, of which {skipped[0].path} is the first. "
            "Mount their folder there under the same path, and run the same command again."
        )


def _embedder(store: MilvusStore, told: Assignment) -> Embedder:
    """The index's own model; vectors of another one are never mixed with its own."""
    made_with, settings = store.model, told.job.settings
    if told.weights is None:
        return own_embedder(made_with, settings)
    embedder = load_embedder(made_with.model, weights=told.weights, settings=settings)
    if embedder.fingerprint != made_with.fingerprint:
        raise ModelMismatch(
            database=told.job.database,
            indexed=(made_with.model, made_with.fingerprint),
            requested=(embedder.name, embedder.fingerprint),
            weights=told.weights,
            precision=settings.precision,
        )
    return embedder


def _here() -> str:
    return socket.gethostname()
