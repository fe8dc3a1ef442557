"""What the README shows is what happens."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from lookalike import Settings
from lookalike.settings import environment_variable
from tests.sample_server import Site, serving, zipped

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, list[str]]]:
    """The commands of the README that a reader may type, each with the lines shown below it."""
    shown: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            shown.append((line[2:], []))
        elif shown:
            shown[-1][1].append(line)
    return shown


def shape(text: str) -> str:
    """A text without its numbers, the widths of its columns and the place of the database."""
    return re.sub(r"[\d.,]+", "N", re.sub(r"\S*/images\.db", "DB", re.sub(r"\s+", " ", text)))


@pytest.fixture
def home(samples: Path, tmp_path: Path) -> Path:
    """A home whose Pictures are the sample pictures."""
    shutil.copytree(samples, tmp_path / "Pictures")
    return tmp_path


def test_the_first_command_and_its_output_stand_within_25_lines() -> None:
    assert README.count("\n") <= 120
    top = "\n".join(README.splitlines()[:25])
    assert "$ lookalike index" in top
    assert "added, " in top


def test_the_commands_print_what_is_shown(home: Path) -> None:
    variables = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    run = [(command, shown) for command, shown in commands() if command.startswith("lookalike")]
    assert len(run) >= 3
    for command, shown in run:
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, env=variables, cwd=home,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
        expected = [shape(line) for line in shown if line != "…"]
        printed = [shape(line) for line in done.stdout.replace(str(home), "~").splitlines()]
        assert printed[: len(expected)] == expected, command


def test_the_program_runs(home: Path) -> None:
    (program,) = blocks("python")
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=home, env={**os.environ, "HOME": str(home)}
    )


def test_every_setting_is_described() -> None:
    for field in dataclasses.fields(Settings):
        unit, default = field.metadata["unit"], field.default
        row = f"| `{environment_variable(field.name)}` | {default} | {unit} |"
        assert row in SETTINGS, row


def test_the_tutorials_search_is_three_commands_in_all_documents(
    home: Path, samples: Path, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (three,) = blocks("sh")
    assert three in guide
    fetch, index, search = three.splitlines()
    torch.manual_seed(0)
    weights = tmp_path / "resnet34.safetensors"
    save_file(timm.create_model("resnet34", pretrained=False).state_dict(), weights)
    picture = search.split()[-1]
    pictures = {f"train/{path.parent.name}/{path.stem}.JPEG": path for path in samples.glob("b*/*")}
    pictures[picture.removeprefix("imagenet/")] = samples / "birds" / "crow.jpg"
    body = zipped({name: path.read_bytes() for name, path in pictures.items()})
    variables = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    variables |= {"XDG_CACHE_HOME": str(home / "cache")}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    with serving(Site(body)) as site:
        script = f"{fetch} --url {site.url}\n{index} --weights {weights}\n{search} -k 3\n"
        done = subprocess.run(
            ["sh", "-ec", script], capture_output=True, text=True, env=variables, cwd=home,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\d\t\d\.\d+\t.*imagenet/train/", done.stdout, re.MULTILINE)) == 3
