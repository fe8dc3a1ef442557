"""Whatever is sent as a picture gets an answer in time, and the server lives."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.damage import damaged, traps, whole_archives, whole_files
from tests.serve_process import Command, command
from tests.test_damage import SEED, peak_memory_mb

SECONDS = 5
LIMIT_S = 60
MEMORY_MB = 1500
MUTATIONS_PER_KIND = 10
NO_PICTURES = [
    b"",
    b"\0" * 1000,
    b"<html><script>alert(1)</script>",
    b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    b"#!/bin/sh\nrm -rf /\n",
    b"%PDF-1.7\n",
    "ünïcödé".encode("utf-16"),
]
REFUSED = {400, 408, 413, 415, 422}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("fuzz")
    variables = {"LOOKALIKE_REQUESTS_PER_MINUTE": "0", "LOOKALIKE_MAX_SECONDS": str(SECONDS)}
    with command("--db", folder / "photos.db", **variables) as running:
        yield running


def corpus() -> list[tuple[str, bytes]]:
    """What is sent, by its kind: broken files, traps, and what is no picture."""
    files = [(kind, data) for kind, _, data in damaged(whole_files(), SEED, MUTATIONS_PER_KIND)]
    files += [(kind, data) for kind, _, data in traps()]
    files += [(kind, data) for kind, (_, data) in whole_archives().items()]
    return files + [("no picture", data) for data in NO_PICTURES]


def test_damaged_files_and_traps_are_refused_in_time(
    server: Command, samples: Path, say: Callable[[str], None]
) -> None:
    good = (samples / "birds" / "crow.jpg").read_bytes()
    slowest = 0.0
    with httpx.Client(base_url=f"{server.address}/api/v1", timeout=30) as client:

        def send(each: tuple[str, bytes]) -> tuple[str, int]:
            nonlocal slowest
            kind, data = each
            began = time.monotonic()
            path = "/uploads" if len(data) % 2 else "/search"
            answer = client.post(path, files={"picture": ("a.jpg", data, "image/jpeg")})
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status_code in REFUSED | {200, 201}, (kind, answer.text)
            if answer.status_code in REFUSED:
                assert set(answer.json()) == {"error"}
                assert os.sep not in answer.json()["error"]["message"], answer.text
            return kind, answer.status_code

        began = time.monotonic()
        with ThreadPoolExecutor(4) as senders:
            answers = list(senders.map(send, corpus()))
        seconds = time.monotonic() - began
        statuses = Counter(status for _, status in answers)
        assert {status for kind, status in answers if kind == "no picture"} <= REFUSED
        assert statuses[415] > 100
        assert slowest < SECONDS + 5
        assert seconds < LIMIT_S
        assert client.post("/uploads", files={"picture": good}).status_code == 201
        peak = peak_memory_mb(server.process)  # type: ignore[arg-type]  # of whatever text
    assert 0 < peak < MEMORY_MB
    say(
        f"{len(answers)} uploads in {seconds:.0f} s, the slowest answer after {slowest:.1f} s, "
        f"peak memory {peak:.0f} MB: {dict(sorted(statuses.items()))}"
    )
    assert server.process.poll() is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"terms": ' + b"[" * 100_000, "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\na", "multipart/form-data; boundary=x"),
        (b"anything", "multipart/form-data"),
        (b"anything", "multipart/form-data; boundary=" + "y" * 5000),
        (b"anything", "image/jpeg"),
        (b"\xff\xfe{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"terms": ' + b"1" * 10_000 + b"}", "application/json"),
        (b'{"terms": [{"url": "file:///etc/passwd"}]}', "application/json"),
        (b'{"terms": [{"url": "http://127.0.0.1:1/"}]}', "application/json"),
        (b'{"terms": [{"id": "../../../../etc/passwd"}]}', "application/json"),
        (b'{"terms": [{"path": "/etc/passwd"}]}', "application/json"),
        (b'{"terms": [{"words": "clipboard:"}], "limit": 1e99}', "application/json"),
        (b'{"terms": [{"words": "a", "weight": NaN}]}', "application/json"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(server: Command, body: bytes, kind: str) -> None:
    for path in ("/search", "/uploads"):
        address = f"{server.address}/api/v1{path}"
        answer = httpx.post(address, content=body, headers={"Content-Type": kind}, timeout=20)
        assert answer.status_code in REFUSED | {404}, answer.text
        assert set(answer.json()) == {"error"}
        assert "root:" not in answer.text


def test_many_parts_in_one_form_are_refused(server: Command) -> None:
    many = [("picture", ("a.jpg", b"x", "image/jpeg"))] * 5000
    answer = httpx.post(f"{server.address}/api/v1/search", files=many, timeout=20)
    assert answer.status_code in REFUSED


def test_a_picture_of_a_size_that_is_not_allowed_is_refused_before_it_is_all_sent(
    server: Command,
) -> None:
    began = time.monotonic()
    large = bytes(60_000_000)
    for path in ("/uploads", "/search"):
        address = f"{server.address}/api/v1{path}"
        answer = httpx.post(address, files={"picture": large}, timeout=20)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert time.monotonic() - began < 10
