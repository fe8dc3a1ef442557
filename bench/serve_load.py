"""What does a server do under load, and what does it cost over the model and Milvus?

An index with random unit vectors in Milvus Lite, served on loopback by a process of its own, and
asked by this one: pictures as files in a form, pictures of the index, and the same with a filter.

- The bound is what the model takes from the bytes to the vector, and pymilvus for its search, each
  alone and one at a time: so many questions of this mix a second if nothing else took any time. The
  library finds rows faster than pymilvus does, so what `Index.search` reaches is another bound.
- Then one client, several clients for a while, the same while pictures are being indexed by a job,
  and the same with a server that does not ask together what comes at the same time.

The clients take a part of the same processor, and are in the figures.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
    write_random_rows,
)
from pymilvus import MilvusClient

from lookalike import Index, Settings, load_embedder
from lookalike.records import ImageFile, Stamp, row_id
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.options import ServeOptions
from lookalike.serve.running import Server, listen
from lookalike.store import schema
from lookalike.store.milvus import MilvusStore

FIELDS = ["id", *schema.FACT_FIELDS, "$meta"]
LIMIT = 24
WHERE, CONDITION = "width > 100", "width > 100"
SHARES = {"picture": 0.4, "id": 0.3, "filter": 0.2, "picture and filter": 0.1}
WARM_S = 5.0
SETTLE_S = 3.0  # Milvus Lite merges its files in the background
BOUNDARY = "a2b4c6"

Body = tuple[str, bytes]


def paths(rows: int) -> list[str]:
    return [f"/p/{number:08d}.jpg" for number in range(rows)]


def make(database: str, rows: int) -> None:
    Index.open(database).close()
    store = MilvusStore(database, "images", create=None)
    write_random_rows(
        store,
        [ImageFile(path, Stamp(size_bytes=n, mtime_ns=n)) for n, path in enumerate(paths(rows))],
    )
    store.close()


def parts_alone(database: str, rows: int, rounds: int) -> dict[str, float]:
    """Mean milliseconds of the model, of searches with and without a filter, and of the library."""
    make(database, rows)
    embedder = load_embedder()
    pictures = pictures_in(SAMPLES)
    client = MilvusClient(database)
    client.load_collection("images")
    time.sleep(SETTLE_S)

    def search(where: str) -> None:
        client.search("images", [vector], limit=LIMIT, filter=where, output_fields=FIELDS)

    with Index.open(database) as index:
        library: dict[str, Callable[[Path, str], object]] = {
            "picture": lambda path, row: index.search(path, limit=LIMIT),
            "id": lambda path, row: index.search(f"id:{row}", limit=LIMIT),
            "filter": lambda path, row: index.search(f"id:{row}", limit=LIMIT, where=WHERE),
            "picture and filter": lambda path, row: index.search(path, limit=LIMIT, where=WHERE),
        }
        times: dict[str, list[float]] = {name: [] for name in ("model", "search", "filtered")}
        times |= {name: [] for name in library}
        ids = [row_id(path) for path in paths(rows)]
        for number in range(-3, rounds):
            picture = pictures[number % len(pictures)]
            moments = [time.perf_counter()]
            vector = embedder.embed_files([picture])[0]
            moments.append(time.perf_counter())
            search("")
            moments.append(time.perf_counter())
            search(CONDITION)
            moments.append(time.perf_counter())
            for work in library.values():
                work(picture, ids[number])
                moments.append(time.perf_counter())
            if number >= 0:  # the first ones take longer
                for name, spent in zip(times, np.diff(moments), strict=True):
                    times[name].append(spent)
        client.close()
    return {name: 1000 * float(np.mean(each)) for name, each in times.items()}


def serve(database: str, port: int, batch: int, folder: str) -> None:
    """A server that may be told to index a folder."""
    settings = Settings(requests_per_minute=0)
    with Index.open(database, settings=settings) as index:
        index.embedder.load()
        options = ServeOptions(port=port, batch=batch, roots=(folder,) if folder else ())
        app = create_app(index, options=options, settings=settings)
        server = Server(
            guarded(app, app.state.service),
            threads=settings.concurrent_requests,
            on_started=lambda: None,
            on_stop=lambda number: None,
        )
        server.run([listen("127.0.0.1", port)])


@dataclass
class Running:
    """One that runs."""

    port: int
    pid: int

    def resident_mb(self) -> float:
        """Physical memory, in 10^6 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * 4096 / 1e6

    def index(self) -> threading.Event:
        """Let it index its folder; what is given back is set when that is done."""
        done = threading.Event()
        job = self._json("POST", "/api/v1/index")["id"]

        def watch() -> None:
            with suppress(OSError):  # it may be stopped before the job is done
                while self._json("GET", f"/api/v1/jobs/{job}")["state"] in ("queued", "running"):
                    time.sleep(0.5)
                done.set()

        threading.Thread(target=watch, daemon=True).start()
        return done

    def _json(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = "{}" if method == "POST" else None
        connection.request(method, path, body, {"Content-Type": "application/json"})
        try:
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def running(database: str, *, batch: int, folder: str) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = get_context("spawn").Process(target=serve, args=[database, port, batch, folder])
    process.start()
    try:
        while process.is_alive():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield Running(port, process.pid or 0)
    finally:
        process.terminate()
        process.join(20)
        process.kill()


def bodies(rows: int) -> dict[str, list[Body]]:
    """Content types and bodies of each kind of question."""
    ids = [row_id(path) for path in paths(rows)]
    plain = [{"terms": [{"id": key}], "limit": LIMIT} for key in ids[:: max(1, rows // 500)]]
    pictures = [path.read_bytes() for path in pictures_in(SAMPLES)]
    return {
        "picture": [_form(each, "") for each in pictures],
        "id": [("application/json", json.dumps(each).encode()) for each in plain],
        "filter": [
            ("application/json", json.dumps({**each, "where": WHERE}).encode()) for each in plain
        ],
        "picture and filter": [_form(each, WHERE) for each in pictures],
    }


def _form(picture: bytes, where: str) -> Body:
    fields = {"limit": str(LIMIT), **({"where": where} if where else {})}
    head = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n'
    body = f"{head}{file}\r\n".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    return f"multipart/form-data; boundary={BOUNDARY}", body


@dataclass
class Load:
    """What clients have seen: milliseconds of each answer by the kind of question."""

    seconds: float
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def every(self) -> list[float]:
        """The times of all kinds."""
        return [each for times in self.times.values() for each in times]

    @property
    def per_second(self) -> float:
        """Answers."""
        return len(self.every) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        return float(np.quantile(self.every, share))


def asked(
    server: Running,
    questions: dict[str, list[Body]],
    *,
    clients: int,
    seconds: float,
    until: threading.Event | None = None,
) -> Load:
    """Each client asks as soon as it has its answer."""
    load = Load(0.0, {kind: [] for kind in SHARES})
    started = time.perf_counter()

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while time.perf_counter() - started < seconds and not (until and until.is_set()):
            (kind,) = chance.choices(list(SHARES), list(SHARES.values()))
            content_type, body = chance.choice(questions[kind])
            began = time.perf_counter()
            try:
                headers = {"Content-Type": content_type}
                connection.request("POST", "/api/v1/search", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except OSError as error:
                load.errors.append(repr(error))
                connection.close()
                continue
            load.times[kind].append(1000 * (time.perf_counter() - began))
            if answer.status != http.client.OK or len(json.loads(text)["hits"]) != LIMIT:
                load.errors.append(f"{answer.status} {text[:200]!r}")

    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - started
    return load


def line(name: str, load: Load, *bounds: float) -> Sequence[str]:
    return (
        name,
        f"{load.per_second:.1f}",
        *(f"{load.per_second / bound:.0%}" for bound in bounds),
        *(f"{load.quantile(share):.1f}" for share in (0.5, 0.95, 0.99)),
        f"{load.quantile(0.99) / load.quantile(0.5):.1f}",
        str(len(load.errors)),
    )


def keep_memory_small() -> None:
    """For the servers, what the command does for itself when it starts."""
    os.environ |= {
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (default 60)")
    parser.add_argument(
        "--pictures", type=int, default=3_000, help="indexed meanwhile (default 3000)"
    )
    args = parser.parse_args()
    clients, seconds = args.clients, min(args.seconds, 600.0)
    questions = bodies(args.rows)
    keep_memory_small()
    with tempfile.TemporaryDirectory() as place:
        database, folder = str(Path(place) / "photos.db"), Path(place) / "photos"
        folder.mkdir()
        multiply(pictures_in(SAMPLES), args.pictures, into=folder)
        alone = in_fresh_process(parts_alone, database, args.rows, 200)
        seen = SHARES["picture"] + SHARES["picture and filter"]
        filtered = SHARES["filter"] + SHARES["picture and filter"]
        searching = (1 - filtered) * alone["search"] + filtered * alone["filtered"]
        bound = 1000 / (seen * alone["model"] + searching)
        library = 1000 / sum(share * alone[kind] for kind, share in SHARES.items())
        with running(database, batch=16, folder=str(folder)) as server:
            asked(server, questions, clients=clients, seconds=WARM_S)
            single = asked(server, questions, clients=1, seconds=seconds / 4)
            asked(server, questions, clients=clients, seconds=seconds / 4)
            before = server.resident_mb()
            many = asked(server, questions, clients=clients, seconds=seconds)
            after = server.resident_mb()
            done = server.index()
            indexing = asked(server, questions, clients=clients, seconds=seconds, until=done)
        with running(database, batch=1, folder="") as server:
            asked(server, questions, clients=clients, seconds=WARM_S)
            alone_each = asked(server, questions, clients=clients, seconds=seconds / 2)
    loads = {
        "one client": single,
        f"{clients} clients": many,
        "the same, while indexing": indexing,
        "the same, never together": alone_each,
    }
    head = (
        "",
        "questions/s",
        "of bound",
        "of Index.search",
        "p50 ms",
        "p95",
        "p99",
        "p99/p50",
        "errors",
    )
    publish(
        f"{args.rows:,} rows, {seconds:g} s of {clients} clients; bound {bound:.1f} "
        f"questions/s, Index.search {library:.1f}",
        [head, *(line(name, load, bound, library) for name, load in loads.items())],
        figures={
            "alone_ms": alone,
            "bound_per_second": bound,
            "library_per_second": library,
            "resident_mb": [before, after],
            "times_ms": {name: load.times for name, load in loads.items()},
            "errors": {name: load.errors for name, load in loads.items()},
        },
        json_file=args.json,
    )
    pictures = float(np.median(single.times["picture"]))
    rows = float(np.median(single.times["id"]))
    print(
        f"\nalone: model {alone['model']:.1f} ms, search {alone['search']:.1f} ms, filtered "
        f"{alone['filtered']:.1f} ms; one client over that: a picture "
        f"{pictures - alone['model'] - alone['search']:+.1f} ms, a row of the index "
        f"{rows - alone['search']:+.1f} ms (medians)"
    )
    print(f"memory of the server: {before:.0f} MB after warming up, {after:.0f} MB at the end")
    print(f"p95 while indexing: {indexing.quantile(0.95) / many.quantile(0.95):.1f} times as long")
    if any(load.errors for load in loads.values()):
        sys.exit(f"errors: {[load.errors[:3] for load in loads.values()]}")


if __name__ == "__main__":
    main()
