"""Settings: their defaults, where they are read from, and what is refused."""

from __future__ import annotations

import dataclasses
import os

import pytest

from lookalike.errors import InvalidSetting
from lookalike.settings import (
    Settings,
    available_cores,
    default_database,
    environment_variable,
)

NAMES = [field.name for field in dataclasses.fields(Settings)]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"LOOKALIKE_THREADS": "", "THREADS": "3"}) == Settings()


def test_every_setting_is_read_from_its_variable() -> None:
    values = {
        "max_pixels": 9,
        "max_bytes": 11,
        "max_seconds": 5,
        "precision": "fp32",
        "device": "cuda:1",
        "batch_size": 7,
        "threads": 3,
        "network_reads": 5,
        "max_archive_members": 13,
        "max_archive_bytes": 17,
        "allow_private_urls": 1,
        "server_wait_s": 5,
        "max_upload_bytes": 19,
        "max_upload_pixels": 23,
        "max_upload_seconds": 4,
        "requests_per_minute": 0,
        "concurrent_requests": 2,
    }
    assert set(values) == set(NAMES), "a new setting needs a value here"
    environment = {environment_variable(name): str(value) for name, value in values.items()}
    assert environment["LOOKALIKE_MAX_PIXELS"] == "9"
    assert dataclasses.asdict(Settings.from_environment(environment)) == values


def test_the_process_environment_is_the_default_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_BATCH_SIZE", "5")
    assert Settings.from_environment().batch_size == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOOKALIKE_MAX_PIXELS", "many"),
        ("LOOKALIKE_MAX_PIXELS", "0"),
        ("LOOKALIKE_MAX_BYTES", "0"),
        ("LOOKALIKE_MAX_SECONDS", "0"),
        ("LOOKALIKE_MAX_UPLOAD_BYTES", "0"),
        ("LOOKALIKE_MAX_UPLOAD_SECONDS", "0"),
        ("LOOKALIKE_REQUESTS_PER_MINUTE", "-1"),
        ("LOOKALIKE_CONCURRENT_REQUESTS", "0"),
        ("LOOKALIKE_BATCH_SIZE", "1.5"),
        ("LOOKALIKE_BATCH_SIZE", "-1"),
        ("LOOKALIKE_THREADS", "-1"),
        ("LOOKALIKE_SERVER_WAIT_S", "-1"),
        ("LOOKALIKE_ALLOW_PRIVATE_URLS", "2"),
        ("LOOKALIKE_PRECISION", "int4"),
        ("LOOKALIKE_DEVICE", "tpu"),
    ],
)
def test_an_impossible_value_is_refused_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Settings.from_environment({variable: value})
    assert caught.value.name == variable
    assert str(caught.value).startswith(f"{variable} is ")
    assert value in str(caught.value)


def test_an_impossible_value_in_the_code_is_refused_just_so() -> None:
    with pytest.raises(InvalidSetting, match="BATCH_SIZE is -1, but must be a whole number from 0"):
        Settings(batch_size=-1)
    with pytest.raises(InvalidSetting, match="PRECISION is 'int4', but must be auto, bf16, fp32"):
        Settings(precision="int4")


def test_the_least_values_are_allowed() -> None:
    assert Settings(max_pixels=1, batch_size=1, threads=0).max_pixels == 1


def test_no_threads_means_one_for_each_core_this_process_may_use() -> None:
    assert Settings(threads=0).workers == available_cores() >= 1
    assert Settings(threads=5).workers == 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can leave cores out")
def test_cores_left_out_by_the_system_are_not_counted() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_every_setting_says_its_unit_and_what_it_is_for() -> None:
    for field in dataclasses.fields(Settings):
        assert field.metadata["unit"]
        assert field.metadata["help"].endswith(".")


def test_the_default_database_lies_where_the_platform_keeps_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data/of/user")
    path = default_database()
    assert path.endswith("images.db")
    assert "lookalike" in path
