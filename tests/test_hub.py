"""What the hub answers is told apart from a lost connection; it is one on this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from lookalike import ModelUnusable, load_embedder
from lookalike.embed.hub import reachable_or_offline

SMALL = "test_resnet"

pytestmark = pytest.mark.usefixtures("models_cache")

Answer = Callable[..., None]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Answer]:
    """Sets what a hub of this test's own answers to everything: a status, and headers."""
    status, headers = 500, dict[str, str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    def answer(code: int, **codes: str) -> None:
        nonlocal status
        status = code
        headers.clear()
        headers.update({name.replace("_", "-"): value for name, value in codes.items()})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        # The hub's library waits 46 s in all between its tries.
        monkeypatch.setattr(time, "sleep", lambda _: None)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield answer
        server.shutdown()
        thread.join()


def refusal(name: str) -> str:
    """The one line of a model that cannot be had."""
    with pytest.raises(ModelUnusable) as caught:
        load_embedder(name)
    assert "\n" not in str(caught.value)
    assert constants.HF_HUB_OFFLINE is False
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "RepoNotFound", "has no repository of {name}, or a private one. Check the spelling"),
        (401, "RepoNotFound", "has no repository of {name}, or a private one. Check the spelling"),
        (403, "GatedRepo", "{name} are given only to those who have accepted their terms. Accept"),
        (404, "RevisionNotFound", "no such revision of {name}"),
        (404, "EntryNotFound", "not where timm looks for them ({file}: 404). Choose another"),
        (401, "", "refuses to give out the weights of {name} (401). If a token is set"),
        (403, "", "refuses to give out the weights of {name} (403). If a token is set"),
        (503, "", "{name} now (it answers 503). Try again later"),
    ],
)
@pytest.mark.parametrize(
    ("name", "file"),
    [
        (SMALL, "pytorch_model.bin"),
        ("hf-hub:owner/model", "config.json"),
        ("clip:ViT-B-32/laion2b_s34b_b79k", "open_clip_pytorch_model.bin"),
        ("clip:hf-hub:owner/model", "open_clip_config.json"),
    ],
    ids=["timm's own", "hf-hub", "open_clip's own", "open_clip's hf-hub"],
)
def test_each_answer_of_the_hub_has_its_own_next_step(
    hub: Answer, status: int, code: str, expected: str, name: str, file: str
) -> None:
    hub(status, **({"X_Error_Code": code} if code else {}))
    line = refusal(name)
    assert expected.format(name=name, file=file) in line
    assert "cannot be downloaded" not in line


def test_weights_that_cannot_be_downloaded_name_the_ways_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in (
        *(SMALL, "hf-hub:owner/no-such-model"),
        *("clip-base-text", "clip:hf-hub:owner/no-such-model"),
    ):
        with pytest.raises(ModelUnusable, match="--weights FILE") as caught:
            load_embedder(name)
        assert "\n" not in str(caught.value)


def test_without_a_way_to_the_hub_this_is_said_at_once_and_later_downloads_may_try_again(
    hub: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    seen = []
    with monkeypatch.context() as offline:
        offline.setattr(socket, "getaddrinfo", no_address)
        for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            offline.delenv(variable, raising=False)
        with reachable_or_offline(), reachable_or_offline():
            seen.append(constants.HF_HUB_OFFLINE)
        assert "cannot be downloaded" in refusal(SMALL)
    assert seen == [True]
    hub(503)
    assert "answers 503" in refusal(SMALL), "the hub was asked again"


def test_a_connection_that_breaks_off_is_one_line(
    hub: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert "cannot be downloaded" in refusal(SMALL)
