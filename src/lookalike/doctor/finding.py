"""What a check has found, and how checks are run so that none keeps the others from theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from lookalike.errors import LookalikeError, reason_of

LONGEST_S = 45.0
"""A server may take 10 s to be reached, and as long for each of its answers."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `state` is ``ok``, ``warning`` (something may go wrong, or go better) or ``broken``; `fix` is
    what to do, and empty where nothing is to be done, or where the message says that, too.
    """

    name: str
    state: str
    message: str
    fix: str = ""


def ok(name: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(name, "ok", message)


def warning(name: str, message: str, fix: str) -> Finding:
    """Something may go wrong, or could go better."""
    return Finding(name, "warning", message, fix)


def broken(name: str, message: str, fix: str = "") -> Finding:
    """Something does not work."""
    return Finding(name, "broken", message, fix)


Check = Callable[[], Iterable[Finding]]


def tried(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """What the named checks find, one after the other, whatever happens in them."""
    for name, check in checks:
        yield from _in_time(name, check)


def _in_time(name: str, check: Check) -> list[Finding]:
    done: Future[list[Finding]] = Future()
    threading.Thread(target=lambda: done.set_result(_all(name, check)), daemon=True).start()
    if wait([done], LONGEST_S).done:
        return done.result()
    return [broken(name, f"This was not known after {LONGEST_S:g} s.", "See whether it hangs.")]


def _all(name: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except LookalikeError as error:
        return [broken(name, str(error))]
    except ImportError as error:
        fix = "Install lookalike again: pip install --force-reinstall lookalike"
        return [broken(name, f"A package does not load ({reason_of(error)}).", fix)]
    except Exception as error:  # noqa: BLE001 - what is broken may break in any way
        return [broken(name, f"{type(error).__name__}: {reason_of(error)}.")]
