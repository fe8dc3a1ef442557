"""A Milvus server that is slow, stops to answer, or lets an account only read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pymilvus import MilvusClient

from lookalike import Index, Progress, ServerLost, Settings, TokenRefused, load_embedder
from lookalike.embed.embedder import ModelEmbedder
from lookalike.records import Pixels
from lookalike.store import server as stored
from tests.conftest import Outcome
from tests.milvus_server import TOKEN, ServerAddress

Cli = Callable[..., Outcome]
READER = "reader:sesame123"


class SlowWay:
    """A port of loopback that leads to a server, whose answers it holds back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay_s = 0.0
        self.open = threading.Event()
        self.open.set()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                for pair, slow in (((client, server), False), ((server, client), True)):
                    copying = threading.Thread(target=self._copy, args=[*pair, slow], daemon=True)
                    copying.start()

    def _copy(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if slow:
                    time.sleep(self.delay_s)
                self.open.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.open.set()
        for each in self._sockets:
            each.close()


@pytest.fixture
def way(milvus_server: ServerAddress) -> Iterator[SlowWay]:
    way = SlowWay(milvus_server.port)
    yield way
    way.close()


@pytest.fixture
def collection() -> str:
    return f"images_{uuid.uuid4().hex}"


class Counting:
    """The packaged model, which counts the pictures that it has seen."""

    def __init__(self, model: ModelEmbedder) -> None:
        self._model = model
        self.seen = 0
        self._embed = model.embed
        model.embed = self._counted  # type: ignore[method-assign]

    def _counted(self, pictures: Pixels) -> npt.NDArray[np.float32]:
        self.seen += len(pictures)
        return self._embed(pictures)


def test_a_slow_server_slows_the_model_down_and_loses_nothing(
    way: SlowWay, photos: Path, collection: str
) -> None:
    """What waits for a slow server is bounded, so memory is, too."""
    model = load_embedder()
    counting = Counting(model)
    ahead = 0

    def on_progress(progress: Progress) -> None:
        nonlocal ahead
        way.delay_s = 0.1
        ahead = max(ahead, counting.seen - progress.added)

    settings = Settings(batch_size=1, threads=1)
    with Index.open(
        way.uri, token=TOKEN, collection=collection, model=model, settings=settings
    ) as index:
        report = index.add(photos, on_progress=on_progress)
        assert (report.added, report.total, report.skipped) == (30, 30, ())
        # So many batches are embedded or written at once at most, by `pipeline.run`.
        assert 1 <= ahead <= 6
        hits = index.search(photos / "birds" / "crow.jpg", limit=100)
        assert (len(hits), Path(hits[0].path).name) == (30, "crow.jpg")


def test_a_server_that_stops_to_answer_is_given_up_in_time_and_gone_on_with(
    way: SlowWay, photos: Path, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SHORTEST_S", 1.0)
    settings = Settings(batch_size=4, threads=1, server_wait_s=1)
    stopped = 0.0

    def on_progress(progress: Progress) -> None:
        nonlocal stopped
        if progress.added >= 8 and not stopped:
            way.open.clear()
            stopped = time.monotonic()

    with Index.open(way.uri, token=TOKEN, collection=collection, settings=settings) as index:
        with pytest.raises(ServerLost, match="has not answered for 1 s"):
            index.add(photos, on_progress=on_progress)
        assert time.monotonic() - stopped < 15
        way.open.set()
        report = index.add(photos)
        assert report.unchanged >= 8
        assert (report.added + report.unchanged, report.total) == (30, 30)


def test_an_account_that_may_only_read_searches_and_is_told_that_it_may_not_index(
    cli: Cli, milvus_server: ServerAddress, photos: Path, collection: str
) -> None:
    uri = milvus_server.uri
    with Index.open(uri, token=TOKEN, collection=collection) as index:
        index.add(photos / "birds")
    admin = MilvusClient(uri, token=TOKEN, dedicated=True)
    if "reader" not in admin.list_users():
        admin.create_user(*READER.split(":"))
        admin.create_role("reader")
        admin.grant_role("reader", "reader")
    for kind, privilege in (
        ("Global", "DescribeCollection"), ("Global", "ShowCollections"),
        ("Collection", "Load"), ("Collection", "GetLoadState"), ("Collection", "IndexDetail"),
        ("Collection", "GetStatistics"), ("Collection", "Query"), ("Collection", "Search"),
    ):  # fmt: skip
        admin.grant_privilege("reader", kind, privilege, "*" if kind == "Global" else collection)
    admin.close()
    crow = photos / "birds" / "crow.jpg"
    until = time.monotonic() + 60  # the server hears of each from etcd, when it has time
    while time.monotonic() < until:
        with (
            contextlib.suppress(TokenRefused),
            Index.open(uri, token=READER, collection=collection, create=False) as index,
        ):
            assert len(index) == len(index.search(crow, limit=100)) == 12
            break
        time.sleep(0.1)
    options = ("--db", uri, "--collection", collection)
    found = cli("search", crow, "--format", "json", *options, LOOKALIKE_TOKEN=READER)
    assert (found.code, found.err) == (0, "")
    assert Path(found.json["hits"][0]["path"]).name == "crow.jpg"
    outcome = cli("index", photos, *options, LOOKALIKE_TOKEN=READER)
    assert outcome.code == 1
    assert outcome.err.startswith(f"lookalike: {uri} refuses: ")
    assert outcome.err.count("\n") == 1
    with Index.open(uri, token=READER, collection=collection) as index:
        assert len(index) == 12
        with pytest.raises(TokenRefused):
            index.remove(crow)
        assert len(index) == 12
