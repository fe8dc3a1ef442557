"""``lookalike serve``."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import threading
from typing import Annotated

import typer

from lookalike.cli.keeping import Tenant
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
from lookalike.cli.terminal import FAILED, INTERRUPTED, Terminal, startup_done
from lookalike.errors import ExtraMissing, IndexServed, SourceNotFound, TokenUnsafe
from lookalike.index import Index
from lookalike.sources.names import absolute

LEAST_TOKEN = 16
STOP_S = 25
OWN_THREADS = 16  # for the owner's commands and for health checks, besides clients' requests
SERVER_WAIT_S = 5  # clients are told sooner than commands that a database has gone away


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
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name under which it may be asked for, besides its own; may be given again.",
            show_default=False,
        ),
    ] = None,
    serve_token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="LOOKALIKE_SERVE_TOKEN",
            help=f"What clients must show, at least {LEAST_TOKEN} characters; better in the "
            "variable, others see options.",
            show_default=False,
        ),
    ] = None,
    show_paths: Annotated[
        bool, typer.Option("--show-paths", help="Tell clients where the pictures lie.")
    ] = False,
    allow_trash: Annotated[
        bool, typer.Option("--allow-trash", help="Let clients put duplicates into the trash.")
    ] = False,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    device: Device = None,
    precision: Precision = None,
    db: Database = None,
    token: Token = None,
    collection: Collection = "images",
    tenant: Tenant = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Answer questions over HTTP, and show a page to ask them with."""
    with Terminal(verbose, quiet=quiet) as terminal:
        try:
            from lookalike.serve.app import create_app  # noqa: PLC0415 - an extra
            from lookalike.serve.guarding import guarded  # noqa: PLC0415
            from lookalike.serve.options import ServeOptions  # noqa: PLC0415
            from lookalike.serve.running import Server, address_of, listen  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("lookalike serve", extra="server") from error
        settings = settings_with(device=device, precision=precision)
        options = ServeOptions(
            host=host,
            port=port,
            token=serve_token or None,
            allowed_hosts=tuple(allow_host or ()),
            roots=tuple(_folder(folder) for folder in root or ()),
            show_paths=show_paths,
            allow_trash=allow_trash,
        )
        _check_token(options.token, private=options.is_private)
        _choose_log(verbose)
        if not os.environ.get("LOOKALIKE_SERVER_WAIT_S"):
            settings = dataclasses.replace(settings, server_wait_s=SERVER_WAIT_S)
        with (
            listen(host, port) as listener,
            Index.open(
                db, token=token, collection=collection, tenant=tenant, settings=settings
            ) as opened,
        ):
            if opened.served_by:
                raise IndexServed(opened.database, opened.served_by, "and one is enough")
            opened.embedder.load()
            startup_done()
            options = dataclasses.replace(options, port=listener.getsockname()[1])
            app = create_app(opened, options=options, settings=settings)
            service = app.state.service

            def started() -> None:
                address = address_of(listener, options)
                terminal.say(address)
                if open_page and sys.stdout.isatty():
                    import webbrowser  # noqa: PLC0415 - rarely needed

                    webbrowser.open(address)

            def stop(reason: signal.Signals) -> None:
                if service.stopping.is_set() and reason == signal.SIGINT:
                    os._exit(INTERRUPTED)  # the second Ctrl-C: what is committed is kept
                service.stopping.set()
                _leave_in_time()

            # uvicorn raises the signal again when it has stopped; a kill is an ordinary end.
            signal.signal(signal.SIGTERM, lambda number, frame: None)
            try:
                with service.lending.announced(opened, host=host, port=options.port):
                    Server(
                        guarded(app, service),
                        threads=settings.concurrent_requests + OWN_THREADS,
                        on_started=started,
                        on_stop=stop,
                    ).run([listener])
            finally:
                service.close()


def _folder(name: str) -> str:
    folder = absolute(name)
    if not os.path.isdir(folder):  # noqa: PTH112 - as the rest of the paths here
        raise SourceNotFound(folder, "is no folder")
    return folder


def _check_token(token: str | None, *, private: bool) -> None:
    if token is None and not private:
        raise TokenUnsafe(
            "Other machines can reach this address (--host), so clients must show a token: set "
            f"LOOKALIKE_SERVE_TOKEN to at least {LEAST_TOKEN} characters."
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise TokenUnsafe(
            f"The token for clients has {len(token)} characters and could be guessed; set "
            f"LOOKALIKE_SERVE_TOKEN to at least {LEAST_TOKEN}."
        )


def _choose_log(verbose: int) -> None:
    """Requests are named with -v, tracebacks shown with -vv."""
    requests = logging.getLogger("lookalike.serve.guards.observed")
    requests.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.INFO if verbose > 1 else logging.CRITICAL)


def _leave_in_time() -> None:
    """End the process even if a database that is away keeps it waiting."""

    def leave() -> None:
        logging.getLogger("lookalike").error("Not everything was finished in %d s.", STOP_S)
        os._exit(FAILED)

    timer = threading.Timer(STOP_S, leave)
    timer.daemon = True
    timer.start()
