"""``lookalike serve``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lookalike.cli.options import (
    Collection,
    Database,
    Device,
    Precision,
    Quiet,
    Token,
    Verbose,
    Version,
    settings_with,
)
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.errors import ExtraMissing
from lookalike.index import Index
from lookalike.sources.names import absolute


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens; other machines need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8077,
    root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder that may be indexed by request; may be given again.",
            show_default=False,
        ),
    ] = None,
    show_paths: Annotated[
        bool, typer.Option("--show-paths", help="Tell clients where the pictures lie.")
    ] = False,
    device: Device = None,
    precision: Precision = None,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Answer questions over HTTP, and show a page to ask them with."""
    with Terminal(verbose, quiet=quiet) as terminal:
        try:
            import uvicorn  # noqa: PLC0415 - an extra

            from lookalike.serve.app import create_app  # noqa: PLC0415
            from lookalike.serve.options import ServeOptions  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("lookalike serve", extra="server") from error
        options = ServeOptions(
            host=host,
            port=port,
            token=os.environ.get("LOOKALIKE_SERVE_TOKEN") or None,
            roots=tuple(absolute(folder) for folder in root or ()),
            show_paths=show_paths,
        )
        settings = settings_with(device=device, precision=precision)
        with Index.open(db, token=token, collection=collection, settings=settings) as opened:
            opened.embedder.load()
            startup_done()
            app = create_app(opened, options=options, settings=settings)
            terminal.say(f"http://{host}:{port}")
            uvicorn.run(app, host=host, port=port, log_level="warning")
