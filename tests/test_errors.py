"""Errors go from process to process, as those of a pool do, and stay what they are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lookalike import (
    LookalikeError,
    ModelMismatch,
    PictureUnreadable,
    StorageFull,
    WorkerFailed,
)


@pytest.mark.parametrize(
    "error",
    [
        WorkerFailed("10.0.0.2", "StorageFull", "the disk is full"),
        ModelMismatch(database="a.db", indexed=("resnet34", "1" * 64), requested=("vit", "2" * 64)),
        PictureUnreadable("a.jpg", "permission denied"),
        StorageFull("/photos.db"),
        LookalikeError("What happened."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_an_error_is_the_same_in_another_process(
    error: LookalikeError, again: Callable[[Any], Any]
) -> None:
    other = again(error)
    assert type(other) is type(error)
    assert (str(other), vars(other)) == (str(error), vars(error))
