"""``--log-format json``: what a command says on stderr, as one JSON object a line."""

from __future__ import annotations

import contextlib
import datetime
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from enum import Enum
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

VARIABLE = "LOOKALIKE_LOG_FORMAT"
_NAME = "--log-format"


class LogFormat(str, Enum):
    """How messages are written."""

    text = "text"
    json = "json"


Option = Annotated[
    LogFormat,
    typer.Option(
        _NAME, envvar=VARIABLE, help="How messages are written on stderr; json is an object a line."
    ),
]

_chosen: ContextVar[LogFormat] = ContextVar("log_format", default=LogFormat.text)
_WrongUsage = cast("type[Exception]", typer.BadParameter.__mro__[1])  # typer hides its name


def is_json() -> bool:
    """Whether the command that runs was asked for JSON."""
    return _chosen.get() is LogFormat.json


def line(level: str, message: str, fields: Mapping[str, Any] | None = None) -> str:
    """One event: when, how bad, what it says, and what more there is to it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"time": time, "level": level, "message": message, **(fields or {})}
    # Names of files that are no UTF-8 stay as escapes.
    return json.dumps(event, default=str)


def with_log_format(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option, so that no command has to name it itself."""

    @functools.wraps(command)
    def run(*args: Any, log_format: LogFormat = LogFormat.text, **options: Any) -> None:
        with _choice(log_format):
            command(*args, **options)

    known = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "log_format", inspect.Parameter.KEYWORD_ONLY, default=LogFormat.text, annotation=Option
    )
    run.__signature__ = known.replace(  # type: ignore[attr-defined]
        parameters=[*known.parameters.values(), option]
    )
    return run


@contextlib.contextmanager
def _choice(log_format: LogFormat) -> Iterator[None]:
    before = _chosen.set(log_format)
    try:
        yield
    finally:
        _chosen.reset(before)


class Commands(TyperGroup):
    """All commands; also what is wrong with the options is an object, where that is asked for."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run one."""
        words = list(sys.argv[1:] if args is None else args)
        if not _asks_for_json(words):
            return super().main(args, *rest, **options)
        try:
            sys.exit(super().main(args, *rest, **{**options, "standalone_mode": False}) or 0)
        except _WrongUsage as error:
            _end(error.format_message(), error.exit_code)  # type: ignore[attr-defined]
        except typer.Abort:
            _end("Stopped.", 1)


def _asks_for_json(words: Sequence[str]) -> bool:
    chosen = os.environ.get(VARIABLE, "")
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == _NAME:
            chosen = following
        elif word.startswith(f"{_NAME}="):
            chosen = word.partition("=")[2]
    return chosen == LogFormat.json.value


def _end(message: str, code: int) -> NoReturn:
    typer.echo(line("error", message, {"event": "failed", "exit_code": code}), err=True)
    sys.exit(code)
