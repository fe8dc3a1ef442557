"""What several tests share: the packaged sample pictures, and databases made from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import lookalike

PACKAGE = Path(lookalike.__file__).parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """The packaged sample pictures: folders of look-alikes. Not to be changed."""
    return PACKAGE / "samples"


@pytest.fixture
def photos(samples: Path, tmp_path: Path) -> Path:
    """A folder of its own with the pictures of three groups, 30 in all, to change at will."""
    folder = tmp_path / "photos"
    for group in ("birds", "flowers", "insects"):
        shutil.copytree(samples / group, folder / group)
    pictures = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in pictures[30:]:
        path.unlink()
    return folder
