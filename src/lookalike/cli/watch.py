"""``lookalike index --watch``: the index is kept in step with what happens in the folders."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lookalike.cli.index_run import IndexRun
from lookalike.cli.terminal import Terminal
from lookalike.embed.embedder import Embedder
from lookalike.errors import IndexLocked, SourceNotFound
from lookalike.index import Index
from lookalike.ingest.watch import bursts, there
from lookalike.reports import IndexReport
from lookalike.sources.names import absolute

PAUSE_S = 0.5


def watch(
    run: IndexRun,
    sources: Sequence[str],
    show: Callable[[IndexReport, str], None],
    terminal: Terminal,
) -> None:
    """Index everything, and then what changes, until it is interrupted.

    Between the changes the database is closed, so that other commands can search it.

    Args:
        run: what is indexed, and where.
        sources: what is watched, folders on the disk.
        show: prints what was done, and to which database.
        terminal: where people are told.
    """
    folders = [absolute(source) for source in sources]
    missing: set[str] = set()
    embedder, first = None, True
    for burst in bursts(folders):
        alive = there(folders)
        for folder in set(folders).difference(alive, missing):
            terminal.say(f"{folder} is gone; its rows stay, and it is waited for.")
        missing = set(folders).difference(alive)
        with run.measured(), _opened(run, embedder, terminal, first=first) as index:
            # A server's may be gone when the next change comes.
            embedder = None if index.served_by else index.embedder
            try:
                report = replace(run, sources=alive).add(index, terminal, burst)
            except SourceNotFound:
                continue  # It has just gone, which the next burst tells.
            database = index.info().database
        if first or report.added + report.updated + report.moved + report.removed:
            show(report, database)
        elif report.skipped:
            terminal.say_skipped(report.skipped)
        if first:
            terminal.say(f"Watching {', '.join(folders)}; stop it with Ctrl-C.")
        first = False
        terminal.on_interrupt = "Stopped watching. Start it again at any time; nothing is missed."


def _opened(run: IndexRun, embedder: Embedder | None, terminal: Terminal, *, first: bool) -> Index:
    """The index; once watching has begun, others that have it open are waited for."""
    try:
        return run.open(embedder)
    except IndexLocked as error:
        if first:
            raise
        terminal.say(f"Waiting: {error.database} is open in another process.")
    while True:
        time.sleep(PAUSE_S)
        with contextlib.suppress(IndexLocked):
            return run.open(embedder)
