"""The commands, in the order in which people meet them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import warnings
from typing import NoReturn

import typer
from PIL import Image, _imaging

from lookalike.cli import (
    asking,
    cluster,
    demo,
    download_sample,
    duplicates,
    evaluate,
    exchange,
    index,
    manage,
    models,
    search,
    serve,
)
from lookalike.cli.options import Version

app = typer.Typer(
    name="lookalike",
    help="Find pictures that look alike: index folders once, then ask with a picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index")(index.index)
app.command("search", epilog=asking.EXAMPLE)(search.search)
app.command("duplicates", epilog=f"Example: {duplicates.EXAMPLE}")(duplicates.duplicates)
app.command("cluster", epilog=cluster.EXAMPLE)(cluster.cluster)
app.command("evaluate")(evaluate.evaluate)
app.command("info")(manage.info)
app.command("remove")(manage.remove)
app.command("prune")(manage.prune)
app.command("relocate")(manage.relocate)
app.command("export", epilog=exchange.EXPORT_EXAMPLE)(exchange.export)
app.command("import", epilog=exchange.IMPORT_EXAMPLE)(exchange.import_rows)
app.command("models")(models.models)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("download-sample")(download_sample.download_sample)


@app.callback()
def _top(version: Version = False) -> None:
    """Find pictures that look alike: index folders once, then ask with a picture."""


def main() -> None:
    """Run the command line."""
    # Most of a search's time goes into imports, and a fifth of that into looking for garbage
    # among new objects, of which none is any. Long runs switch it on again: `startup_done`.
    gc.disable()
    _keep_memory_small()
    # What is true of this process alone, so it is not done where lookalike is a library: its own
    # limit of pixels holds, its own messages say what is wrong, and a kill is like Ctrl-C.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    _keep_decoders_quiet()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except SystemExit as done:
        _leave(done.code if isinstance(done.code, int) else 0)


def _keep_memory_small() -> None:
    """Give freed memory back: one arena a thread, and Arrow's own pool, keep 130 MB of it."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        m_arena_max, m_mmap_threshold = -8, -3  # from malloc.h
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)  # musl has none
        mallopt(m_arena_max, 2)
        mallopt(m_mmap_threshold, 1 << 20)


def _keep_decoders_quiet() -> None:
    """Of damaged pictures, Pillow and libtiff print errors that they also raise."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError):  # where it is built in, or left out
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _leave(code: int) -> NoReturn:
    """End the process without tidying up its memory, which would take 0.2 s.

    The commands have closed their databases and removed their temporary files by now.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # who reads has gone away
        code = code or 1
    os._exit(code)
