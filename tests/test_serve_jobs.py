"""Folders are indexed by request: one after the other, bounded, in the roots alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lookalike import Index, Settings
from lookalike.records import Pixels
from lookalike.serve import jobs as jobs_module
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.options import ServeOptions
from lookalike.serve.routes import jobs as routes
from lookalike.serve.service import Service
from tests.milvus_server import TOKEN, MilvusServer
from tests.serve_process import answering, command

OVER = {"done", "failed", "cancelled"}


@dataclass(frozen=True)
class Site:
    """A server in this process, and who asks it."""

    service: Service
    client: httpx.Client

    def start(self, *folders: str) -> Any:
        answer = self.client.post("/index", json={"folders": list(folders)})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def finished(self, job: Any) -> Any:
        deadline = time.monotonic() + 60
        while job["state"] not in OVER:
            assert time.monotonic() < deadline
            time.sleep(0.2)
            job = self.client.get(f"/jobs/{job['id']}").json()
        return job

    def refusal(self, **body: Any) -> tuple[int, str]:
        answer = self.client.post("/index", json=body)
        return answer.status_code, answer.json()["error"]["code"]


@contextlib.contextmanager
def site(database: Path, *roots: Path, **options: Any) -> Iterator[Site]:
    chosen = ServeOptions(roots=tuple(root.as_posix() for root in roots), **options)
    with Index.open(database) as index:
        app = create_app(index, options=chosen, settings=Settings())
        service = app.state.service
        with answering(guarded(app, service)) as port:
            base = f"http://127.0.0.1:{port}/api/v1"
            with httpx.Client(base_url=base, timeout=30, trust_env=False) as client:
                yield Site(service, client)
            service.close()


@pytest.fixture
def asked(photos: Path, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "photos.db", photos) as opened:
        yield opened


class Gate:
    """Holds the model up: nothing is embedded before `open` is set."""

    def __init__(self, index: Index) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        embedder = index.embedder
        self._embed = embedder.embed
        embedder.embed = self.embed  # type: ignore[method-assign]

    def embed(self, pictures: Pixels) -> np.ndarray[Any, Any]:
        self.reached.set()
        assert self.open.wait(60)
        return self._embed(pictures)


def test_a_job_makes_the_index_match_its_folders(asked: Site, photos: Path) -> None:
    (photos / "birds" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    job = asked.start()
    assert (job["state"] in {"queued", "running"}, job["report"]) == (True, None)
    job = asked.finished(job)
    assert job["state"] == "done"
    assert job["finished_at"] >= job["created_at"]
    assert job["progress"] == {"added": 30, "updated": 0, "unchanged": 0, "skipped": 1, "done": 31}
    report = job["report"]
    assert (report["added"], report["total"]) == (30, 30)
    (skipped,) = report["skipped"]
    assert (skipped["name"], skipped["path"]) == ("broken.jpg", None)
    assert photos.as_posix() not in json.dumps(job)
    (photos / "birds" / "crow.jpg").unlink()
    report = asked.finished(asked.start("photos/birds"))["report"]
    assert (report["removed"], report["unchanged"], report["total"]) == (1, 11, 29)
    # The command says the same of it.
    (photos / "birds" / "broken.jpg").unlink()
    expected = asked.service.index.add(photos)
    report = asked.finished(asked.start())["report"]
    for name in ("added", "updated", "moved", "removed", "unchanged", "total"):
        assert report[name] == getattr(expected, name)


def test_an_empty_body_is_all_roots(asked: Site) -> None:
    answer = asked.client.post("/index")
    assert answer.status_code == 202
    assert asked.finished(answer.json())["report"]["added"] == 30
    assert [job["id"] for job in asked.client.get("/jobs").json()["jobs"]] == [answer.json()["id"]]


def test_with_show_paths_what_was_skipped_is_named_in_full(photos: Path, tmp_path: Path) -> None:
    broken = photos / "birds" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no picture")
    with site(tmp_path / "photos.db", photos, show_paths=True) as asked:
        (skipped,) = asked.finished(asked.start())["report"]["skipped"]
    assert skipped["path"] == broken.as_posix()


def test_reasons_name_no_path_of_the_machine(photos: Path, tmp_path: Path) -> None:
    (photos / "loop").symlink_to(tmp_path)
    shutil.copytree(photos / "birds", photos / "emptied")
    with site(tmp_path / "photos.db", photos, photos / "emptied") as asked:
        asked.finished(asked.start())
        for picture in (photos / "emptied").iterdir():
            picture.unlink()
        job = asked.finished(asked.start("emptied"))
        assert "if they are really gone" in job["report"]["skipped"][0]["reason"]
        assert tmp_path.as_posix() not in json.dumps(job)
    reason = f"it links back to {tmp_path}, which contains it"
    assert routes.without_paths(reason, asked.service) == "it links back to …"
    assert routes.without_paths(f"see {photos}/a b.jpg", asked.service) == "see photos/a b.jpg"
    assert routes.without_paths(r"see C:\Users\me", asked.service) == "see …"
    assert routes.without_paths("decoded at 1/8 of 3/4", asked.service) == "decoded at 1/8 of 3/4"


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("photos/../other", (422, "invalid_value")),
        ("..", (404, "no_such_folder")),
        ("../photos", (404, "no_such_folder")),
        ("photos/./birds", (422, "invalid_value")),
        ("photos//birds", (422, "invalid_value")),
        ("photos\\birds", (422, "invalid_value")),
        ("/", (422, "invalid_value")),
        ("", (422, "invalid_value")),
        ("photos/no", (404, "no_such_folder")),
        ("photos/birds/crow.jpg", (404, "no_such_folder")),
        ("photos/out", (404, "no_such_folder")),
        ("photos/out/pictures", (404, "no_such_folder")),
        ("photos/\x00", (404, "no_such_folder")),
        ("other", (404, "no_such_folder")),
    ],
)
def test_nothing_outside_the_roots_can_be_named(
    asked: Site, photos: Path, tmp_path: Path, name: str, refusal: tuple[int, str]
) -> None:
    shutil.copytree(photos / "birds", tmp_path / "other" / "pictures")
    (photos / "out").symlink_to(tmp_path / "other")
    assert asked.refusal(folders=[name]) == refusal
    assert asked.refusal(folders=["photos", name]) == refusal
    absolute = (tmp_path / "other").as_posix()
    assert asked.refusal(folders=[absolute]) == (422, "invalid_value")
    assert asked.client.get("/jobs").json() == {"jobs": []}


def test_links_that_lead_out_of_the_roots_are_not_followed(
    asked: Site, photos: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(photos / "birds", elsewhere)
    (photos / "folder").symlink_to(elsewhere)
    (photos / "file.jpg").symlink_to(elsewhere / "crow.jpg")
    (photos / "inside.jpg").symlink_to(min((photos / "trees").iterdir()))
    report = asked.finished(asked.start())["report"]
    assert (report["total"], report["skipped"]) == (19, [])
    # Whoever may see all files may have them indexed, and then they stay.
    assert asked.service.index.add(photos).total == 19 + 13
    assert asked.finished(asked.start())["report"]["total"] == 19 + 13


def test_roots_of_the_same_name_are_told_apart(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "birds", tmp_path / "b" / "photos" / "birds")
    with site(tmp_path / "photos.db", photos, tmp_path / "b" / "photos") as asked:
        names = [root["name"] for root in asked.client.get("/info").json()["roots"]]
        assert names == ["photos", "photos-2"]
        assert asked.finished(asked.start("photos-2/birds"))["report"]["total"] == 12
        assert asked.finished(asked.start("photos/trees"))["report"]["total"] > 12


def test_without_roots_nothing_is_indexed(tmp_path: Path) -> None:
    with site(tmp_path / "photos.db") as asked:
        assert asked.refusal() == (403, "not_allowed")
        assert asked.refusal(folders=[tmp_path.as_posix()]) == (403, "not_allowed")


def test_jobs_run_one_after_the_other_and_only_some_may_wait(asked: Site) -> None:
    gate = Gate(asked.service.index)
    first = asked.start("photos/birds")
    assert gate.reached.wait(30)
    waiting = [asked.start("photos/trees") for _ in range(jobs_module.MOST_WAITING)]
    answer = asked.client.post("/index", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_jobs")
    assert int(answer.headers["Retry-After"]) > 0
    states = [job["state"] for job in asked.client.get("/jobs").json()["jobs"]]
    assert states == ["queued"] * len(waiting) + ["running"]
    gone = asked.client.delete(f"/jobs/{waiting[0]['id']}").json()
    assert gone["state"] == "cancelled"
    gate.open.set()
    assert asked.finished(first)["state"] == "done"
    assert {asked.finished(job)["state"] for job in waiting[1:]} == {"done"}


def test_only_the_last_jobs_are_kept(asked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_KEPT", 2)
    ids = [asked.finished(asked.start("photos/trees"))["id"] for _ in range(4)]
    kept = [job["id"] for job in asked.client.get("/jobs").json()["jobs"]]
    assert kept == ids[:1:-1]
    answer = asked.client.get(f"/jobs/{ids[0]}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_job")


def test_a_job_that_is_ended_keeps_what_it_has_committed(asked: Site) -> None:
    gate = Gate(asked.service.index)
    job = asked.start()
    assert gate.reached.wait(30)
    asked.client.delete(f"/jobs/{job['id']}")
    gate.open.set()
    job = asked.finished(job)
    assert (job["state"], job["report"], job["error"]) == ("cancelled", None, None)
    kept = len(asked.service.index)
    assert 0 < kept < 30
    assert job["progress"]["added"] <= kept
    report = asked.finished(asked.start())["report"]
    assert (report["unchanged"], report["total"]) == (kept, 30)


def test_a_job_that_fails_says_why_and_the_next_one_runs(
    asked: Site, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    gate = Gate(asked.service.index)
    first = asked.start("photos/trees")
    assert gate.reached.wait(30)
    second = asked.start("photos/birds")
    shutil.move(photos / "birds", photos / "flown")
    gate.open.set()
    assert asked.finished(first)["state"] == "done"
    failed = asked.finished(second)
    assert failed["state"] == "failed"
    assert failed["error"]["message"]
    assert photos.as_posix() not in failed["error"]["message"]
    assert asked.finished(asked.start())["state"] == "done"


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
        elif line:
            yield line, None


def test_progress_is_told_as_it_happens_until_the_job_is_over(
    asked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "HEARTBEAT_S", 0.2)
    gate = Gate(asked.service.index)
    job = asked.start()
    with asked.client.stream("GET", f"/jobs/{job['id']}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = []
        for name, data in events(answer):
            told.append((name, data and data["state"]))
            if name.startswith(":"):
                gate.open.set()
    assert told[0] in [("progress", "queued"), ("progress", "running")]
    assert any(name.startswith(":") for name, _ in told)
    assert told[-1] == ("done", "done")
    assert {name for name, _ in told if not name.startswith(":")} == {"progress", "done"}
    # Who comes later hears how it ended.
    with asked.client.stream("GET", f"/jobs/{job['id']}/events") as answer:
        ((name, data),) = events(answer)
    assert (name, data["report"]["total"]) == ("done", 30)


def test_a_client_that_has_gone_is_not_written_to(asked: Site) -> None:
    left = threading.Event()
    original = routes._events

    async def watched(*args: Any) -> Any:
        try:
            async for each in original(*args):
                yield each
        finally:
            left.set()

    gate = Gate(asked.service.index)
    job = asked.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "_events", watched)
        with asked.client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            next(iter(answer.iter_lines()))
        assert left.wait(5)
    gate.open.set()


def test_searches_see_rows_of_a_job_that_runs(asked: Site, photos: Path) -> None:
    asked.finished(asked.start("photos/birds"))
    gate = Gate(asked.service.index)
    job = asked.start()
    assert gate.reached.wait(30)
    known = asked.client.get("/images", params={"limit": 1}).json()["images"][0]["id"]
    answer = asked.client.post("/search", json={"terms": [{"id": known}], "limit": 12})
    assert len(answer.json()["hits"]) == 12
    gate.open.set()
    assert asked.finished(job)["report"]["total"] == 30


@pytest.fixture
def many(samples: Path, tmp_path: Path) -> Path:
    """Enough different files that indexing them takes some seconds."""
    folder = tmp_path / "many"
    for number in range(4):
        shutil.copytree(samples, folder / str(number))
        for picture in (folder / str(number)).rglob("*.*"):
            with picture.open("ab") as file:
                file.write(str(number).encode())
    return folder


def test_a_server_that_is_told_to_stop_ends_its_job_and_a_new_one_goes_on(
    many: Path, tmp_path: Path
) -> None:
    database = tmp_path / "photos.db"
    options: list[str | Path] = ["--db", database, "--root", many]

    def ask(address: str) -> httpx.Client:
        return httpx.Client(base_url=f"{address}/api/v1", timeout=30, trust_env=False)

    with command(*options) as running, ask(running.address) as client:
        job = client.post("/index", json={}).json()
        with client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            for _, data in events(answer):
                if data and data["progress"]["added"] >= 8:
                    break
            began = time.monotonic()
            code, said = running.stop(signal.SIGTERM)
    assert (code, said) == (0, "")
    assert time.monotonic() - began < 15
    committed = data["progress"]["added"]
    with Index.open(database, create=False) as index:
        kept = len(index)
    assert committed <= kept < 4 * 86
    with command(*options) as running, ask(running.address) as client:
        job = client.post("/index", json={}).json()
        with client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            *_, (name, data) = events(answer)
    assert name == "done"
    assert data["report"]["unchanged"] == kept
    assert (data["report"]["total"], data["report"]["skipped"]) == (4 * 86, [])


def test_a_database_that_goes_away_is_told_and_back_without_a_restart(
    own_server: MilvusServer, photos: Path
) -> None:
    collection = f"images_{uuid.uuid4().hex}"
    with Index.open(own_server.uri, token=TOKEN, collection=collection) as index:
        index.add(photos / "birds")
    options: list[str | Path] = ["--db", own_server.uri, "--collection", collection]
    options += ["--root", photos]
    with (
        command(*options, LOOKALIKE_TOKEN=TOKEN) as running,
        httpx.Client(base_url=f"{running.address}/api/v1", timeout=60, trust_env=False) as client,
    ):
        image = client.get("/images", params={"limit": 1}).json()["images"][0]["id"]

        def search() -> httpx.Response:
            return client.post("/search", json={"terms": [{"id": image}]})

        assert search().status_code == 200
        own_server.kill()
        try:
            began = time.monotonic()
            answer = search()
            assert time.monotonic() - began < 25
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["code"] == "database_unavailable"
            assert int(answer.headers["Retry-After"]) > 0
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
        finally:
            own_server.start()
        deadline = time.monotonic() + 90
        while (answer := search()).status_code != 200:
            assert answer.status_code == 503, answer.text
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert len(answer.json()["hits"]) == 12
        job = client.post("/index", json={"folders": ["photos/birds"]}).json()
        with client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            *_, (name, data) = events(answer)
        assert (name, data["report"]["unchanged"]) == ("done", 12)
