"""Messages to people on stderr, and the one place where errors become an exit code."""

from __future__ import annotations

import errno
import gc
import logging
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import typer

from lookalike.cli import logs, traces
from lookalike.errors import InvalidQuestion, LookalikeError, TokenUnsafe
from lookalike.records import Skipped

SKIPPED_SHOWN = 20
FAILED = 1
WRONG = 2  # as other wrong usage, of options
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_WRONG_USAGE = (InvalidQuestion, TokenUnsafe)


def visible(text: str) -> str:
    """A line in which what would command the terminal, or end the line, stands as an escape."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def startup_done() -> None:
    """Collect garbage from now on, but never look at what start-up has made."""
    gc.freeze()
    gc.enable()


class _Said(logging.Handler):
    """Says what the library has to say to whoever runs it."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        self._terminal.say(record.getMessage(), level=record.levelname.lower(), **fields)


class Terminal:
    """Where a command talks to a person: ``with Terminal(verbose, quiet=quiet) as terminal``.

    With ``--log-format json`` it talks to a program, an object a line, of which the fields are
    seen by nobody else.

    Leaving it with an error prints that in one line and ends the command with its exit code.
    `on_interrupt` is the line for Ctrl-C, and may be set while the command runs.
    """

    def __init__(self, verbose: int, *, quiet: bool) -> None:
        self.verbose, self.quiet = verbose, quiet
        self.on_interrupt = "Stopped."
        self._json = logs.is_json()
        self._named: set[Skipped] = set()

    @property
    def shows_progress(self) -> bool:
        """Whether a person is watching."""
        return sys.stderr.isatty() and not (self.quiet or self._json)

    def say(self, line: str, *, level: str = "info", **fields: Any) -> None:
        """A message that -q silences."""
        if not self.quiet:
            typer.echo(logs.line(level, line, fields) if self._json else visible(line), err=True)

    def note(self, line: str, **fields: Any) -> None:
        """A message for programs alone, about what a person sees otherwise."""
        if self._json:
            self.say(line, **fields)

    def say_skipped(self, skipped: Sequence[Skipped]) -> None:
        """Name what was skipped, and why, each once; only the first ones without -v."""
        new = [item for item in skipped if item not in self._named]
        self._named.update(new)
        if self._json:
            for item in new:
                fields = {"event": "skipped", "path": item.path, "reason": item.reason}
                self.say(f"skipped {item.path}: {item.reason}", level="warning", **fields)
            return
        shown = len(new) if self.verbose else SKIPPED_SHOWN
        for item in new[:shown]:
            self.say(f"skipped {item.path}: {item.reason}")
        if len(new) > shown:
            self.say(f"… and {len(new) - shown} more; -v names them all")

    def __enter__(self) -> Terminal:
        messages = logging.getLogger("lookalike")
        messages.setLevel(logging.INFO)
        messages.propagate = False
        self._said = _Said(self)
        messages.addHandler(self._said)
        if self._json:  # it says something with -vv only
            logging.getLogger("uvicorn").addHandler(self._said)
        self._traces = traces.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._traces:
            traces.finish(self._traces)
        for name in ("lookalike", "uvicorn"):
            logging.getLogger(name).removeHandler(self._said)
        if isinstance(error, KeyboardInterrupt):
            self._fail(self.on_interrupt, INTERRUPTED, error)
        if (self.verbose > 1 and not self._json) or not isinstance(error, Exception):
            return
        if isinstance(error, LookalikeError):
            self._fail(str(error), WRONG if isinstance(error, _WRONG_USAGE) else FAILED, error)
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return
        if isinstance(error, OSError):
            self._fail(f"The system refused: {error}.", FAILED, error)
        if not isinstance(error, (typer.Exit, typer.Abort)):
            self._fail(
                f"Unexpected {type(error).__name__}: {error}. This is a fault in lookalike; "
                "run the command again with -vv to see where.",
                FAILED,
                error,
            )

    def _fail(self, line: str, code: int, error: BaseException) -> None:
        if self._json:
            fields = {"event": "failed", "error": type(error).__name__, "exit_code": code}
            if self.verbose > 1:
                fields["traceback"] = "".join(traceback.format_exception(error))
            typer.echo(logs.line("error", line, fields), err=True)
        else:
            typer.echo(f"lookalike: {visible(line)}", err=True)
        raise typer.Exit(code) from None
