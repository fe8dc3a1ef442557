"""Runs commands as ``python -m lookalike`` does, each in a process of its own, without its imports.

Importing takes most of a short command's time, and is the same each time. So one process imports
what commands need, and is forked for each of them. It has no index and no model, and no threads but
the idle ones of NumPy and Arrow, which are prepared for forks. What takes very long to import it
imports once a command has done so.

Run as a program, it reads a line of JSON for each command and writes two: its process id, and how
it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Whatever else the environment says may have been read by what is imported already.
FREE = ("LOOKALIKE_", "XDG_", "HOME", "PYTEST_", "PWD", "AWS_", "TERM", "KITTY_")
IMPORTED = ("milvus_lite", "openvino", "pymilvus", "lookalike.cli.app", "lookalike.store.lite")
IMPORTED_ONCE_NEEDED = ("timm", "open_clip", "s3fs")


class CommandServer:
    """Starts commands. Where one finds another environment, `suits` is false."""

    def __init__(self, folder: Path, before: Callable[[], None]) -> None:
        """Start it.

        Args:
            folder: where commands' input and output lie meanwhile.
            before: what is called in the process that is forked, before its imports.
        """
        self._folder, self._before = folder, before
        self._environment = dict(os.environ)
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that what `select` does not see is not there
            env=self._environment,
            preexec_fn=self._before,  # noqa: PLW1509
        )

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a command in this environment would be as in a new process."""
        changed = dict(self._environment.items() ^ environment.items())
        return all(name.startswith(FREE) for name in changed)

    def run(
        self, args: list[str], *, stdin: str, environment: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str, str]:
        """The exit code of a command, negative after a signal, and what it wrote.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed.
        """
        files = [self._folder / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        asked = {
            "args": args,
            "environment": dict(environment),
            "folder": str(Path.cwd()),
            "files": [str(file) for file in files],
        }
        try:
            code = self._run(asked, timeout_s)
        except subprocess.TimeoutExpired:
            raise
        except BaseException:
            # What it has yet to say must not be taken for what it says of another command.
            self._process.kill()
            self._process.communicate()
            self._process = self._started()
            raise
        out, err = (file.read_text() for file in files[1:])
        return code, out, err

    def _run(self, asked: Mapping[str, Any], timeout_s: float) -> int:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = int(self._process.stdout.readline())
        assert pid > 1
        is_late = not select.select([self._process.stdout], [], [], timeout_s)[0]
        if is_late:
            os.kill(pid, signal.SIGKILL)
        code = int(self._process.stdout.readline())
        if is_late:
            raise subprocess.TimeoutExpired(asked["args"], timeout_s)
        return code

    def close(self) -> None:
        """End it; it has nothing to do any more."""
        self._process.communicate()


class Noting:
    """Writes the names of what is imported and takes very long into a pipe; finds nothing."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in IMPORTED_ONCE_NEEDED:
            os.write(self._pipe, f"{name}\n".encode())


def _serve() -> Any:
    """What a command was asked with, in its process; None when no more are wanted."""
    for name in IMPORTED:
        __import__(name)
    needed, noted = os.pipe()
    os.set_blocking(needed, False)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(needed)
            sys.meta_path.insert(0, Noting(noted))
            return json.loads(line)
        os.write(1, b"%d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BlockingIOError):
            for name in os.read(needed, 1024).decode().split():
                __import__(name)
        os.write(1, b"%d\n" % code)
    return None


def _become(asked: Any) -> None:
    """Be a new process as far as a command can tell."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, name in enumerate(asked["files"]):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["lookalike", *asked["args"]]


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where others than tests are not to find anything
    if command := _serve():
        _become(command)
        runpy.run_module("lookalike", run_name="__main__", alter_sys=True)
