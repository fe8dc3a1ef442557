"""Indexing on a Ray cluster gives the rows of a local run, whatever happens to its machines."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike import (
    ClusterLost,
    ClusterUnreachable,
    Index,
    IndexNotFound,
    InvalidSetting,
    Progress,
    WorkerFailed,
)
from lookalike.cluster import RayWorkers, workers
from lookalike.cluster.connection import reason_why
from lookalike.cluster.flow import Crew, crew_for
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.ingest.pipeline import Committed
from lookalike.ingest.work import Chunk, Job
from lookalike.records import ImageFile, ImageRecord, Stamp
from lookalike.settings import Settings
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.cluster.conftest import Target, nodes, outcome_of
from tests.milvus_server import TOKEN

# Ray warns of itself.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


@pytest.fixture
def many(samples: Path, tmp_path: Path) -> Path:
    """Pictures under two names each, one that is none, and no other files."""
    folder = tmp_path / "photos"
    for number in range(2):
        for group in ("birds", "flowers", "trees"):
            shutil.copytree(samples / group, folder / str(number) / group)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def rows(index: Index) -> dict[str, ImageRecord]:
    return {record.path: record for page in index._store.scan() for record in page}


def assert_same_rows(ours: Index, theirs: Index) -> None:
    """Same paths, contents and fields; vectors as batches of other sizes give them."""
    found, expected = rows(ours), rows(theirs)
    assert found.keys() == expected.keys()
    for path, row in found.items():
        other = expected[path]
        for name in row.__dataclass_fields__.keys() - {"vector"}:
            assert getattr(row, name) == getattr(other, name), (path, name)
        assert np.dot(row.vector, other.vector) > 0.999


def test_a_run_of_whose_three_nodes_one_is_killed_gives_the_rows_of_a_local_run(
    many: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_FILES", 6)
    fields = {path: {"n": number} for number, path in enumerate(sorted(many.rglob("*.jpg")))}
    killed: list[bool] = []
    with nodes(3) as cluster, target.open() as index, Index.open(tmp_path / "local.db") as local:

        def kill_one(progress: Progress) -> None:
            if progress.added > 20 and not killed:
                killed.append(True)
                # A driver is connected to the head's node, where there is one.
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

        crew = RayWorkers(cluster.address, token=TOKEN)
        ours = index.add(many, metadata=fields, workers=crew, on_progress=kill_one)
        theirs = local.add(many, metadata=fields)
        assert killed
        assert_same_rows(index, local)
        # What the lost node had committed, but not told, is counted as unchanged.
        assert ours.total == theirs.total == ours.added + ours.unchanged
        assert ours.skipped == theirs.skipped


def pids_of_workers() -> list[int]:
    """Ray names the processes of actors after what they do."""
    return [
        pid for pid in descendants(os.getpid()) if said_of(pid, "comm").startswith("ray::MapWorker")
    ]


def said_of(pid: int, file: str) -> str:
    """What Linux knows of a process; nothing where it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""


def test_a_worker_that_is_ended_for_want_of_memory_is_started_again(
    two: str, many: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_FILES", 6)
    killed: list[int] = []
    with target.open() as index, Index.open(tmp_path / "local.db") as local:

        def kill_one(progress: Progress) -> None:
            if progress.added > 20 and not killed:
                killed.append(pids_of_workers()[0])
                os.kill(killed[0], signal.SIGKILL)  # as Linux does it

        ours = index.add(many, workers=RayWorkers(two, token=TOKEN), on_progress=kill_one)
        theirs = local.add(many)
        assert killed
        assert_same_rows(index, local)
        assert ours.total == theirs.total == ours.added + ours.unchanged


@pytest.fixture(scope="module")
def two() -> Any:
    """The address of a cluster of two nodes that tests leave as it is."""
    with nodes(2) as cluster:
        yield cluster.address


def test_the_command_says_what_a_local_run_says_and_goes_on_after_ctrl_c(
    two: str, many: Path, target: Target, tmp_path: Path
) -> None:
    words: list[str | Path] = [
        many,
        "--ray",
        two,
        "--format",
        "json",
        "--report",
        tmp_path / "skipped.json",
    ]
    first = target.start(*words)
    target.wait_for_rows(1)
    first.send_signal(signal.SIGINT)
    stopped = outcome_of(first)
    assert (stopped.code, stopped.out) == (130, "")
    assert stopped.err.splitlines()[-1].startswith("lookalike: Stopped. What the workers")
    done = outcome_of(target.start(*words, "--strict"))
    assert done.code == 1  # for something was skipped
    assert done.json["added"] + done.json["unchanged"] == done.json["total"] == 60
    broken = str(many / "broken.jpg")
    assert [skipped["path"] for skipped in done.json["skipped"]] == [broken]
    assert broken in (tmp_path / "skipped.json").read_text(encoding="utf-8")
    assert not [line for line in done.err.splitlines() if "pictures/s" not in line]


def test_moved_and_deleted_pictures_and_a_file_that_workers_do_not_see(
    two: str, photos: Path, target: Target, tmp_path: Path
) -> None:
    crew = RayWorkers(two, token=TOKEN)
    with target.open() as index, Index.open(tmp_path / "local.db") as local:
        for each in (index, local):
            each.add(photos, metadata=lambda path: {"name": Path(path).name})
        (photos / "birds").rename(photos / "animals")
        next((photos / "trees").iterdir()).unlink()
        again, expected = index.add(photos, workers=crew), local.add(photos)
        assert (again.moved, again.removed) == (expected.moved, expected.removed) == (12, 1)
        assert again.unchanged == expected.unchanged
        assert_same_rows(index, local)

        before = len(index)
        file = next((photos / "flowers").glob("*.jpg"))
        file.rename(photos.parent / "out of sight.jpg")
        told: list[Committed] = []
        job = Job(
            database=index.database,
            collection=target.collection,
            settings=Settings(),
            checksum=False,
            may_be_known=True,
        )
        # As if this machine, which scans, saw it, changed.
        crew.work([Chunk([ImageFile(file.as_posix(), Stamp(1, 1))])], job, told.append)
        (skipped,) = [item for committed in told for item in committed.skipped]
        assert (skipped.path, skipped.reason) == (str(file), "the file does not exist")
        assert sum(committed.removed for committed in told) == 0
        assert len(index) == before


def test_workers_that_are_too_small_or_have_another_model_write_nothing(
    two: str, many: Path, target: Target
) -> None:
    own = CollectionModel(model=DEFAULT_MODEL, fingerprint="f" * 32, dim=384)
    store = MilvusStore(target.uri, target.collection, create=own, token=TOKEN)
    job = Job(
        database=store.database,
        collection=target.collection,
        settings=Settings(),
        checksum=False,
        may_be_known=False,
    )
    file = next(many.rglob("*.jpg"))
    with pytest.raises(WorkerFailed, match=r"On the worker at .*: The index was made") as failure:
        RayWorkers(two, token=TOKEN).work(
            [Chunk([ImageFile(file.as_posix(), Stamp(1, 1))])], job, lambda committed: None
        )
    assert failure.value.kind == "ModelUnusable"
    assert store.count() == 0
    with pytest.raises(InvalidSetting, match="at most 1, what a machine of the Ray cluster has"):
        RayWorkers(two, token=TOKEN).work(
            [], replace(job, settings=Settings(threads=64)), lambda committed: None
        )
    store.close()


def test_a_cluster_that_is_not_there_is_told_in_one_line(
    many: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    client = f"ray://{address}"
    refused = "Ray Data, which does the work, cannot be used over ray://; run the command on a"
    monkeypatch.setenv("RAY_ADDRESS", client)  # what "auto" is then
    for named, place, reason in (
        (address, address, "nothing listens there"),
        ("nonsense", "nonsense", "nothing listens there"),
        (client, client, refused),
        ("auto", client, refused),
    ):
        outcome = outcome_of(target.start(many, "--ray", named))
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
        assert f"No Ray cluster can be used at {place} ({reason}" in outcome.err
    # No empty collection is left behind.
    with pytest.raises(IndexNotFound):
        Index.open(target.uri, token=TOKEN, collection=target.collection, create=False)


def test_a_head_that_is_killed_ends_the_run_in_one_line_and_loses_nothing(
    many: Path, target: Target
) -> None:
    # Workers go on without a head for as long as they have a chunk.
    for number in range(24):
        shutil.copytree(many, many.parent / "more" / str(number), copy_function=os.link)
    with nodes(2) as cluster:
        running = target.start(many.parent, "--ray", cluster.address)
        target.wait_for_rows(1)
        cluster.head_node.kill_gcs_server()
        outcome = outcome_of(running)
    lines = [line for line in outcome.err.splitlines() if "pictures/s" not in line]
    assert (outcome.code, outcome.out, len(lines)) == (1, "", 1)
    assert "has failed" in lines[0]
    assert "run the same command again" in lines[0]
    finished = outcome_of(target.start(many.parent, "--format", "json"))
    assert finished.json["unchanged"] > 0
    assert finished.json["total"] == 25 * 60


def test_workers_for_whom_there_is_never_memory_end_the_run_in_one_line(
    many: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.01")
        with nodes(2) as cluster:
            outcome = outcome_of(target.start(many, "--ray", cluster.address))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "low on memory" in outcome.err
    assert "run the same command again" in outcome.err
    assert outcome_of(target.start(many, "--format", "json")).json["total"] == 60


def test_a_worker_that_never_finishes_anything_ends_the_run(
    two: str, many: Path, target: Target
) -> None:
    ended = threading.Event()

    def end_workers() -> None:
        while not ended.wait(0.2):
            for pid in pids_of_workers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    ending = threading.Thread(target=end_workers)
    ending.start()
    try:
        with (
            target.open() as index,
            pytest.raises(ClusterLost, match="low on memory, or crash"),
        ):
            index.add(many, workers=RayWorkers(two, token=TOKEN))
    finally:
        ended.set()
        ending.join()
    with target.open() as index:
        assert index.add(many, workers=RayWorkers(two, token=TOKEN)).total == 60


def test_a_run_whose_chunks_are_not_read_any_more_ends_at_once(
    two: str, many: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_FILES", 3)
    ended: list[int] = []

    def end_reader(progress: Progress) -> None:
        if progress.added and not ended:
            ended.extend(pid for pid in descendants(os.getpid()) if "Read_" in said_of(pid, "comm"))
            for pid in ended:
                os.kill(pid, signal.SIGKILL)

    with target.open() as index:
        with pytest.raises(ClusterLost, match="run the same command again"):
            index.add(many, workers=RayWorkers(two, token=TOKEN), on_progress=end_reader)
        assert len(ended) == 1
        assert index.add(many, workers=RayWorkers(two, token=TOKEN)).total == 60


@pytest.mark.parametrize(
    ("machines", "settings", "crew"),
    [
        ([(1, 0), (64, 0)], Settings(), Crew(16, 4, 0)),
        ([(1, 0), (1, 0), (2, 0)], Settings(), Crew(4, 1, 0)),
        ([(3, 0), (3, 0)], Settings(), Crew(2, 3, 0)),
        ([(0, 0), (8, 0)], Settings(threads=3), Crew(2, 3, 0)),
        ([(2, 0), (16, 8)], Settings(device="cuda"), Crew(8, 2, 1)),
        ([(16, 8), (4, 4)], Settings(device="cuda"), Crew(12, 1, 1)),
        ([(16, 1), (16, 1)], Settings(device="cuda", threads=16), Crew(2, 16, 1)),
    ],
)
def test_as_many_workers_as_there_is_room_for(
    machines: list[tuple[int, int]], settings: Settings, crew: Crew
) -> None:
    assert crew_for(machines, settings) == crew


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "\x1b[36mray::MapWorker()\x1b[39m (pid=1)\n  File x\nModuleNotFoundError: No module "
            "named 'lookalike'",
            "ModuleNotFoundError: No module named 'lookalike'",
        ),
        (
            "Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.10.1",
            "Version mismatch: The cluster was started with: Ray: 2.9.0 Python: 3.10.1",
        ),
        ("The actor died unexpectedly.\n\tclass_name: A", "The actor died unexpectedly"),
    ],
)
def test_of_what_ray_says_the_reason_is_told(said: str, reason: str) -> None:
    assert reason_why(RuntimeError(said)) == reason


def test_a_driver_that_ray_ends_ends_the_run_and_nothing_else(
    two: str, many: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_FILES", 6)

    def end_driver(progress: Progress) -> None:
        if progress.added > 20:
            for pid in drivers():
                os.kill(pid, signal.SIGKILL)

    with target.open() as index:
        with pytest.raises(ClusterLost, match="connected to it has ended with -9"):
            index.add(many, workers=RayWorkers(two, token=TOKEN), on_progress=end_driver)
        assert not drivers()
        assert index.add(many, workers=RayWorkers(two, token=TOKEN)).total == 60


@pytest.mark.parametrize("where", ["two", "local"])
def test_a_command_that_is_killed_leaves_no_process_behind(
    two: str, where: str, many: Path, target: Target
) -> None:
    running = target.start(many, "--ray", two if where == "two" else "local")
    target.wait_for_rows(1)
    started = descendants(running.pid)
    assert len(started) > (0 if where == "two" else 3)
    running.kill()
    running.communicate()
    until = time.monotonic() + 60  # some of Ray's own look for their parents now and then
    while any(is_running(pid) for pid in started) and time.monotonic() < until:
        time.sleep(0.2)
    assert not [pid for pid in started if is_running(pid)]


def test_no_program_is_run_from_the_folder_of_the_pictures(
    two: str, many: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    (many / "msgspec.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(many)
    with target.open() as index:
        assert index.add(many, workers=RayWorkers(two, token=TOKEN)).total == 60
        with pytest.raises(ClusterUnreachable, match="cannot be used over ray://"):
            index.add(many, workers=RayWorkers("ray://127.0.0.1:1", token=TOKEN))


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found


def drivers() -> list[int]:
    """The processes that this one has started to be connected to a cluster."""
    return [
        pid
        for pid in descendants(os.getpid())
        if "lookalike.cluster.driver" in said_of(pid, "cmdline")
    ]
