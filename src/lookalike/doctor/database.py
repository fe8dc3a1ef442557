"""The database: whether it can be reached and used, and what is in it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from lookalike.doctor import machine
from lookalike.doctor.finding import Finding, broken, ok, warning
from lookalike.errors import IndexLocked, IndexNotFound
from lookalike.index import Index
from lookalike.opening import own_embedder
from lookalike.settings import Settings, default_database
from lookalike.sources.names import absolute
from lookalike.store.address import Address, address_of
from lookalike.store.remembered import peek
from lookalike.store.schema import METRICS, SCHEMA_VERSION, CollectionModel

_MAKE = "Make one with: lookalike index FOLDER"
_LOCK = "LOCK"  # what Milvus Lite holds while it has a database open


@dataclasses.dataclass(kw_only=True)
class Subject:
    """The index that is looked at, as `Index.open` takes it, and the model that it tells of."""

    database: str | None
    collection: str
    token: str | None = dataclasses.field(default=None, repr=False)
    made_with: CollectionModel | None = None


def database(subject: Subject) -> Iterator[Finding]:
    """Whether the index can be used, and what it is."""
    address = address_of(subject.database or "", subject.token)
    if address:
        yield from _on_server(address, subject)
    else:
        yield from _here(Path(absolute(subject.database or default_database())), subject)


def _on_server(address: Address, subject: Subject) -> Iterator[Finding]:
    # Imported here: pymilvus takes 0.5 s, and may be what is broken.
    from lookalike.store.looking import look  # noqa: PLC0415

    collection = subject.collection
    seen = look(address, collection)
    subject.made_with = seen.model
    yield ok("database", f"{address.uri} answers; it is Milvus {seen.version.removeprefix('v')}")
    if not seen.exists:
        yield warning("index", f"There is no index {collection!r} in {address.uri} yet.", _MAKE)
        return
    if seen.model is None:
        message = f"The collection {collection!r} in {address.uri} was not made by lookalike."
        yield broken("index", message, "Name another with --collection.")
        return
    yield from _made_with(seen.model, f"{collection}: {seen.rows} pictures")
    if not seen.index:
        yield warning("index", "Its vectors have no index yet, so it cannot be searched.", _MAKE)
    else:
        state = (
            "in memory" if seen.loaded else "not in memory, into which the next command loads it"
        )
        yield ok("index", f"{seen.index} index, {state}")


def _here(path: Path, subject: Subject) -> Iterator[Finding]:
    subject.made_with = peek(str(path), subject.collection)
    yield from machine.room("database", path)
    if path.suffix != ".db":
        fix = "Name one that does with --db, or the address of a server."
        yield broken("database", f"{path} is no database, for its name does not end in .db.", fix)
    elif not path.exists():
        yield warning("index", f"There is no database {path} yet.", _MAKE)
    else:
        yield from _opened(path, subject.collection)


def _opened(path: Path, collection: str) -> Iterator[Finding]:
    try:
        with Index.open(path, collection=collection, create=False) as index:
            through = f", open in the server at {index.served_by}" if index.served_by else ""
            known = index.info()
    except IndexNotFound:
        yield warning("index", f"There is no index {collection!r} in {path} yet.", _MAKE)
    except IndexLocked:
        who = holder(path) or "another process"
        fix = "Wait until it has finished, or end it; nothing is wrong with the database."
        yield warning("index", f"{path} is open in {who}, so nobody else can use it now.", fix)
    else:
        made_with = CollectionModel(
            model=known.model,
            fingerprint=known.fingerprint,
            dim=known.dim,
            metric=known.metric,
            version=known.version,
        )
        yield from _made_with(made_with, f"{collection}: {known.pictures} pictures{through}")


def _made_with(model: CollectionModel, what: str) -> Iterator[Finding]:
    if model.version != SCHEMA_VERSION or model.metric not in METRICS:
        message = f"It has version {model.version} and metric {model.metric}, which are not known."
        yield broken("index", message, "Use the version of lookalike that has made it.")
        return
    yield ok(
        "index",
        f"{what}, made with the model {model.model} ({model.fingerprint[:8]}), {model.metric}",
    )


def holder(database: Path) -> str | None:
    """Which process has a local database open, as far as this system tells.

    Its command line is not shown: others' may have secrets in them.
    """
    try:
        inode = (database / _LOCK).stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        for words in map(str.split, locks):
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                pid = int(words[4])
                name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
                own = " (this one)" if pid == os.getpid() else ""
                return f"process {pid}, {name}{own}"
    except (OSError, ValueError, IndexError):
        pass  # elsewhere, or nobody may know
    return None


def model(subject: Subject) -> Iterator[Finding]:
    """Whether the model of the index, or the packaged one where there is none, can be run."""
    # Imported here: NumPy and OpenVINO may be what is broken.
    import time  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from lookalike.embed.catalog import is_ready, load_embedder  # noqa: PLC0415

    settings = dataclasses.replace(Settings.from_environment(), device="cpu")
    known = subject.made_with
    if known and not is_ready(known.model, known.fingerprint):
        name = f"{known.model} ({known.fingerprint[:8]})"
        message = f"{name}, which the index was made with, is not on this machine as a whole yet."
        yield warning("model", message, "The next command fetches it, or says why it cannot.")
        return
    embedder = own_embedder(known, settings) if known else load_embedder(settings=settings)
    picture = embedder.prepare(Image.new("RGB", embedder.least))[np.newaxis]
    embedder.embed(picture)  # the first one takes longer
    began = time.perf_counter()
    vectors = embedder.embed(picture)
    seconds = time.perf_counter() - began
    yield ok(
        "model",
        f"{embedder.name} ({embedder.fingerprint[:8]}) makes {vectors.shape[1]} numbers of a "
        f"picture in {seconds * 1e3:.0f} ms",
    )
