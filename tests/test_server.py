"""An index on a real Milvus server, which may refuse, go away and come back."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from lookalike import Hit, Index, IndexNotFound, Progress, ServerLost, Settings, TokenRefused
from tests.conftest import Outcome
from tests.forked import COMMAND, Lookalike
from tests.milvus_server import TOKEN, MilvusServer
from tests.sample_server import Site, serving

Cli = Callable[..., Outcome]


@pytest.fixture
def server(own_server: MilvusServer) -> Iterator[MilvusServer]:
    """The server, which a test may kill."""
    yield own_server
    if not own_server.running:
        own_server.start()


@pytest.fixture
def collection() -> str:
    return f"images_{uuid.uuid4().hex}"


@pytest.fixture
def on_server(cli: Cli, server: MilvusServer, collection: str) -> Cli:
    """Runs ``lookalike`` with its database on the server."""

    def run(*args: str | Path, **environment: str) -> Outcome:
        variables = {"LOOKALIKE_DB": server.uri, "LOOKALIKE_TOKEN": TOKEN, **environment}
        return cli(*args, "--collection", collection, **variables)

    return run


def line_of(outcome: Outcome) -> str:
    """The one line that a failed command prints."""
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("lookalike: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def test_hits_are_the_same_as_in_milvus_lite(
    photos: Path, tmp_path: Path, server: MilvusServer, collection: str
) -> None:
    with (
        Index.open(server.uri, token=TOKEN, collection=collection) as index,
        Index.open(tmp_path / "photos.db") as local,
    ):
        assert index.add(photos).total == local.add(photos).total == 30
        for picture in sorted(photos.glob("*/*.*")):
            ours, theirs = index.search(picture, limit=30), local.search(picture, limit=30)
            # Batches may be cut differently, which changes bf16 sums a little.
            expected = {hit.path: hit.score for hit in theirs}
            assert expected.keys() == {hit.path for hit in ours}
            assert all(abs(hit.score - expected[hit.path]) < 1e-3 for hit in ours)
            assert [replace(hit, score=0) for hit in sorted(ours, key=path_of)] == [
                replace(hit, score=0) for hit in sorted(theirs, key=path_of)
            ]


def path_of(hit: Hit) -> str:
    return hit.path


def test_the_commands_are_the_same(on_server: Cli, photos: Path, server: MilvusServer) -> None:
    first = on_server("index", photos, "--format", "json").json
    assert (first["added"], first["total"]) == (30, 30)
    hits = on_server("search", photos / "birds" / "crow.jpg", "--format", "json").json["hits"]
    assert (len(hits), Path(hits[0]["path"]).name) == (10, "crow.jpg")
    (photos / "birds" / "crow.jpg").unlink()
    again = on_server("index", photos).out
    assert (
        again == f"0 added, 0 updated, 0 moved, 1 removed, 29 unchanged, 0 skipped; "
        f"29 pictures in {server.uri}\n"
    )
    assert on_server("remove", photos / "birds").out == f"11 removed; 18 pictures in {server.uri}\n"
    told = on_server("info", "--format", "json").json
    assert (told["database"], told["pictures"], told["size_bytes"]) == (server.uri, 18, None)
    assert "size         unknown" in on_server("info").out


def test_a_wrong_token_is_refused_in_one_line_that_does_not_show_it(
    cli: Cli, photos: Path, server: MilvusServer
) -> None:
    place = server.uri.removeprefix("http://")
    ways = [
        (("--db", server.uri, "--token", "root:secret"), ""),
        (("--db", f"http://root:secret@{place}"), ""),
        (("--db", server.uri), "secret"),
        (("--db", server.uri), ""),
    ]
    for options, variable in ways:
        line = line_of(cli("index", photos, *options, LOOKALIKE_TOKEN=variable))
        assert f"{server.uri} refuses: the user, password or token is wrong" in line
        assert "secret" not in line
    shown = cli("info", "-vv", *ways[1][0])
    assert shown.code == 1
    assert "TokenRefused" in shown.err
    assert "secret" not in shown.err + shown.out


def test_an_account_without_rights_is_told_so(server: MilvusServer, collection: str) -> None:
    admin = MilvusClient(server.uri, token=TOKEN, dedicated=True)
    if "guest" not in admin.list_users():
        admin.create_user("guest", "sesame123")
    with pytest.raises(TokenRefused):
        Index.open(server.uri, token="guest:sesame123", collection=collection)
    admin.close()


def test_a_token_in_the_address_is_as_good_and_is_not_told(
    cli: Cli, on_server: Cli, photos: Path, server: MilvusServer, collection: str
) -> None:
    on_server("index", photos / "birds")
    with_token = server.uri.replace("http://", f"http://{TOKEN}@")
    told = cli("info", "--format", "json", "--db", with_token, "--collection", collection)
    assert (told.json["pictures"], told.json["database"]) == (12, server.uri)
    with Index.open(with_token, collection=collection) as index:
        assert index.info().database == server.uri


def test_what_is_not_there(cli: Cli, on_server: Cli, photos: Path, server: MilvusServer) -> None:
    crow = photos / "birds" / "crow.jpg"
    assert "There is no index 'images_" in line_of(on_server("search", crow))
    with pytest.raises(IndexNotFound):
        Index.open(server.uri, token=TOKEN, collection="nothing", create=False)
    started = time.monotonic()
    line = line_of(cli("search", crow, "--db", "http://127.0.0.1:1"))
    assert "http://127.0.0.1:1 cannot be reached (Connection refused). Check the address" in line
    assert time.monotonic() - started < 10
    with serving(Site(b"")) as site:
        place = site.url.rpartition("/")[0]
        line = line_of(cli("search", crow, "--db", place))
        assert f"{place} cannot be reached (something listens there, but" in line


def test_a_name_that_is_no_collection(cli: Cli, photos: Path, server: MilvusServer) -> None:
    options = ("--db", server.uri, "--token", TOKEN, "--collection", "my photos")
    assert "Invalid collection name" in line_of(cli("index", photos, *options))


def test_two_processes_index_into_one_new_collection_at_once(
    photos: Path, server: MilvusServer, collection: str
) -> None:
    variables = {**os.environ, "LOOKALIKE_DB": server.uri, "LOOKALIKE_TOKEN": TOKEN}
    command = [*COMMAND, "index", "--collection", collection]
    both = [
        Lookalike(
            [*command, *(str(photos / group) for group in groups)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
        )
        for groups in (("birds", "trees"), ("flowers", "trees"))
    ]  # fmt: skip
    for process in both:
        _, said = process.communicate(timeout=100)
        assert (process.returncode, said) == (0, "")
    with Index.open(server.uri, token=TOKEN, collection=collection) as index:
        assert len(index) == 30
        hits = index.search(photos / "birds" / "crow.jpg", limit=100)
        assert len({hit.path for hit in hits}) == len(hits) == 30


SLOWLY = Settings(batch_size=2, threads=1, server_wait_s=100)


@pytest.mark.timeout(240)
def test_a_run_goes_on_when_the_server_comes_back(
    photos: Path, server: MilvusServer, collection: str
) -> None:
    """Killed without warning, as a whole; then it hangs for a while."""
    happened: list[int] = []

    def on_progress(progress: Progress) -> None:
        if progress.added >= 6 and not happened:
            server.kill()
            threading.Thread(target=server.start).start()
            happened.append(progress.added)
        if progress.added >= 20 and len(happened) == 1:
            server.signal(signal.SIGSTOP)
            threading.Timer(1.5, server.signal, [signal.SIGCONT]).start()
            happened.append(progress.added)

    pictures = sorted(path.as_posix() for path in photos.glob("*/*.*"))
    with Index.open(server.uri, token=TOKEN, collection=collection, settings=SLOWLY) as index:
        report = index.add(photos, on_progress=on_progress)
        assert (report.added, report.total, report.skipped) == (30, 30, ())
        assert len(happened) == 2
        hits = index.search(photos / "birds" / "crow.jpg", limit=1000)
        assert sorted(hit.path for hit in hits) == pictures
        assert index.add(photos).unchanged == 30


def test_a_server_that_stays_away_ends_the_run_in_one_line_and_loses_nothing(
    photos: Path, server: MilvusServer, collection: str
) -> None:
    # So many that the server is killed on the way, also where it is slow to say that it has a row.
    for number in range(20):
        shutil.copytree(photos / "birds", photos / str(number))
    total = 30 + 20 * 12
    variables = {
        **os.environ,
        "LOOKALIKE_TOKEN": TOKEN,
        "LOOKALIKE_BATCH_SIZE": "1",
        "LOOKALIKE_THREADS": "1",
        "LOOKALIKE_SERVER_WAIT_S": "2",
    }
    options = ["--db", server.uri, "--collection", collection]
    Index.open(server.uri, token=TOKEN, collection=collection).close()
    watcher = MilvusClient(server.uri, token=TOKEN, dedicated=True)
    command = [*COMMAND, "index", str(photos), *options]
    process = Lookalike(command, stderr=subprocess.PIPE, text=True, env=variables)
    while True:
        rows = watcher.query(collection, filter="", output_fields=["count(*)"])
        if kept := int(rows[0]["count(*)"]):
            break
    server.kill()
    watcher.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    waiting, last = said.splitlines()[-2:]
    assert waiting == f"{server.uri} does not answer; waiting for it, 2 s at most."
    assert f"{server.uri} has not answered for 2 s (Connection refused). Everything" in last
    assert "run the same command again" in last

    assert server.start()
    with Index.open(server.uri, token=TOKEN, collection=collection) as index:
        assert kept <= len(index) < total
        report = index.add(photos)
        assert report.unchanged >= kept
        assert (report.added + report.unchanged, report.total) == (total, total)


def test_once_it_is_given_up_every_question_fails_at_once(
    photos: Path, server: MilvusServer, collection: str
) -> None:
    settings = Settings(server_wait_s=2)
    with Index.open(server.uri, token=TOKEN, collection=collection, settings=settings) as index:
        index.add(photos / "birds")
        server.kill()
        for least, most in ((2, 10), (0, 2)):
            started = time.monotonic()
            with pytest.raises(ServerLost):
                len(index)
            assert least <= time.monotonic() - started < most
        assert server.start()
        while True:
            with contextlib.suppress(ServerLost):
                assert len(index) == 12
                break
