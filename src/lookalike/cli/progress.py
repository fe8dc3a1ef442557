"""How far indexing has come: a bar for a person, a line now and then for a log."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from lookalike.cli.terminal import Terminal
from lookalike.ingest.scan import EVERYTHING, Scan, ScanOptions, Source
from lookalike.records import Progress
from lookalike.sources.names import is_address, split_member

SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def shown(
    sources: Sequence[Source] | None, terminal: Terminal, *, options: ScanOptions = EVERYTHING
) -> Iterator[Callable[[Progress], None]]:
    """A callback for `Index.add` that shows what it is told.

    Args:
        sources: what is indexed, to be counted meanwhile; None where that can be done only once.
        terminal: where it is shown.
        options: what is left out.
    """
    if terminal.shows_progress:
        with _bar(sources, options) as callback:
            yield callback
    else:
        yield _lines(terminal)


@contextlib.contextmanager
def busy(task: str, terminal: Terminal) -> Iterator[None]:
    """Show a person that something goes on for which there is no measure."""
    if not terminal.shows_progress:
        yield
        return
    from rich.console import Console  # noqa: PLC0415

    with Console(stderr=True, markup=False).status(task):
        yield


@contextlib.contextmanager
def counted(task: str, things: str, terminal: Terminal) -> Iterator[Callable[[int, int], None]]:
    """A callback, for how many of how many are done, that shows what it is told."""
    started = last = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            terminal.say(f"{done} of {total} {things}, {done / (now - started):.0f} {things}/s")

    if not terminal.shows_progress:
        yield say
        return
    # Imported here: as below.
    from rich import progress as rich  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (*rich.Progress.get_default_columns(), rich.MofNCompleteColumn())
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(task, total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)


def _lines(terminal: Terminal) -> Callable[[Progress], None]:
    started = last = time.monotonic()

    def callback(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            terminal.say(
                f"{progress.done} files, {_rate(progress, now - started)}",
                event="progress",
                added=progress.added,
                updated=progress.updated,
                unchanged=progress.unchanged,
                skipped=progress.skipped,
            )

    return callback


@contextlib.contextmanager
def _bar(
    sources: Sequence[Source] | None, options: ScanOptions
) -> Iterator[Callable[[Progress], None]]:
    # Imported here: only a person needs it, and a search waits for what this module imports.
    from rich import progress as rich  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[rate]}"),
        rich.TimeRemainingColumn(),
    )
    started = time.monotonic()
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Indexing", total=None, rate="")

        def count() -> None:
            # A walk of its own, so that the time left is known while the first one works.
            total = 0
            for item in Scan(sources or [], options=options):
                if split_member(item.path):
                    return  # archives are not read twice for this
                total += 1
            bar.update(task, total=total)

        def callback(progress: Progress) -> None:
            rate = _rate(progress, time.monotonic() - started)
            bar.update(task, completed=progress.done, rate=rate)

        if sources and not any(is_address(str(source)) for source in sources):
            threading.Thread(target=count, name="lookalike-count", daemon=True).start()
        yield callback


def _rate(progress: Progress, seconds: float) -> str:
    return f"{(progress.added + progress.updated) / max(seconds, 1e-9):.0f} pictures/s"
