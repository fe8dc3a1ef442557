"""Whether a server is ready is found out by trying, in time, whatever the database does."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lookalike import Index, Settings
from lookalike.errors import ServerLost
from lookalike.serve import readiness
from lookalike.serve.app import create_app
from lookalike.serve.options import ServeOptions

DATABASE = "http://secret-host:19530"


@pytest.fixture
def client(samples: Path, tmp_path: Path) -> Iterator[TestClient]:
    shutil.copy(samples / "birds" / "crow.jpg", tmp_path)
    with Index.open(tmp_path / "photos.db") as index:
        index.add(tmp_path)
        app = create_app(index, options=ServeOptions(), settings=Settings())
        with TestClient(app) as made:
            yield made
        app.state.service.close()


def test_a_database_that_fails_and_comes_back_is_told_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(index: Index) -> int:
        raise ServerLost(DATABASE, 60, "no answer")

    assert client.get("/readyz").json() == {"status": "ready", "pictures": 1}
    assert client.get("/metrics").text.count("lookalike_pictures 1.0\n") == 1
    with monkeypatch.context() as patch:
        patch.setattr(Index, "__len__", lost)
        for path in ("/readyz", "/api/v1/readyz"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "not_ready"
            assert "secret-host" not in answer.text
            assert answer.headers["Retry-After"] == "5"
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").text.count("lookalike_pictures 1.0\n") == 1  # the last known
    assert client.get("/readyz").status_code == 200


def test_a_database_that_does_not_answer_is_asked_once_and_waited_for_briefly(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, tries = threading.Event(), []

    def slow(index: Index) -> int:
        tries.append(index)
        answers.wait(20)
        return 7

    monkeypatch.setattr(Index, "__len__", slow)
    monkeypatch.setattr(readiness.Readiness.pictures, "__kwdefaults__", {"wait_s": 0.2})
    began = time.monotonic()
    refused = [client.get("/readyz") for _ in range(3)]
    assert time.monotonic() - began < 5
    assert [answer.status_code for answer in refused] == [503] * 3
    assert "0.2 s" in refused[0].json()["error"]["message"]
    assert len(tries) == 1
    answers.set()
    for _ in range(50):
        if client.get("/readyz").status_code == 200:
            break
    assert client.get("/readyz").json()["pictures"] == 7


def test_a_model_that_fails_is_no_server_that_is_ready(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(index: Index) -> None:
        raise ServerLost(DATABASE, 1, "any error of the library's")

    monkeypatch.setattr(Index, "embedder", property(broken))
    assert client.get("/readyz").status_code == 503
