"""``lookalike doctor`` says what is wrong, in one line each, and changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from PIL import features
from pymilvus import MilvusClient

from lookalike import Index
from lookalike.doctor import database, finding, machine, packages
from lookalike.doctor.database import Subject
from lookalike.doctor.finding import Finding, ok, tried
from lookalike.embed import catalog, exports
from lookalike.embed.description import ModelDescription
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.store import server
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Outcome
from tests.milvus_server import TOKEN, ServerAddress

Cli = Callable[..., Outcome]


def checks(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The last finding of each name; where any is broken, the command has failed."""
    found = outcome.json["checks"]
    wrong = [each for each in found if each["state"] == "broken"]
    assert (outcome.json["broken"], outcome.code) == (len(wrong), int(bool(wrong)))
    assert outcome.err == ""
    assert all({*each} == {"name", "state", "message", "fix"} for each in found)
    assert all("\n" not in each["message"] + each["fix"] for each in found)
    assert all(each["fix"] for each in found if each["state"] == "warning")
    return {each["name"]: each for each in found}


def looked_at(
    place: str | Path, collection: str = "images", token: str | None = None
) -> dict[str, Finding]:
    """The last finding of each name about a database."""
    subject = Subject(database=str(place), collection=collection, token=token)
    found = list(tried([("database", lambda: database.database(subject))]))
    said = " ".join(each.message + each.fix for each in found)
    assert "\n" not in said
    assert "secret" not in said
    return {each.name: each for each in found}


def test_all_is_well(cli: Cli, photos: Path, tmp_path: Path) -> None:
    cli("index", photos / "trees")
    found = checks(cli("doctor", "--format", "json", LOOKALIKE_THREADS="2"))
    assert {each["state"] for each in found.values()} <= {"ok", "warning"}
    assert found["index"]["message"].startswith("images: 6 pictures, made with the model eff")
    assert found["database"]["message"].startswith(f"{tmp_path}/photos.db can be written; ")
    assert found["settings"]["message"].endswith("LOOKALIKE_THREADS=2")
    assert "makes 384 numbers of a picture" in found["model"]["message"]
    for format_name in ("JPEG", "AVIF", "JPEG 2000", "HEIC"):
        assert format_name in found["decoders"]["message"]
    text = cli("doctor")
    assert text.code == 0
    assert text.out.count("\n") == len(found)
    assert all(line.startswith(("ok ", "warning ")) for line in text.out.splitlines())


def test_nothing_is_there_yet_and_nothing_is_made(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("doctor", "--format", "json", LOOKALIKE_MAX_PIXEL="5")
    found = checks(outcome)
    assert found["index"]["state"] == "warning"
    assert "lookalike index FOLDER" in found["index"]["fix"]
    assert found["model"]["state"] == "ok"
    (misspelt,) = [each for each in outcome.json["checks"] if "MAX_PIXEL," in each["message"]]
    assert misspelt["fix"] == "It may be meant for LOOKALIKE_MAX_PIXELS."
    assert not (tmp_path / "photos.db").exists()
    impossible = checks(cli("doctor", "--format", "json", LOOKALIKE_THREADS="-1"))
    assert impossible["settings"]["state"] == "broken"
    assert "LOOKALIKE_THREADS is -1" in impossible["settings"]["message"]


def test_a_database_that_is_damaged_or_not_to_be_had(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with Index.open(tmp_path / "torn.db") as index:
        index.add(photos / "trees")
    for file in (tmp_path / "torn.db").rglob("manifest.json*"):
        file.write_bytes(file.read_bytes()[:20])
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for place in ("old.db", "torn.db", "photos.txt"):
        assert looked_at(tmp_path / place)["database"].state == "broken", place
    assert looked_at("ftp://x")["database"].state == "broken"
    outcome = cli("doctor", "--db", locked / "photos.db", "-q")
    assert outcome.code == 1
    assert outcome.out.splitlines()[0].startswith("broken   database ")
    assert "cannot be written" in outcome.out


def test_who_has_a_database_open_is_named(cli: Cli, photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "trees")
        found = checks(cli("doctor", "--format", "json"))
    assert found["index"]["state"] == "warning"
    assert f"is open in process {os.getpid()}, " in found["index"]["message"]
    assert found["model"]["state"] == "ok"


def test_a_model_that_is_not_on_this_machine(cli: Cli, tmp_path: Path) -> None:
    other = CollectionModel(model="no-such-model", fingerprint="f" * 32, dim=8)
    MilvusStore((tmp_path / "photos.db").as_posix(), "images", create=other).close()
    found = checks(cli("doctor", "--format", "json"))
    assert found["index"]["state"] == "ok"
    assert "made with the model no-such-model (ffffffff)" in found["index"]["message"]
    # It is not fetched for this, so nobody knows yet whether it can be.
    assert found["model"]["state"] == "warning"
    assert "no-such-model (ffffffff), which the index was made with" in found["model"]["message"]


def test_only_a_model_that_is_on_this_machine_as_a_whole_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real export, of the packaged model's graph under another name."""
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    packaged = catalog._PACKAGED[DEFAULT_MODEL]
    description = dataclasses.replace(
        ModelDescription.read(packaged / exports.DESCRIPTION), name="other"
    )
    assert catalog.is_ready(DEFAULT_MODEL, description.fingerprint)
    assert not catalog.is_ready("other", description.fingerprint)

    def save(folder: Path) -> None:
        for name in ("model.xml", "model.bin"):
            shutil.copy(packaged / name, folder / name)

    folder = exports.write(exports.exports_folder(), description, save)
    own = CollectionModel(model="other", fingerprint=folder.name, dim=description.dim)
    subject = Subject(database=None, collection="images", made_with=own)
    (found,) = database.model(subject)
    assert (found.state, found.message.startswith("other (")) == ("ok", True)
    (folder / "model.bin").write_bytes(b"torn")
    (found,) = database.model(subject)
    assert (found.state, "is not on this machine as a whole" in found.message) == ("warning", True)


def test_no_password_of_an_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("http://someone:secret@host:1", "http://someone:se/cr@et@host:1/db"):
        monkeypatch.setenv("LOOKALIKE_DB", address)
        *_, shown = machine.settings({"LOOKALIKE_DB"})
        assert shown.state == "ok"
        assert "LOOKALIKE_DB=http://…@host:1" in shown.message
        assert not re.search("someone|se.?cr|et@", shown.message)


def test_a_server(cli: Cli, milvus_server: ServerAddress, photos: Path) -> None:
    uri, name = milvus_server.uri, f"images_{uuid.uuid4().hex}"
    empty = looked_at(uri, name, TOKEN)
    assert "answers; it is Milvus 2.3.5" in empty["database"].message
    assert empty["index"].state == "warning"
    with Index.open(uri, token=TOKEN, collection=name) as index:
        index.add(photos / "trees")
    words = ("doctor", "--format", "json", "--db", uri, "--collection", name)
    outcome = cli(*words, LOOKALIKE_TOKEN=TOKEN)
    assert checks(outcome)["index"]["message"] == "FLAT index, in memory"
    assert TOKEN not in outcome.out
    before = looked_at(uri, name, TOKEN)["index"]
    other = CollectionModel(model="no-such-model", fingerprint="f" * 32, dim=8)
    MilvusStore(uri, f"{name}__00000000", create=other, token=TOKEN).close()
    with contextlib.closing(MilvusStore(uri, name, create=None, token=TOKEN)) as store:
        store.versions.use(f"{name}__00000000")
        subject = Subject(database=uri, collection=name, token=TOKEN)
        said = [each.message for each in database.database(subject)]
        assert f"{name}: 0 pictures, made with the model no-such-model (ffffffff), COSINE" in said
        assert subject.made_with == other
        store.versions.use(name)
    assert looked_at(uri, name, TOKEN)["index"] == before
    refused = looked_at(uri, name, "root:secret")["database"]
    assert refused.state == "broken"
    assert "refuses: the user, password or token is wrong" in refused.message

    client = MilvusClient(uri, token=TOKEN, dedicated=True)
    client.release_collection(name)
    client.create_collection(f"other_{name}", dimension=4)
    client.close()
    assert "not in memory" in looked_at(uri, name, TOKEN)["index"].message
    foreign = looked_at(uri, f"other_{name}", TOKEN)["index"]
    assert (foreign.state, "not made by lookalike" in foreign.message) == ("broken", True)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_is_down_or_says_nothing_is_not_waited_for(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = looked_at("http://127.0.0.1:1")["database"]
    assert (down.state, "Connection refused" in down.message) == ("broken", True)
    monkeypatch.setattr(server, "CONNECT_S", 1.0)
    began = time.monotonic()
    hangs = looked_at(silent)["database"]
    assert time.monotonic() - began < 10
    assert (hangs.state, "does not answer as Milvus does" in hangs.message) == ("broken", True)


def test_a_check_that_hangs_or_breaks_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finding, "LONGEST_S", 0.2)

    def hangs() -> list[Finding]:
        time.sleep(1)
        return []

    def breaks() -> list[Finding]:
        raise RuntimeError("no\nidea")

    def does_not_load() -> list[Finding]:
        raise ImportError("libgomp.so.1 is missing")

    def works() -> list[Finding]:
        return [ok("fourth", "It works.")]

    first, second, third, fourth = tried(
        [("first", hangs), ("second", breaks), ("third", does_not_load), ("fourth", works)]
    )
    assert (first.state, first.message) == ("broken", "This was not known after 0.2 s.")
    assert (second.state, second.message) == ("broken", "RuntimeError: no.")
    assert "libgomp.so.1 is missing" in third.message
    assert fourth.state == "ok"


def test_packages_that_are_missing_or_too_old_and_formats_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metadata.version
    others: dict[str, str | None] = {"pymilvus": "2.4.0", "numpy": None, "rawpy": None}

    def version(name: str) -> str:
        if name in others and others[name] is None:
            raise metadata.PackageNotFoundError(name)
        return others.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    wrong = {each.fix: each.message for each in packages.requirements() if each.state == "broken"}
    assert wrong == {
        "pip install 'numpy>=1.26'": "numpy is not installed.",
        "pip install 'pymilvus>=3.0'": "pymilvus 2.4.0 is installed, but >=3.0 is needed.",
    }
    (extras,) = [each for each in packages.extras() if each.name == "extras"]
    assert "raw" in extras.message.partition("not installed: ")[2]
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    avif, rest = machine.decoders()
    assert (avif.state, "AVIF cannot be read here" in avif.message) == ("warning", True)
    assert "AVIF" not in rest.message


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((10**6, "broken"), (10**8, "warning"), (10**10, "ok")):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        (found,) = machine.room("database", tmp_path / "new.db")
        assert found.state == state
