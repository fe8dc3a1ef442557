"""Ray clusters of several nodes on this machine, and an index on the real Milvus server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before Ray is imported: nothing is sent, and a node that is gone is noticed soon.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}

import pytest
from ray.cluster_utils import Cluster

from lookalike import Index
from tests.conftest import Outcome
from tests.milvus_server import TOKEN, ServerAddress

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A cluster of nodes of one core each."""
    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(count - 1):
        started.add_node(**NODE)
    try:
        yield started
    finally:
        started.shutdown()


@dataclass(frozen=True)
class Target:
    """Where an index lies on the server."""

    uri: str
    collection: str

    def open(self) -> Index:
        return Index.open(self.uri, token=TOKEN, collection=self.collection)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """``lookalike index`` into it, in a process of its own."""
        variables = {**os.environ, "LOOKALIKE_DB": self.uri, "LOOKALIKE_TOKEN": TOKEN}
        command = [sys.executable, "-m", "lookalike", "index", "--collection", self.collection]
        return subprocess.Popen(
            [*command, *map(str, words)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_rows(self, least: int) -> None:
        """Until so many pictures are in it."""
        with self.open() as index:
            while len(index) < least:
                time.sleep(0.2)


def outcome_of(process: subprocess.Popen[str]) -> Outcome:
    """What a process says until it ends."""
    out, err = process.communicate(timeout=200)
    return Outcome(process.returncode, out, err)


@pytest.fixture
def target(milvus_server: ServerAddress) -> Target:
    """A new collection."""
    return Target(milvus_server.uri, f"images_{uuid.uuid4().hex}")
