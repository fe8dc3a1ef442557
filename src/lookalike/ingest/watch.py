"""What changes below some folders, as it happens, in bursts that have settled.

The system tells which names have changed; it may tell too early, for a file that is still being
written, or too little, after an overflow. So a path waits until its size and time have stood still
for a while, and now and then everything is looked at again.
"""

from __future__ import annotations

import errno
import os
import posixpath
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import watchfiles

from lookalike.errors import WatchFailed
from lookalike.ingest.ignore import IGNORE_FILE
from lookalike.records import Burst, Stamp

SETTLE_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 10.0
EVERYTHING_AGAIN_SECONDS = 3600.0
TICK_MS = 250


def bursts(
    folders: Sequence[str],
    *,
    settle_seconds: float = SETTLE_SECONDS,
    stop: threading.Event | None = None,
) -> Iterator[Burst | None]:
    """Changes below the folders; None means that everything must be looked at.

    The first is None, when the system has begun to note what changes, so nothing is missed in
    between. A path comes when it has stood still for `settle_seconds`; of a long burst those that
    have come early, so that a file which never stands still does not hold up the others. A folder
    that goes away is waited for.

    Raises:
        WatchFailed: the system cannot watch them.
    """
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112
            raise WatchFailed(folder, "only folders on the disk can be watched")
    stop = stop or threading.Event()
    while not stop.is_set():
        if alive := there(folders):
            yield from _bursts(alive, folders, settle_seconds, stop)
        else:
            stop.wait(TICK_MS / 1000)


def there(folders: Sequence[str]) -> list[str]:
    """Those of the folders that are there now."""
    return [folder for folder in folders if os.path.isdir(folder)]  # noqa: PTH112


def _bursts(
    alive: list[str], folders: Sequence[str], settle_seconds: float, stop: threading.Event
) -> Iterator[Burst | None]:
    """The bursts of those folders that are `alive`, until others are."""
    waiting: dict[str, tuple[Stamp | None, float]] = {}
    next_look_at_all = first_change = 0.0
    for changes in _changes(alive, stop):
        if there(folders) != alive:
            return
        now = time.monotonic()
        if now >= next_look_at_all:
            yield None
            next_look_at_all = time.monotonic() + EVERYTHING_AGAIN_SECONDS
        if not waiting:
            first_change = now
        for path in changes:
            waiting[path] = (_stamp(path), now)
        for path, (seen, _) in list(waiting.items()):
            if (stamp := _stamp(path)) != seen:
                waiting[path] = (stamp, now)
        settled = [path for path, (_, since) in waiting.items() if now - since >= settle_seconds]
        if settled and (len(settled) == len(waiting) or now - first_change >= LONGEST_WAIT_SECONDS):
            yield _burst({path: waiting.pop(path)[0] for path in settled}, alive)
            first_change = time.monotonic()


def _burst(found: Mapping[str, Stamp | None], folders: Sequence[str]) -> Burst | None:
    if any(posixpath.basename(path) == IGNORE_FILE for path in found):
        return None
    # What a link leads to has other names, too, and one of them is that of the row.
    real = {folder: os.path.realpath(folder) for folder in folders}
    for path in {posixpath.dirname(path) for path in found}:
        source = max((folder for folder in folders if f"{path}/".startswith(f"{folder}/")), key=len)
        if os.path.realpath(path) != real[source] + path[len(source) :]:
            return None
    return Burst(
        here=frozenset(path for path, stamp in found.items() if stamp),
        gone=frozenset(path for path, stamp in found.items() if not stamp),
    )


def _changes(folders: Sequence[str], stop: threading.Event) -> Iterator[set[str]]:
    """The names that have changed since the last time, perhaps none, a few times a second."""
    try:
        for changes in watchfiles.watch(
            *folders,
            watch_filter=None,
            debounce=TICK_MS,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            stop_event=stop,
            ignore_permission_denied=True,
        ):
            yield {os.path.abspath(path) for _, path in changes}  # noqa: PTH100
    except OSError as error:
        if error.errno == errno.ENOSPC or "limit" in str(error):
            reason = "there are more folders than the system watches; raise the limit " + _LIMIT
        else:
            reason = error.strerror or str(error)
        raise WatchFailed(", ".join(folders), reason) from error


_LIMIT = "(on Linux: sysctl fs.inotify.max_user_watches)"


def _stamp(path: str) -> Stamp | None:
    """What tells whether a file is still being written; None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)
