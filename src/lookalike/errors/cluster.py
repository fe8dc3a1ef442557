"""Errors of a cluster of machines that share the work."""

from __future__ import annotations

from lookalike.errors.base import LookalikeError


class ClusterError(LookalikeError):
    """The cluster that works on pictures refused or failed."""


class ClusterUnreachable(ClusterError):
    """No Ray cluster answers at this address."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(
            f"No Ray cluster can be used at {address} ({reason}). Check the address (--ray), and "
            "that `ray status` shows the cluster there."
        )


class ClusterLost(ClusterError):
    """A Ray cluster that worked on pictures does so no more."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(
            f"The Ray cluster at {address} has failed ({reason}). Everything committed so far is "
            "kept; run the same command again."
        )


class WorkerFailed(ClusterError):
    """A worker of a cluster cannot do its work; `kind` is the name of the error that it met."""

    def __init__(self, node: str, kind: str, message: str) -> None:
        self.node, self.kind, self.message = node, kind, message
        super().__init__(f"On the worker at {node}: {message}")
