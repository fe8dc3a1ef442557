"""``lookalike serve`` as people start and stop it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import Outcome
from tests.serve_process import Command, command

TOKEN = "a-token-that-is-long-enough"
Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def database(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An index of one picture."""
    folder = tmp_path_factory.mktemp("command")
    shutil.copy(samples / "birds" / "crow.jpg", folder)
    words = [sys.executable, "-m", "lookalike", "index", str(folder)]
    database = str(folder / "photos.db")
    subprocess.run([*words, "--db", database], check=True, capture_output=True)
    return database


def one_line(outcome: Outcome) -> str:
    """What a command that failed has said, in one line."""
    assert outcome.out == ""
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    return lines[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "photos.example"])
def test_others_are_not_served_without_a_token(cli: Cli, host: str, tmp_path: Path) -> None:
    refused = cli("serve", "--host", host)
    assert refused.code == 2
    assert "LOOKALIKE_SERVE_TOKEN" in one_line(refused)
    assert not (tmp_path / "photos.db").exists()


def test_it_listens_at_an_address_of_version_6(database: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with command("--db", database, "--host", "::1") as server:
        assert server.address.startswith("http://[::1]:")
        assert httpx.get(f"{server.address}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_could_be_guessed_is_refused(cli: Cli, host: str) -> None:
    refused = cli("serve", "--host", host, LOOKALIKE_SERVE_TOKEN="short")
    assert refused.code == 2
    line = one_line(refused)
    assert "at least 16" in line
    assert "short" not in line


def test_a_port_that_is_taken_is_named(cli: Cli, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = cli("serve", "--port", port, "--db", database)
    assert refused.code == 1
    assert f"127.0.0.1, port {port}: Address already in use." in one_line(refused)


def test_a_host_that_there_is_not_is_named(cli: Cli, database: str) -> None:
    refused = cli(
        "serve", "--host", "nowhere.invalid", "--db", database, LOOKALIKE_SERVE_TOKEN=TOKEN
    )
    assert refused.code == 1
    assert "cannot listen at nowhere.invalid" in one_line(refused)


def test_a_root_that_there_is_not_is_named(cli: Cli, database: str, tmp_path: Path) -> None:
    refused = cli("serve", "--root", tmp_path / "nowhere", "--db", database)
    assert refused.code == 1
    assert f"{tmp_path}/nowhere is no folder." in one_line(refused)


def test_without_its_packages_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['lookalike', 'serve']; "
        "from lookalike.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    needed = "lookalike serve needs server; install it with: pip install 'lookalike[server]'"
    assert done.stderr == f"lookalike: {needed}\n"


def slow_request(server: Command) -> tuple[socket.socket, bytes]:
    """A login that the server waits for the rest of, as the last byte is missing; and that byte."""
    body = b"token=" + TOKEN.encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        + f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body[:-1])
    return connection, body[-1:]


def listens_no_more(server: Command) -> bool:
    """Whether it has heard within ten seconds that it is to stop."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.05)
    return False


def test_told_to_stop_it_finishes_what_is_under_way_and_nothing_else(database: str) -> None:
    with command("--db", database, LOOKALIKE_SERVE_TOKEN=TOKEN) as server:
        connection, rest = slow_request(server)
        with connection:
            server.process.send_signal(signal.SIGTERM)
            assert listens_no_more(server)
            connection.sendall(rest)
            assert connection.recv(100).startswith(b"HTTP/1.1 303 ")
        assert server.stop() == (0, "")
    # The database is free again.
    with command("--db", database) as server:
        assert httpx.get(f"{server.address}/api/v1/info").json()["pictures"] == 1


def test_a_request_that_never_ends_does_not_keep_it(database: str) -> None:
    with command("--db", database, LOOKALIKE_SERVE_TOKEN=TOKEN) as server:
        connection, _ = slow_request(server)
        with connection:
            began = time.monotonic()
            assert server.stop()[0] == 0
            assert time.monotonic() - began < 12


def test_what_hangs_while_it_stops_does_not_keep_it(database: str) -> None:
    program = (
        "import time; from lookalike.cli import app, serve; serve.STOP_S = 1; "
        "from lookalike.serve.service import Service; "
        "Service.close = lambda self: time.sleep(60); app.main()"
    )
    with command("--db", database, program=["-c", program]) as server:
        began = time.monotonic()
        code, said = server.stop()
        assert (code, said) == (1, "Not everything was finished in 1 s.\n")
        assert time.monotonic() - began < 5


def test_ctrl_c_stops_it_and_a_second_one_at_once(database: str) -> None:
    with command("--db", database, LOOKALIKE_SERVE_TOKEN=TOKEN) as server:
        assert server.stop(signal.SIGINT) == (130, "lookalike: Stopped.\n")
    with command("--db", database, LOOKALIKE_SERVE_TOKEN=TOKEN) as server:
        connection, _ = slow_request(server)
        with connection:
            server.process.send_signal(signal.SIGINT)
            assert listens_no_more(server)
            assert server.process.poll() is None
            began = time.monotonic()
            assert server.stop(signal.SIGINT)[0] == 130
            assert time.monotonic() - began < 1.5


def test_requests_are_logged_if_wanted_without_questions_and_secrets(database: str) -> None:
    for options in ([], ["-v"]):
        with command("--db", database, *options, LOOKALIKE_SERVE_TOKEN=TOKEN) as server:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            httpx.get(f"{server.address}/api/v1/info?where=private", headers=bearer)
            said = server.stop()[1]
        lines = [line.rsplit(" ", 2)[0] for line in said.splitlines()]
        assert lines == (["GET /api/v1/info 200"] if options else [])


def test_the_settings_and_options_reach_the_guards(database: str) -> None:
    # The clock stands still: how busy the machine is decides nothing.
    program = (
        "from functools import partial; from lookalike.serve.guards import rates; "
        "rates.Buckets = partial(rates.Buckets, clock=lambda: 0.0); "
        "from lookalike.cli.app import main; main()"
    )
    with command(
        *("--db", database, "--allow-host", "photos.example"),
        program=["-c", program],
        LOOKALIKE_MAX_UPLOAD_BYTES="100",
        LOOKALIKE_REQUESTS_PER_MINUTE="40",
    ) as server:
        info = f"{server.address}/api/v1/info"
        large = httpx.post(f"{server.address}/api/v1/search", content=bytes(101))
        assert large.status_code == 413
        hosts = [{"Host": "photos.example"}, {"Host": "evil.example"}]
        answers = [httpx.get(info, headers=host) for host in hosts]
        assert [answer.status_code for answer in answers] == [200, 403]
        # Ten at once, of which two are taken.
        assert [httpx.get(info).status_code for _ in range(9)] == [200] * 8 + [429]
        assert "server" not in answers[0].headers
        ready = httpx.get(f"{server.address}/readyz")
        assert ready.status_code == 429  # it costs the model's work


def test_open_shows_the_page_to_who_sits_at_a_terminal(database: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    words = [sys.executable, "-m", "lookalike", "serve", "--port", "0", "--open", "--db", database]
    outer, inner = pty.openpty()
    with subprocess.Popen(
        words,
        stdout=inner,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": f"{browser} %s"},
    ) as process:
        assert process.stderr
        address = process.stderr.readline()
        for _ in range(100):
            if (tmp_path / "opened").exists() and (tmp_path / "opened").read_text():
                break
            time.sleep(0.05)
        process.terminate()
    os.close(outer)
    os.close(inner)
    assert (tmp_path / "opened").read_text() == address


def test_many_clients_at_once_are_all_answered(database: str) -> None:
    settings = {"LOOKALIKE_REQUESTS_PER_MINUTE": "0"}
    with command("--db", database, **settings) as server:
        statuses: list[int] = []

        def ask() -> None:
            with httpx.Client(base_url=server.address) as client:
                paths = ("/", "/api/v1/info", "/readyz", "/metrics") * 5
                statuses.extend(client.get(path).status_code for path in paths)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 160
        assert json.loads(httpx.get(f"{server.address}/readyz").text)["pictures"] == 1
        assert server.stop() == (0, "")
