"""The examples that `--help` shows are commands that work."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike.cli.app import app
from tests.conftest import Outcome

COMMANDS = [command.name for command in app.registered_commands if command.name]


def example_of(command: str) -> list[str]:
    """The words of a command's example, after the program's name."""
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    (example,) = re.findall(r"Example: lookalike (.*\S)", shown)
    return shlex.split(example)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_itself(command: str) -> None:
    assert example_of(command)[0] == command


def test_the_examples_about_a_folder_of_pictures_work(
    cli: Callable[..., Outcome],
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for group in ("birds", "flowers"):
        shutil.copytree(samples / group, tmp_path / "Pictures" / group)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> Outcome:
        words = [re.sub("^~", str(tmp_path), word) for word in example_of(command)]
        outcome = cli(*words)
        assert outcome.code == 0, outcome.err
        return outcome

    pngs = len(list((tmp_path / "Pictures").rglob("*.png")))
    pictures = len(list((tmp_path / "Pictures").rglob("*.*"))) - pngs
    assert pngs
    assert run("index").out.startswith(f"{pictures} added")
    assert run("info").json["pictures"] == pictures
    assert "R@1" in run("evaluate").out
    assert "<html" in (tmp_path / "worst.html").read_text(encoding="utf-8")
    (tmp_path / "Pictures" / "birds" / "crow.jpg").unlink()
    assert run("prune").out == f"remove\t{tmp_path}/Pictures/birds/crow.jpg\n"
    birds = len(list((samples / "birds").iterdir())) - len(list((samples / "birds").glob("*.png")))
    assert run("remove").out.startswith(f"{birds} removed")
    assert run("relocate").out.startswith(f"{pictures - birds} relocated")


def test_the_examples_that_need_no_index_work(cli: Callable[..., Outcome]) -> None:
    assert cli(*example_of("models")).json["models"]
    assert "sample pictures indexed" in cli(*example_of("demo")).out
    assert "processor" in cli(*example_of("doctor")).out
