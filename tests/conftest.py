"""What several tests share: the packaged sample pictures, and databases made from them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lookalike
from lookalike.store.schema import CollectionModel
from tests.forked import COMMAND, ForkServer, Lookalike, heed_permissions
from tests.milvus_server import AVAILABLE, TOKEN, MilvusServer, ServerAddress, shared_server

if TYPE_CHECKING:
    from lookalike.store.milvus import MilvusStore

# What gRPC does in the child of a fork kills 2 in 100 of the commands started here, once a test has
# opened an index in this process. Read when gRPC is imported, which the package does late.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# A shell that runs tests in the background has them ignore Ctrl-C, and thus all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

PACKAGE = Path(lookalike.__file__).parent
MEASURED = "measured"


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Gives what a test has counted or measured a place below the results of all tests."""
    return lambda text: record_property(MEASURED, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests have said."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == MEASURED and report.when == "call":
                    terminalreporter.write_line(str(text))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The packaged sample pictures: folders of look-alikes. Not to be changed."""
    return PACKAGE / "samples"


@pytest.fixture
def photos(samples: Path, tmp_path: Path) -> Path:
    """A folder of its own with the pictures of three groups, 30 in all, to change at will."""
    folder = tmp_path / "photos"
    for group in ("birds", "flowers", "trees"):
        shutil.copytree(samples / group, folder / group)
    return folder


@pytest.fixture(scope="module")
def models_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Folders of their own for exported models, also for the commands that the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable)))
        yield


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a file of random weights, the same each time, of a timm model with its classifier."""
    folder = tmp_path_factory.mktemp("weights")

    def saved(name: str) -> Path:
        # Imported here: few tests need it, and it takes seconds.
        import timm  # noqa: PLC0415
        import torch  # noqa: PLC0415
        from safetensors.torch import save_file  # noqa: PLC0415

        path = folder / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(0)
            save_file(timm.create_model(name, pretrained=False).state_dict(), path)
        return path

    return saved


@dataclass(frozen=True)
class Outcome:
    """What a finished command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def pytest_unconfigure() -> None:
    """End what was started for commands."""
    ForkServer.end()


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Outcome]:
    """Runs ``lookalike`` in a process of its own, with its database in the test's folder.

    It runs without root's right to pass over the permissions of files.
    """

    def run(*args: str | Path, stdin: str = "", **environment: str) -> Outcome:
        with Lookalike(
            [*COMMAND, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LOOKALIKE_DB": str(tmp_path / "photos.db"), **environment},
            preexec_fn=heed_permissions,
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout=120)
            except BaseException:
                process.kill()
                raise
        return Outcome(process.returncode, out, err)

    return run


NO_SERVER = "the package milvus has a server for Linux on x86-64 only"
NO_NAMESPACES = "this machine does not allow network namespaces"


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddress]:
    """The real server, which all tests share: to be left as it is."""
    if not AVAILABLE:
        pytest.skip(NO_SERVER)
    folder = tmp_path_factory.getbasetemp()
    shared = shared_server(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
    if shared is None:
        pytest.skip(NO_NAMESPACES)
    server, use = shared
    yield server
    os.close(use)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server for tests that stop it, and start it again."""
    if not AVAILABLE:
        pytest.skip(NO_SERVER)
    folder = tmp_path_factory.mktemp("milvus")
    server = MilvusServer(folder)
    if not server.start():
        pytest.skip(NO_NAMESPACES)
    yield server
    server.kill()
    shutil.rmtree(folder)  # half a gigabyte


@dataclass(frozen=True)
class Place:
    """Where an index may lie: the arguments that name it."""

    database: str
    collection: str
    token: str | None

    def open(self, create: CollectionModel | None) -> MilvusStore:
        """A store there."""
        # Imported here: it imports gRPC.
        from lookalike.store.milvus import MilvusStore  # noqa: PLC0415

        return MilvusStore(self.database, self.collection, create=create, token=self.token)

    def remove(self) -> None:
        """Drop the collection from its server, which each one costs some time all the time."""
        if self.token:
            # Imported here: as above.
            from pymilvus import MilvusClient  # noqa: PLC0415

            with contextlib.closing(
                MilvusClient(self.database, token=self.token, dedicated=True)
            ) as client:
                client.drop_collection(self.collection)


KINDS = ["lite", "server"]


def new_place(kind: str, folder: Path, request: pytest.FixtureRequest) -> Place:
    """A place without an index, in Milvus Lite or on a server."""
    if kind == "lite":
        return Place((folder / "test.db").as_posix(), "images", None)
    server: ServerAddress = request.getfixturevalue("milvus_server")
    return Place(server.uri, f"images_{uuid.uuid4().hex}", TOKEN)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A new place, in Milvus Lite and on a server."""
    new = new_place(request.param, tmp_path, request)
    yield new
    new.remove()
