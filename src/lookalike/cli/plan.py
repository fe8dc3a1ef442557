"""``lookalike index --dry-run``: what a run would do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import typer

from lookalike.cli.index_run import IndexRun
from lookalike.cli.options import Report
from lookalike.cli.terminal import Terminal, visible
from lookalike.errors import IndexNotFound
from lookalike.ingest.preview import first_run
from lookalike.records import Change

KINDS = ("add", "update", "move", "remove", "skip")


def print_plan(run: IndexRun, report_format: Report, terminal: Terminal) -> None:
    """Print a line for each change, and their numbers."""
    try:
        with run.open_existing() as opened:
            _print(run.plan(opened), report_format, terminal)
    except IndexNotFound:
        _print(first_run(run.scan()), report_format, terminal)


def _print(changes: Iterable[Change], report_format: Report, terminal: Terminal) -> None:
    if report_format is Report.json:
        by_kind: dict[str, list[object]] = {kind: [] for kind in KINDS}
        for change in changes:
            by_kind[change.kind].append(_plain(change))
        typer.echo(json.dumps(by_kind))
        return
    counts: Counter[str] = Counter()
    for change in changes:
        counts[change.kind] += 1
        typer.echo(_line(change))
    numbers = ", ".join(f"{counts[kind]} to {kind}" for kind in KINDS)
    terminal.say(f"{numbers}; nothing was changed.")


def _plain(change: Change) -> object:
    if change.kind == "move":
        return {"from": change.source, "to": change.path}
    if change.kind == "skip":
        return {"path": change.path, "reason": change.source}
    return change.path


def _line(change: Change) -> str:
    path, source = visible(change.path), visible(change.source)
    if change.kind == "move":
        return f"move\t{source} → {path}"
    if change.kind == "skip":
        return f"skip\t{path}: {source}"
    return f"{change.kind}\t{path}"
