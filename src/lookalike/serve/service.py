"""What all requests share: the index, and how the server is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from lookalike.index import Index
from lookalike.serve.options import ServeOptions
from lookalike.settings import Settings


@dataclass(kw_only=True)
class Service:
    """The parts of a running server."""

    index: Index
    options: ServeOptions
    settings: Settings


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
"""The parameter of a route that needs any of it."""
