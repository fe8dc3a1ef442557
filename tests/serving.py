"""A server on a free port of loopback, in a thread of this process, that tests ask over HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from lookalike import Index, Settings
from lookalike.serve import thumbnails
from lookalike.serve.app import create_app
from lookalike.serve.options import ServeOptions

API = "/api/v1"


@contextlib.contextmanager
def served(
    index: Index, *, cache: Path, settings: Settings | None = None, **options: object
) -> Iterator[httpx.Client]:
    """A client of a server of this index.

    Args:
        index: stays the caller's.
        cache: the folder for thumbnails.
        settings: of the server.
        options: those of `ServeOptions`.
    """
    with pytest.MonkeyPatch.context() as patch, socket.socket() as listening:
        patch.setattr(thumbnails, "default_folder", lambda: cache)
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        app = create_app(
            index,
            options=ServeOptions(port=port, **options),  # type: ignore[arg-type]
            settings=settings or Settings(),
        )
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                client.get("/")
                yield client
        finally:
            server.should_exit = True
            thread.join()
