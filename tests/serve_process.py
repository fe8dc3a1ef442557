"""Servers to be asked: one in a thread of the test, and ``lookalike serve`` in its own process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from lookalike.serve.running import Server, listen
from tests.forked import COMMAND, Lookalike


@contextlib.contextmanager
def answering(app: ASGIApp) -> Iterator[int]:
    """An application behind the real server's protocol; gives its port."""
    started = threading.Event()
    server = Server(app, threads=40, on_started=started.set, on_stop=lambda reason: None)
    with listen("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            assert started.wait(10)
            yield port
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@dataclass
class Command:
    """A running ``lookalike serve``."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Tell it to stop; its exit code, and what it has said after its address."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=40)[1]
        return self.process.returncode, said


@contextlib.contextmanager
def command(
    *options: str | Path, program: Sequence[str] = COMMAND[1:], **environment: str
) -> Iterator[Command]:
    """``lookalike serve`` with these options, at a port that is free; `program` stands for it."""
    words = [sys.executable, *program, "serve", "--port", "0", *map(str, options)]
    process = Lookalike(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stderr
        said = process.stderr.readline()
        assert re.fullmatch(r"http://\S+:\d+\n", said), said + process.communicate(timeout=20)[1]
        yield Command(process, said.strip())
    finally:
        process.kill()
        process.communicate()
