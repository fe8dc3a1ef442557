"""What several tests share: the packaged sample pictures, and databases made from them."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import lookalike

# What gRPC does in the child of a fork kills 2 in 100 of the commands started here, once a test has
# opened an index in this process. Read when gRPC is imported, which the package does late.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

PACKAGE = Path(lookalike.__file__).parent


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


@dataclass(frozen=True)
class Outcome:
    """What a finished command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Outcome]:
    """Runs ``lookalike`` in a process of its own, with its database in the test's folder.

    It runs without root's right to pass over the permissions of files.
    """

    def run(*args: str | Path, stdin: str = "", **environment: str) -> Outcome:
        command = [sys.executable, "-m", "lookalike", *map(str, args)]
        variables = {**os.environ, "LOOKALIKE_DB": str(tmp_path / "photos.db"), **environment}
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            env=variables,
            timeout=120,
            check=False,
            preexec_fn=_heed_permissions,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def _heed_permissions() -> None:
    pr_capbset_drop, cap_dac_override, cap_dac_read_search = 24, 1, 2
    libc = ctypes.CDLL(None)
    for capability in (cap_dac_override, cap_dac_read_search):
        libc.prctl(pr_capbset_drop, capability, 0, 0, 0)
