"""The Dockerfile and compose.yaml, as far as they can be checked without Docker.

What they start is started here for real, in a process instead of a container.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import lookalike
from lookalike import Settings
from lookalike.settings import environment_variable
from tests.serve_process import command

ROOT = Path(__file__).parents[1]
TOKEN = "a-token-that-is-long-enough"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OTHER_VARIABLES = {"LOOKALIKE_DB", "LOOKALIKE_TOKEN", "LOOKALIKE_SERVE_TOKEN"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each in one line."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def instruction(name: str) -> str:
    return [rest for found, rest in instructions() if found == name][-1]


def test_images_are_pinned_and_from_no_host() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    images = [*bases, *(service["image"] for service in SERVICES.values())]
    assert len(images) == 6
    for image in images:
        name, _, version = image.partition(":")
        assert re.search(r"\d+\.\d+\.\d+|\d{4}-\d\d-\d\d", version), image
        assert "." not in name
    assert SERVICES["lookalike"]["image"] == f"lookalike:{lookalike.__version__}"


def test_the_image_is_built_from_what_is_there_and_is_sent_to_docker() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent, source
    for secret in (".git", ".venv", "photos.db", ".env", "shared"):
        assert not any(fnmatch.fnmatch(secret, rule) for rule in sent)


def test_what_is_installed_is_what_the_project_names() -> None:
    (install,) = [rest for name, rest in instructions() if "pip install" in rest]
    *_, wanted = shlex.split(install)
    extras = re.fullmatch(r"/build\[([\w,]+)\]", wanted)
    assert extras
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in project for extra in extras[1].split(","))
    assert "-c /build/constraints.txt" in install


def test_nothing_runs_as_root_or_holds_a_secret() -> None:
    assert instruction("USER") == "lookalike"
    assert "useradd --uid 10001" in DOCKERFILE
    assert "TOKEN=" not in DOCKERFILE
    ours = SERVICES["lookalike"]
    assert ours["environment"]["LOOKALIKE_SERVE_TOKEN"].startswith("${LOOKALIKE_SERVE_TOKEN:?")
    assert ours["cap_drop"] == ["ALL"]
    assert ours["read_only"] is True
    assert ours["security_opt"] == ["no-new-privileges:true"]


def test_pictures_cannot_be_written_and_only_lookalike_is_reached() -> None:
    pictures, data = SERVICES["lookalike"]["volumes"]
    assert pictures.endswith(":/pictures:ro")
    assert data == f"lookalike:{instruction('VOLUME')}"
    assert SERVICES["lookalike"]["ports"] == [f"127.0.0.1:8077:{instruction('EXPOSE')}"]
    for name, service in SERVICES.items():
        assert "healthcheck" in service, name
        if name != "lookalike":
            assert "ports" not in service, name
            assert service["networks"] == ["inside"], name
    assert yaml.safe_load(COMPOSE)["networks"]["inside"] == {"internal": True}


def test_volumes_networks_and_services_that_are_named_are_there() -> None:
    compose = yaml.safe_load(COMPOSE)
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(compose["networks"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for volume in service["volumes"]:
            if not volume.startswith("${"):
                assert volume.partition(":")[0] in compose["volumes"]
    (database,) = [word for word in SERVICES["lookalike"]["command"] if "://" in word]
    assert httpx.URL(database).host in SERVICES


def test_variables_that_are_named_are_read() -> None:
    settings = {environment_variable(field.name) for field in dataclasses.fields(Settings)}
    named = set(re.findall(r"LOOKALIKE_[A-Z_]+", DOCKERFILE + COMPOSE))
    assert named
    assert named <= settings | OTHER_VARIABLES


def test_both_say_that_they_have_not_been_run() -> None:
    for text in (DOCKERFILE, COMPOSE):
        assert "nobody has" in text.partition("\n\n")[0]


@pytest.mark.parametrize("source", ["Dockerfile", "compose.yaml"])
def test_what_the_container_runs_answers_and_is_found_healthy(source: str, tmp_path: Path) -> None:
    words: list[str] = json.loads(instruction("CMD"))
    health: list[str] = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    if source == "compose.yaml":
        words = SERVICES["lookalike"]["command"]
        health = SERVICES["lookalike"]["healthcheck"]["test"][1:]
    assert words[:3] == ["serve", "--host", "0.0.0.0"]
    here = {"/pictures": str(tmp_path), "http://milvus:19530": str(tmp_path / "test.db")}
    options = [here.get(word, word) for word in words[3:]]
    with command(
        *options, LOOKALIKE_SERVE_TOKEN=TOKEN, LOOKALIKE_DB=str(tmp_path / "test.db")
    ) as server:
        asked = health[-1].replace("http://127.0.0.1:8077", server.address)
        assert asked != health[-1]
        assert health[:2] == ["python", "-c"]
        assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
        assert server.stop()[0] == 0
    gone = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False)
    assert gone.returncode != 0
