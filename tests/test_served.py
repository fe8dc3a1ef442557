"""Who finds a database open in a server goes through it, and cannot tell the difference."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import inspect
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import lookalike
from lookalike import (
    Index,
    IndexLocked,
    IndexServed,
    InvalidQuestion,
    InvalidSetting,
    LookalikeError,
    ModelMismatch,
    OwnerLost,
    Settings,
    StorageFull,
    UnknownModel,
    Words,
)
from lookalike.embed.served import ServedEmbedder
from lookalike.owner import NOTE
from lookalike.owner import note as notes
from lookalike.owner.connection import SECRET_HEADER
from lookalike.owner.messages import decode, encode, error_of, frames
from lookalike.records import ImageRecord, Stamp
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.options import ServeOptions
from lookalike.store.milvus import MilvusStore
from lookalike.store.served import METHODS, ServedStore
from tests.conftest import Outcome
from tests.forked import COMMAND, Lookalike
from tests.serve_process import answering, command

Cli = Callable[..., Outcome]

OWNER = "/api/v1/owner"
FIELDS: dict[str, Any] = {
    "a": 1, "b": 2.0, "c": True, "d": "ö", "e": [1, None, {"f": -(1 << 63)}], "g": None,
}  # fmt: skip


@contextlib.contextmanager
def served(index: Index, **options: Any) -> Iterator[int]:
    """An index that is open in this process, behind all guards; gives the port."""
    settings = Settings()
    app = create_app(index, options=ServeOptions(**options), settings=settings)
    service = app.state.service
    with (
        answering(guarded(app, service)) as port,
        service.lending.announced(index, host="127.0.0.1", port=port),
    ):
        yield port
    service.close()


def record(number: int, dim: int, **fields: Any) -> ImageRecord:
    vector = np.random.default_rng(number).normal(size=dim).astype(np.float32)
    return ImageRecord(
        path=f"/photos/{number % 3}/{number}.jpg",
        content=f"{number:032x}",
        stamp=Stamp(number % 5, 1_700_000_000_123_456_789 + number),
        width=640,
        height=480 + number,
        taken_at=0,
        format="jpeg",
        vector=vector / np.linalg.norm(vector),
        animated=number % 2 == 0,
        metadata=fields,
        phash=f"{number:016x}",
    )


@dataclasses.dataclass(frozen=True)
class Both:
    """The same rows, opened here and reached through a server."""

    own: MilvusStore
    through: ServedStore


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    database = tmp_path_factory.mktemp("both") / "photos.db"
    with Index.open(database) as index, served(index), Index.open(database) as other:
        own, through = index._store, other._store
        assert isinstance(own, MilvusStore)
        assert isinstance(through, ServedStore)
        through.upsert([record(number, own.model.dim, **FIELDS) for number in range(300)])
        through.flush()
        through.upsert([record(number, own.model.dim) for number in range(300, 320)])
        yield Both(own, through)


def test_both_stores_have_the_same_methods_with_the_same_signatures() -> None:
    methods = {
        name: method
        for name, method in inspect.getmembers(MilvusStore, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }
    assert methods.keys() == METHODS
    for name, method in methods.items():
        # Their annotations name the same things, which one module calls `Scored`.
        ours = str(inspect.signature(getattr(ServedStore, name)))
        theirs = str(inspect.signature(method)).replace("Scored", "tuple[str, float]")
        assert ours == theirs, name


def plain(value: Any) -> Any:
    """What can be compared: arrays as their type, shape and bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return type(value), [plain(getattr(value, each.name)) for each in dataclasses.fields(value)]
    if isinstance(value, dict):
        return [(plain(key), plain(item)) for key, item in sorted(value.items())]
    if isinstance(value, (list, tuple, Iterator)):
        return [plain(item) for item in value]
    return type(value), value


def test_every_method_answers_as_the_store_itself(both: Both) -> None:
    dim = both.own.model.dim
    rows = [record(number, dim) for number in (0, 7, 301)]
    ids = [lookalike.records.row_id(row.path) for row in rows]
    vectors = np.stack([row.vector for row in rows])
    some = "height > 500"
    asked: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
        "any": [((some,), {}), (("height > 5000",), {})],
        "background": [((), {})],
        "count": [((), {})],
        "facts": [((ids,), {}), (([],), {})],
        "flush": [((), {})],
        "hits": [((vectors[0],), {}), ((vectors[0],), {"condition": some})],
        "kinds": [((), {})],
        "metadata": [((ids,), {}), (([],), {})],
        "neighbours": [((vectors,), {"limit": 3}), ((vectors,), {"limit": 9, "condition": some})],
        "of_size": [(([row.stamp for row in rows],), {}), (([],), {})],
        "others_wrote": [((5,), {})],
        "paths_under": [((None,), {}), (("/photos/1",), {})],
        "places": [((ids,), {})],
        "ranking": [((vectors[0],), {}), ((vectors[1],), {"best": 4, "condition": some})],
        "records": [((ids,), {}), ((["0" * 32],), {})],
        "scan": [((), {}), ((some,), {})],
        "search": [((vectors[0],), {"limit": 5}), ((vectors[0],), {"limit": 5, "offset": 3})],
        "search_batch": [((vectors,), {"limit": 2, "offset": 1, "condition": some})],
        "size_bytes": [((), {})],
        "stamps": [((ids,), {}), ((tuple(ids),), {})],
        "vectors": [((), {})],
        "vectors_of": [((ids,), {})],
    }
    assert asked.keys() == METHODS - {"upsert", "delete"}
    for name, calls in asked.items():
        for args, options in calls:
            expected = plain(getattr(both.own, name)(*args, **options))
            assert plain(getattr(both.through, name)(*args, **options)) == expected, name
    assert both.through.count() == 320
    assert len(list(both.through.hits(vectors[0]))) == 320


def test_rows_are_written_and_deleted_through_a_server(both: Both) -> None:
    row = record(1000, both.own.model.dim, **FIELDS)
    key = lookalike.records.row_id(row.path)
    written = both.own.changes
    both.through.upsert([row])
    assert plain(both.own.records([key])) == plain([row])
    # The server's own caches depend on this.
    assert both.own.changes > written
    both.through.delete([key])
    assert both.own.stamps([key]) == {}


def test_pages_can_be_left_and_other_calls_made_between_them(both: Both) -> None:
    pages = both.through.paths_under(None)
    first = next(pages)
    assert both.through.stamps([key for key, _ in first]).keys() == {key for key, _ in first}
    del pages
    assert both.through.count() == both.own.count()


def test_many_threads_may_ask_at_once(both: Both) -> None:
    rows = next(iter(both.own.scan()))
    wrong = []

    def ask(row: ImageRecord) -> None:
        for _ in range(5):
            (hit,) = both.through.search(row.vector, limit=1)
            if hit.path != row.path:
                wrong.append(row.path)

    threads = [threading.Thread(target=ask, args=[row]) for row in rows[:12]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_connection_that_the_server_has_closed_is_made_again(both: Both) -> None:
    assert both.through.count() == 320
    for connection in both.through.owner._idle:
        connection.sock.shutdown(socket.SHUT_RDWR)
    assert both.through.count() == 320


ERRORS: list[LookalikeError] = [
    InvalidSetting("limit", -1, "from 1 to 9"),
    InvalidQuestion("where: column 3: no", column=3),
    UnknownModel("resnet", ("resnet18", "resnet34")),
    ModelMismatch(database="a.db", indexed=("m", "f" * 32), requested=("n", "e" * 32)),
    StorageFull("/photos.db"),
    LookalikeError("another"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_the_same(
    both: Both, error: LookalikeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(both.own, "stamps", fail)
    with pytest.raises(type(error)) as caught:
        both.through.stamps(["0" * 32])
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_an_error_in_the_middle_of_pages_comes_after_those_before(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Iterator[tuple[list[str], Any]]:
        yield ["/a.jpg"], np.zeros((1, 2), np.float32)
        raise StorageFull("/photos.db")

    monkeypatch.setattr(both.own, "vectors", fail)
    pages = both.through.vectors()
    assert next(pages)[0] == ["/a.jpg"]
    with pytest.raises(StorageFull):
        next(pages)


def test_no_other_class_than_an_error_of_ours_is_made_of_what_comes() -> None:
    for name in ("shlex", "reason_of", "KeyboardInterrupt", "__builtins__"):
        assert type(error_of(encode((name, "said", {})))) is lookalike.StoreError


@pytest.mark.parametrize(
    "wrong", [("float64", (1,), b"8" * 8), ("float32", (2,), b"4444"), ("object", (), b""), 7]
)
def test_no_array_of_another_kind_or_size_is_received(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError, lookalike.LookalikeError)):
        decode(encode(wrong), np.ndarray)


def test_what_cannot_be_sent_is_a_fault_and_not_a_guess() -> None:
    with pytest.raises(NotImplementedError):
        list(frames(iter([object()])))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., TestClient]]:
    """Asks a guarded server that requires a token, from some address."""
    with Index.open(tmp_path_factory.mktemp("guarded") / "photos.db") as index:
        app = create_app(index, options=ServeOptions(token="t" * 32), settings=Settings())
        service = app.state.service
        secret = service.lending.secret

        def come(host: str, *, shown: str | None = secret, **headers: str) -> TestClient:
            if shown is not None:
                headers[SECRET_HEADER] = shown
            url = "http://127.0.0.1:8077"
            return TestClient(
                guarded(app, service), base_url=url, client=(host, 4000), headers=headers
            )

        yield come


def test_the_secret_is_enough_where_others_need_a_token(
    client: Callable[..., TestClient],
) -> None:
    assert client("127.0.0.1").post(f"{OWNER}/store/count").status_code == 200
    assert client("127.0.0.1").get("/api/v1/info").status_code == 401


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {"shown": None}, 401),
        ("127.0.0.1", {"shown": "0" * 64}, 401),
        ("127.0.0.1", {"Origin": "http://127.0.0.1:8077"}, 403),
        ("192.168.1.7", {}, 403),
        ("127.0.0.1", {"Host": "evil.example"}, 403),
    ],
)
@pytest.mark.parametrize("call", ["store/count", "store/delete", "embed", "model", "served"])
def test_nobody_else_may_use_the_owners_routes(
    client: Callable[..., TestClient], host: str, headers: dict[str, Any], status: int, call: str
) -> None:
    answer = client(host, **headers).post(f"{OWNER}/{call}", content=b"\x80")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("store/close", b"\x80", 404),
        ("store/_create", b"\x80", 404),
        ("store/stamps", encode({"ids": "text"}), 422),
        ("store/stamps", encode({"ids": [], "more": 1}), 422),
        ("store/upsert", encode({"records": [{"path": 1}]}), 422),
        ("store/stamps", b"\xc1 no message", 422),
        ("embed", encode(("float64", [1], b"8" * 8)), 422),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: Callable[..., TestClient], call: str, body: bytes, status: int
) -> None:
    assert client("127.0.0.1").post(f"{OWNER}/{call}", content=body).status_code == status


def test_the_owners_routes_are_not_in_the_public_document(
    client: Callable[..., TestClient],
) -> None:
    asked = client("127.0.0.1", Authorization=f"Bearer {'t' * 32}")
    document = asked.get("/api/v1/openapi.json").json()
    assert [path for path in document["paths"] if "owner" in path] == []


# Each with what differs from run to run left out of what it prints.
COMMANDS: list[list[str]] = [
    ["search", "birds/crow.jpg", "-birds/duck.jpg", "--where", "width > 100", "--format", "json"],
    ["search", "birds/crow.jpg", "--auto", "--diverse"],
    ["search", "birds/crow.jpg", "--where", "no_such > 1"],
    ["info", "--format", "json"],
    ["index", "."],
    ["index", ".", "--dry-run", "--checksum"],
    ["duplicates", "--format", "json"],
    ["cluster", "-k", "3"],
    ["export", "../NAME.parquet"],
    ["import", "../before.parquet"],
    ["relocate", "birds", "elsewhere"],
    ["remove", "trees"],
    ["prune"],
    ["index", ".", "--metadata", "../fields.csv", "--format", "json"],
    ["search", "birds/crow.jpg", "--where", 'kind = "bird"', "--format", "jsonl"],
]


def test_every_command_prints_the_same_with_and_without_a_server(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    (tmp_path / "fields.csv").write_text("path,kind\nbirds/crow.jpg,bird\n")
    shutil.copy("birds/crow.jpg", "birds/copy.jpg")
    cli("index", ".")
    cli("export", "../before.parquet")
    database = tmp_path / "photos.db"
    shutil.copytree(database, tmp_path / "copy.db")

    def said(name: str) -> list[tuple[int, str, str]]:
        outcomes = [cli(*[word.replace("NAME", name) for word in each]) for each in COMMANDS]
        return [
            (each.code, timeless(each.out, name), timeless(each.err, name)) for each in outcomes
        ]

    without = said("without")
    shutil.rmtree(database)
    (tmp_path / "copy.db").rename(database)
    with command("--db", database) as running:
        through = said("through")
        assert running.process.poll() is None
    for words, one, other in zip(COMMANDS, without, through, strict=True):
        assert other == one, words
    files = [(tmp_path / f"{name}.parquet").stat().st_size for name in ("without", "through")]
    assert files[0] == files[1]


def timeless(text: str, name: str) -> str:
    """What a command prints, but for times and names of files."""
    text = re.sub(r'"(seconds|images_per_second)": [\d.]+', r'"\1": …', text)
    text = re.sub(r"[\d.]+ s, \d+ pictures/s", "…", text)
    return text.replace(name, "NAME")


# Runs "lookalike", and names what it loads of what takes long.
LOADING = """
import sys

class Names:
    def find_spec(self, name, path=None, target=None):
        if name in ("pymilvus", "milvus_lite", "openvino", "grpc", "torch", "faiss"):
            print("loads", name, file=sys.stderr)

sys.meta_path.insert(0, Names())
from lookalike.cli.app import main
main()
"""


@pytest.mark.parametrize("words", [["search", "birds/crow.jpg"], ["index", "."], ["info"]])
def test_a_command_through_a_server_loads_neither_the_database_nor_the_model(
    photos: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    database = tmp_path / "photos.db"
    with Index.open(database) as index, served(index):
        index.add(photos / "birds")
        done = subprocess.run(
            [sys.executable, "-c", LOADING, *words, "--db", str(database)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_vectors_through_a_server_are_those_of_the_model_itself(
    photos: Path, tmp_path: Path
) -> None:
    picture = photos / "birds" / "crow.jpg"
    with Index.open(tmp_path / "photos.db") as index, served(index) as port:
        index.add(photos)
        expected = index.search(picture, limit=30)
        with Index.open(tmp_path / "photos.db") as through:
            assert isinstance(through.embedder, ServedEmbedder)
            assert through.search(picture, limit=30) == expected
            assert through.served_by == f"http://127.0.0.1:{port}"
            assert index.served_by is None
            with pytest.raises(InvalidQuestion, match="reads words"):
                through.search(Words("a crow"))
        # Who wants it in a special way runs it here.
        exact = Settings(precision="fp32")
        with Index.open(tmp_path / "photos.db", settings=exact) as through:
            assert not isinstance(through.embedder, ServedEmbedder)
            assert through.search(picture)[0].path == picture.as_posix()


def test_only_the_owner_can_read_the_note_and_it_goes_with_the_server(tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    with Index.open(database) as index:
        with served(index):
            note = database / NOTE
            assert stat.S_IMODE(note.stat().st_mode) == 0o600
            assert notes.read(database)
            assert "secret" not in repr(notes.read(database))
        assert sorted(database.glob(f"*{NOTE}*")) == []


def test_a_server_that_was_killed_is_no_hindrance(cli: Cli, photos: Path, tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    cli("index", photos)
    with command("--db", database) as running:
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    assert notes.read(database)
    assert cli("index", photos, "--format", "json").json["unchanged"] == 30
    with command("--db", database) as running:
        assert cli("info").code == 0
        said = running.stop()
    assert said[0] == 0
    assert notes.read(database) is None


@pytest.mark.parametrize("answer", [b"0" * 64, "nö".encode() * 20])
def test_the_secret_is_not_told_to_another_program_at_the_same_port(
    tmp_path: Path, answer: bytes
) -> None:
    heard: list[tuple[str, dict[str, str]]] = []

    class Another(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    database = tmp_path / "photos.db"
    Index.open(database).close()
    with http.server.HTTPServer(("127.0.0.1", 0), Another) as another:
        threading.Thread(target=another.serve_forever).start()
        note = note_of(database, port=another.server_port)
        notes.write(database, note)
        with Index.open(database) as index:
            assert index.served_by is None
        another.shutdown()
    assert len(heard) == 1
    assert note.secret not in str(heard)
    assert SECRET_HEADER not in heard[0][1]


def note_of(database: Path, *, port: int, **changed: Any) -> notes.Note:
    known: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "pid": os.getpid(),
        "version": lookalike.__version__,
        "collection": "images",
        "folder": notes.folder_id(database),
        "secret": "5" * 64,
        **changed,
    }
    return notes.Note(**known)


def test_a_note_that_others_could_have_written_is_ignored(tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    Index.open(database).close()
    note = note_of(database, port=1)
    notes.write(database, note)
    assert notes.read(database) == note
    (database / NOTE).chmod(0o620)
    assert notes.read(database) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"host": 1}', "null", '{"secret": "\\ud800"}', "\x00"],
)
def test_a_damaged_note_is_ignored(tmp_path: Path, text: str) -> None:
    database = tmp_path / "photos.db"
    Index.open(database).close()
    (database / NOTE).write_text(text)
    with Index.open(database) as index:
        assert index.served_by is None


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "192.0.2.1"}, {"host": "example.org"}, {"host": 7}, {"host": "a\x00"},
        {"port": -1}, {"port": "80"}, {"port": 70_000}, {"secret": 5}, {"version": None},
    ],
)  # fmt: skip
def test_a_note_that_leads_elsewhere_or_nowhere_is_ignored(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    database = tmp_path / "photos.db"
    Index.open(database).close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    notes.write(database, note_of(database, **{"port": port, **changed}))
    with Index.open(database) as index:
        assert index.served_by is None


def test_a_copy_of_a_database_is_opened_by_itself(photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "birds")
        index._store.flush()
        with served(index):
            shutil.copytree(tmp_path / "photos.db", tmp_path / "copy.db")
            with Index.open(tmp_path / "copy.db") as copy:
                assert copy.served_by is None
                copy.remove(photos)
            assert len(index) == 12


def test_another_collection_than_the_open_one_cannot_be_had(cli: Cli, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index, served(index) as port:
        outcome = cli("info", "--collection", "others")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == (
            f"lookalike: {tmp_path / 'photos.db'} is open in the server at "
            f"http://127.0.0.1:{port}, which has its collection 'images' open, not 'others'. Stop "
            "that server first; nothing was changed.\n"
        )


def test_a_server_of_another_version_is_named(tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    with Index.open(database) as index, served(index):
        note = notes.read(database)
        assert note
        notes.write(database, dataclasses.replace(note, version="99.0"))
        with pytest.raises(IndexServed, match=r"another version of lookalike \(99\.0\)"):
            Index.open(database)


def test_a_second_server_of_the_same_database_does_not_start(cli: Cli, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index, served(index) as port:
        outcome = cli("serve", "--port", "0")
        assert (outcome.code, outcome.out) == (1, "")
        assert f"is open in the server at http://127.0.0.1:{port}, and one is enough" in outcome.err
        assert outcome.err.count("\n") == 1
        assert notes.read(tmp_path / "photos.db")


def test_a_database_that_no_server_has_open_is_locked_as_ever(cli: Cli, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db"):
        outcome = cli("info")
    assert outcome.code == 1
    assert outcome.err == f"lookalike: {IndexLocked(str(tmp_path / 'photos.db'))}\n"
    assert "lookalike serve" in outcome.err


def test_a_server_that_goes_away_on_the_way_is_one_line_and_loses_nothing(
    cli: Cli, samples: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many"
    for number in range(4):
        shutil.copytree(samples, many / str(number))
        for picture in (many / str(number)).rglob("*.*"):
            with picture.open("ab") as file:
                file.write(str(number).encode())  # so that no vector is known already
    database = tmp_path / "photos.db"
    with (
        command("--db", database) as running,
        Lookalike(
            [*COMMAND, "index", str(many), "--db", str(database)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as indexing,
    ):
        through = Index.open(database)
        deadline = time.monotonic() + 60
        while not len(through):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.process.kill()
        said = indexing.communicate(timeout=60)
        for ask in (through.info, through.close):
            with pytest.raises(OwnerLost):
                ask()
    assert (indexing.returncode, said[0]) == (1, "")
    assert said[1].count("\n") == 1
    assert f"The server at {running.address}, which had {database} open" in said[1]
    report = cli("index", many, "--format", "json").json
    assert report["unchanged"] > 0
    assert report["total"] == 4 * 86


def test_watching_goes_on_when_a_server_comes_and_goes(photos: Path, tmp_path: Path) -> None:
    database = tmp_path / "photos.db"
    with Lookalike(
        [*COMMAND, "index", str(photos), "--watch", "--db", str(database),
         "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout and watching.stderr
        try:
            assert json.loads(watching.stdout.readline())["total"] == 30
            with command("--db", database):
                shutil.copy(photos / "birds" / "crow.jpg", photos / "copied.jpg")
                assert json.loads(watching.stdout.readline())["total"] == 31
            # Another content, so that the model is needed.
            data = (photos / "birds" / "duck.jpg").read_bytes()
            (photos / "another.jpg").write_bytes(data + b"1")
            assert json.loads(watching.stdout.readline())["total"] == 32
        finally:
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=30)
