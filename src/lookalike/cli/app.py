"""The commands, in the order in which people meet them."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn

import typer

from lookalike import process
from lookalike.cli import (
    asking,
    cluster,
    copy,
    demo,
    doctor,
    download_sample,
    duplicates,
    evaluate,
    exchange,
    index,
    manage,
    models,
    reindex,
    search,
    serve,
    tune,
)
from lookalike.cli.logs import Commands, with_log_format
from lookalike.cli.options import Version

app = typer.Typer(
    name="lookalike",
    cls=Commands,
    help="Find pictures that look alike: index folders once, then ask with a picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _example in (
    ("index", index.index, "lookalike index ~/Pictures --exclude '*.png'"),
    ("search", search.search, asking.EXAMPLE),
    ("duplicates", duplicates.duplicates, duplicates.EXAMPLE),
    ("cluster", cluster.cluster, cluster.EXAMPLE),
    ("evaluate", evaluate.evaluate, "lookalike evaluate ~/Pictures --report worst.html"),
    ("info", manage.info, "lookalike info --format json"),
    ("remove", manage.remove, "lookalike remove ~/Pictures/birds"),
    ("prune", manage.prune, "lookalike prune --dry-run"),
    ("relocate", manage.relocate, "lookalike relocate ~/Pictures /mnt/nas/Pictures"),
    ("export", exchange.export, exchange.EXPORT_EXAMPLE),
    ("import", exchange.import_rows, exchange.IMPORT_EXAMPLE),
    ("copy", copy.copy, copy.EXAMPLE),
    ("reindex", reindex.reindex, reindex.EXAMPLE),
    ("tune", tune.tune, tune.EXAMPLE),
    ("models", models.models, "lookalike models --format json"),
    ("serve", serve.serve, "lookalike serve --open"),
    ("doctor", doctor.doctor, doctor.EXAMPLE),
    ("demo", demo.demo, "lookalike demo"),
    ("download-sample", download_sample.download_sample, "lookalike download-sample imagenet"),
):
    app.command(_name, epilog=f"Example: {_example}")(with_log_format(_command))


@app.callback()
def _top(version: Version = False) -> None:
    """Find pictures that look alike: index folders once, then ask with a picture."""


def main() -> None:
    """Run the command line."""
    # Most of a search's time goes into imports, and a fifth of that into looking for garbage
    # among new objects, of which none is any. Long runs switch it on again: `startup_done`.
    gc.disable()
    process.configure()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill is like Ctrl-C
    try:
        app()
    except SystemExit as done:
        _leave(done.code if isinstance(done.code, int) else 0)


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
