"""What docs/serve.md shows works, and every threat in its table has the test that it names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike.cli.app import app
from lookalike.serve.options import HOST, PORT
from tests.conftest import Outcome
from tests.serve_process import command

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
SHOWN = f"http://{HOST}:{PORT}"


@pytest.fixture(scope="module")
def outcomes(
    samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[tuple[str, Outcome, Path]]]:
    """Each block of examples, and what it printed; the second one's variables serve the third."""
    if not shutil.which("curl"):
        pytest.skip("there is no curl to run the examples with")
    home = tmp_path_factory.mktemp("docs")
    shutil.copytree(samples / "birds", home / "Pictures")
    shutil.copy(samples / "birds" / "crow.jpg", home)
    done = []
    with command("--root", home / "Pictures", "--db", home / "photos.db") as server:
        examples = [block for block in BLOCKS if "curl" in block]
        # The last block indexes, and the others want to find something.
        for block in (examples[-1], *examples[:-1]):
            ran = subprocess.run(
                ["sh", "-ec", block.replace(SHOWN, server.address)],
                capture_output=True, text=True, cwd=home, check=False, timeout=60,
            )  # fmt: skip
            done.append((block, Outcome(ran.returncode, ran.stdout, ran.stderr), home))
    yield done


def test_the_examples_with_curl_work(outcomes: list[tuple[str, Outcome, Path]]) -> None:
    assert len(outcomes) == 3
    for block, outcome, home in outcomes:
        assert outcome.code == 0, (block, outcome.err)
        assert '"error":{' not in outcome.out.replace('"error":null', ""), (block, outcome.out)
        if "events" in block:
            assert "event: done" in outcome.out
        elif "thumbnail" in block:
            assert outcome.out.count('"hits":[{') == 2
            assert (home / "thumbnail.webp").read_bytes()[8:12] == b"WEBP"
            assert (home / "original").stat().st_size > 1000
        else:
            assert outcome.out.count('"name":"crow.jpg"') == 2
            assert outcome.out.count('"hits":[{') == 2


def test_options_and_variables_that_are_named_are_there() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    named = set(re.findall(r"--[a-z][a-z-]+", GUIDE))
    assert len(named) > 6
    for option in named:
        assert option in shown, option
    for option in re.findall(r"│ +(?:\* +)?(--[a-z][a-z-]+)", shown):
        common = "--device --precision --db --token --collection --verbose --quiet --version --help"
        assert option in named or option in common.split(), option
    assert f"<{SHOWN}>" in GUIDE


def test_every_route_is_in_the_guide() -> None:
    from lookalike.serve.routes import (  # noqa: PLC0415
        duplicates,
        health,
        images,
        info,
        jobs,
        search,
        uploads,
    )  # fmt: skip

    table = GUIDE[GUIDE.index("| `POST /search`") : GUIDE.index("What cannot be done")]
    for room in (duplicates, health, images, info, jobs, search, uploads):
        for route in room.router.routes:
            path: str = route.path
            whole, last = path in table, f"…/{path.rsplit('/', 1)[-1]}" in table
            assert whole or last, path


def test_every_threat_has_a_test() -> None:
    rows = re.findall(r"^\| .* \| .* \| `(test_\w+\.py)::(test_\w+)` \|$", GUIDE, re.MULTILINE)
    table = GUIDE[GUIDE.index("| threat |") :].partition("\n\n")[0]
    assert len(rows) == len(table.splitlines()) - 2 > 20
    for file, name in rows:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        tests = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
        assert name in tests, f"{file}::{name}"


def test_the_guide_says_what_has_not_been_run() -> None:
    assert "has not been built" in GUIDE
    assert os.sep + "work" not in GUIDE
