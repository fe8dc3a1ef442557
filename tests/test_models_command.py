"""``lookalike models``: the table of presets, and the search through timm's names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike.cli.app import app
from lookalike.embed.presets import PRESETS
from tests.conftest import Outcome

Cli = Callable[..., Outcome]

HEAVY = {"torch", "timm", "openvino", "pymilvus", "milvus_lite", "pandas"}


def on_terminal(width: int) -> list[str]:
    """The lines that a person sees, without the terminal's own commands."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", "models"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**variables, "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode())
    return [line.rstrip() for line in text.splitlines()]


def test_programs_get_a_line_for_each_model(cli: Cli) -> None:
    shown = cli("models")
    assert (shown.code, shown.err) == (0, "")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in shown.out.splitlines()}
    assert list(rows) == list(PRESETS)
    assert rows["efficientnet-lite0-384"][:6] == [
        *("", "384", "224×224", "3.9 M", "0.384", "Apache-2.0")
    ]
    assert rows["dinov3-small"][:6] == [
        *("vit_small_patch16_dinov3.lvd1689m", "384", "256×256", "21.6 M", "6.25"),
        "DINOv3 (conditions)",
    ]
    assert rows["resnet50"][6:] == [PRESETS["resnet50"].good_for, ""]
    assert rows["clip-base-text"][0] == "clip:ViT-B-32/laion2b_s34b_b79k"
    assert rows["clip-base-text"][6:] == [PRESETS["clip-base-text"].good_for, "words"]


def test_as_json_the_figures_are_exact(cli: Cli) -> None:
    models = cli("models", "--format", "json").json["models"]
    assert models[0]["name"] == "efficientnet-lite0-384"
    (resnet34,) = (model for model in models if model["name"] == "resnet34")
    assert resnet34 == {
        "name": "resnet34",
        "timm_model": "resnet34.a1_in1k",
        "dim": 512,
        "size": [224, 224],
        "parameters": 21_284_672,
        "gmacs": 3.66,
        "licence": "Apache-2.0",
        "good_for": PRESETS["resnet34"].good_for,
        "clip_model": "",
        "reads_words": False,
    }
    readers = [model["name"] for model in models if model["reads_words"]]
    assert readers == ["mobileclip2-s0-text", "clip-base-text", "siglip2-base-text"]


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_of_the_table_is_broken_or_cut_at_a_terminal(width: int) -> None:
    lines = on_terminal(width)
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:5] == ["name", "dim", "pixels", "params", "GMACs"]
    for preset in PRESETS.values():
        (at,) = (number for number, line in enumerate(lines) if line.startswith(f"{preset.name} "))
        assert lines[at].endswith(f"{preset.gmacs:g}  {preset.licence}")
        below = [part for line in lines[at + 1 : at + 3] for part in line.split("  ")]
        assert {preset.full_name, preset.good_for} <= {"", *below}
        assert ("reads words" in below) == preset.reads_words
    assert "--search" in lines[-1]


def test_the_table_needs_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lookalike", "models"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(re.findall(r"\| +(\w+)", done.stderr))
    assert "lookalike" in imported
    assert not imported & HEAVY


def test_a_search_lists_the_names_that_contain_a_text() -> None:
    timm = pytest.importorskip("timm")
    expected = [name for name in timm.list_models(pretrained=True) if "dinov3" in name]
    found = CliRunner().invoke(app, ["models", "--search", "DINOv3"])
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.splitlines() == expected
    assert "vit_small_patch16_dinov3.lvd1689m" in expected


def test_a_search_finds_the_names_of_open_clip_too() -> None:
    open_clip = pytest.importorskip("open_clip")
    expected = [
        f"clip:{model}/{tag}" for model, tag in open_clip.list_pretrained() if "SigLIP2" in model
    ]
    found = CliRunner().invoke(app, ["models", "--search", "clip:*siglip2*"])
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout.splitlines() == expected
    assert "clip:ViT-B-16-SigLIP2/webli" in expected
    without_tag = pytest.importorskip("lookalike.embed.clip_names").pretrained_names(
        "clip:vit-b-?2"
    )
    assert "clip:ViT-B-32/laion2b_s34b_b79k" in without_tag
    assert all(name.startswith("clip:ViT-B-32/") for name in without_tag)


def test_a_search_with_a_star_is_for_whole_names_with_or_without_their_tag() -> None:
    timm = pytest.importorskip("timm")
    timm_names = pytest.importorskip("lookalike.embed.timm_names")
    names = timm.list_models(pretrained=True)
    architecture = timm_names.pretrained_names("resnet?4")
    assert "resnet34.a1_in1k" in architecture
    assert architecture == [name for name in names if fnmatch(name, "resnet?4.*")]
    tagged = timm_names.pretrained_names("ResNet*.A1_in1k")
    assert tagged == [name for name in names if fnmatch(name, "resnet*.a1_in1k")]


def test_a_search_that_finds_nothing_fails_and_says_so(cli: Cli) -> None:
    pytest.importorskip("timm")
    found = cli("models", "--search", "no-such-thing", "--format", "json")
    assert (found.code, found.json) == (1, {"names": []})
    assert "no-such-thing" in found.err
    assert len(found.err.splitlines()) == 1


def test_without_timm_the_search_says_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['timm'] = None")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    assert cli("models", PYTHONPATH=path).code == 0
    failed = cli("models", "--search", "resnet", PYTHONPATH=path)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == (
        "lookalike: searching timm's names needs timm; install it with: "
        "pip install 'lookalike[timm]'\n"
    )


def test_a_timm_that_does_not_load_is_not_taken_for_a_missing_one(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    reason = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision.py").write_text(f"raise RuntimeError('{reason}')")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    failed = cli("models", "--search", "resnet", PYTHONPATH=path)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == (
        f"lookalike: searching timm's names needs timm, which is installed but does not load "
        f"({reason}). Install what belongs together again: "
        "pip install --force-reinstall torch torchvision timm\n"
    )
