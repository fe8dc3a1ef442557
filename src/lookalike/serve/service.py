"""What all requests share: the index, and how the server is run."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from lookalike.index import Index
from lookalike.records import Twin
from lookalike.serve.batching import Batching
from lookalike.serve.decoders import Decoders
from lookalike.serve.groups import Groups
from lookalike.serve.guards.tokens import Sessions
from lookalike.serve.jobs import Jobs
from lookalike.serve.lending import Lending
from lookalike.serve.metrics import Metrics
from lookalike.serve.options import ServeOptions
from lookalike.serve.problems import Refused
from lookalike.serve.questions import Questions
from lookalike.serve.readiness import Readiness
from lookalike.serve.roots import Roots
from lookalike.serve.thumbnails import Thumbnails
from lookalike.serve.uploads import Uploads
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
    decoders: Decoders = field(init=False)
    uploads: Uploads = field(init=False)
    questions: Questions = field(init=False)
    batching: Batching = field(init=False)
    thumbnails: Thumbnails = field(init=False)
    groups: Groups = field(init=False)
    model: str = field(init=False)

    def __post_init__(self) -> None:
        """Put the parts together; nothing is started."""
        self.roots = Roots(self.options.roots)
        self.sessions = Sessions(self.options.token)
        self.readiness = Readiness(self.index)
        self.decoders = Decoders(self.settings.workers, self.settings.max_seconds)
        self.uploads = Uploads()
        self.questions = Questions(
            self.index,
            options=self.options,
            settings=self.settings,
            uploads=self.uploads,
            decoders=self.decoders,
        )
        self.batching = Batching(self.index, most=self.options.batch, on_batch=self.metrics.batch)
        self.jobs = Jobs(
            self.index,
            settings=self.settings,
            stopping=self.stopping,
            asked=self.batching.is_asked,
            figures=self.metrics.indexing,
        )
        self.metrics.count_jobs = lambda: Counter(job.state for job in self.jobs.all())
        self.thumbnails = Thumbnails(settings=self.settings, decoders=self.decoders)
        self.groups = Groups(self.index)
        self.model = self.index.model

    def place(self, id: str) -> Twin:  # noqa: A002
        """Where a picture of the index lies.

        Raises:
            Refused: there is none with this id.
        """
        place = self.index.place(id)
        if place is None:
            raise self.no_such_picture()
        return place

    @staticmethod
    def no_such_picture() -> Refused:
        """What is told of an id that is none."""
        message = "There is no such picture in the index; it may have been removed."
        return Refused(404, "no_such_picture", message)

    def close(self) -> None:
        """End what is under way; called when no requests come any more."""
        self.stopping.set()
        self.jobs.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
"""The parameter of a route that needs any of it."""
