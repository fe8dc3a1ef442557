"""What all requests share: the index, and how the server is run."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from lookalike.index import Index
from lookalike.serve.guards.tokens import Sessions
from lookalike.serve.jobs import Jobs
from lookalike.serve.lending import Lending
from lookalike.serve.metrics import Metrics
from lookalike.serve.options import ServeOptions
from lookalike.serve.readiness import Readiness
from lookalike.serve.roots import Roots
from lookalike.settings import Settings


@dataclass(kw_only=True)
class Service:
    """The parts of a running server.

    `stopping` is set as soon as the server is told to stop: what would last longer ends then.
    """

    index: Index
    options: ServeOptions
    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    stopping: threading.Event = field(default_factory=threading.Event)
    lending: Lending = field(default_factory=Lending)
    roots: Roots = field(init=False)
    jobs: Jobs = field(init=False)
    sessions: Sessions = field(init=False)
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        """Make the parts that depend on others."""
        self.roots = Roots(self.options.roots)
        self.jobs = Jobs(self.index, settings=self.settings, stopping=self.stopping)
        self.sessions = Sessions(self.options.token)
        self.readiness = Readiness(self.index)

    def close(self) -> None:
        """End what is under way; called when no requests come any more."""
        self.stopping.set()
        self.jobs.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
"""The parameter of a route that needs any of it."""
