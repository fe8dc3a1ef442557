"""A Ray cluster of several nodes on this machine, and an index on the real Milvus server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

# Before Ray is imported: nothing is sent, and a node that is gone is noticed soon.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}

pytest.importorskip("ray", reason="it needs lookalike[cluster]: make test-cluster")

NODES = 3
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of three nodes of one core each, that a test may take to pieces."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    started = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(NODES - 1):
        started.add_node(**NODE)
    yield started
    started.shutdown()


@pytest.fixture
def collection() -> str:
    return f"images_{uuid.uuid4().hex}"
