"""Starts ``python -m lookalike`` without its imports, which take most of a short command's time.

One process imports what commands need, and is forked for each of them. It has no index and no
model, and no threads but the idle ones of NumPy and Arrow, which are prepared for forks. What takes
very long to import it imports when a command seems to need it, or once one has done so. Whoever
starts a command is its parent, so it is waited for and gets signals as any other process: the one
between them is gone by then.

Run as a program, it is asked in JSON through the socket whose number is its argument.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

# Whatever else the environment says may have been read by what is imported already.
FREE = ("LOOKALIKE_", "XDG_", "HOME", "PYTEST_", "PWD", "AWS_", "TERM", "COLUMNS", "KITTY_")
IMPORTED = ("milvus_lite", "openvino", "pymilvus", "lookalike.cli.app", "lookalike.store.lite")
IMPORTED_ONCE_NEEDED = ("timm", "open_clip", "s3fs", "lookalike.serve.app")
IMPORTED_FOR = {
    "--search": ("timm", "open_clip"),
    "--model": ("timm",),
    "serve": ("lookalike.serve.app",),
}
COMMAND = [sys.executable, "-m", "lookalike"]
MESSAGE_BYTES = 1 << 17
SUBREAPER = 36


class Lookalike(subprocess.Popen[str]):
    """A ``Popen`` of a command line that begins with `COMMAND`.

    Of what a ``Popen`` may be told it takes streams, a folder, an environment, whether it is a new
    session, and `heed_permissions`. Where the environment is another one than the fork's in more
    than it may be, it is a new process.
    """

    def _execute_child(self, args: Any, *told: Any) -> None:
        # In the order of CPython's own; in 3.10 there is one less at the end.
        _, preexec_fn, _, _, folder, environment, _, _, shell, *rest = told
        read, _, _, write, _, error = rest[:6]
        is_session = rest[11]
        words = [*map(os.fspath, args)] if isinstance(args, list | tuple) else []
        variables = dict(os.environ if environment is None else environment)
        is_plain = words[:3] == COMMAND and not shell and preexec_fn in {None, heed_permissions}
        if not (is_plain and (server := ForkServer.running()).suits(variables)):
            super()._execute_child(args, *told)  # type: ignore[misc]
            return
        asked = {
            "words": words[3:],
            "environment": variables,
            "folder": os.path.abspath(folder or "."),  # noqa: PTH100
            "session": is_session,
            "heed": preexec_fn is heed_permissions,
        }
        ends = (read, write, error)
        self.pid = server.fork(asked, [own if end == -1 else end for own, end in enumerate(ends)])
        self._child_created = True
        self._close_pipe_fds(*rest[:6])  # type: ignore[attr-defined]


class ForkServer:
    """The process that is forked."""

    _one: ForkServer | None = None

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._asking = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(number)], pass_fds=[number]
            )

    @classmethod
    def running(cls) -> ForkServer:
        """The one of this process; it ends with it."""
        if cls._one is None:
            cls._one = cls()
        return cls._one

    @classmethod
    def end(cls) -> None:
        """End it; it has nothing to do any more."""
        if cls._one:
            cls._one._socket.close()
            cls._one._process.wait()
            cls._one = None

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a command in this environment would be as in a new process."""
        changed = dict(self._environment.items() ^ environment.items())
        return all(name.startswith(FREE) for name in changed)

    def fork(self, asked: Mapping[str, Any], streams: list[int]) -> int:
        """The process id of a new child of this process, with these as its 0, 1 and 2."""
        with self._asking:
            _set_subreaper(True)  # so that an orphan of the server's is ours
            try:
                socket.send_fds(self._socket, [json.dumps(asked).encode()], streams)
                return int(self._socket.recv(MESSAGE_BYTES))  # of nothing, where it has ended
            except BaseException:
                # What it has yet to say must not be taken for what it says of another command.
                self._process.kill()
                ForkServer.end()
                raise
            finally:
                _set_subreaper(False)


def _set_subreaper(whether: bool) -> None:
    if ctypes.CDLL(None).prctl(SUBREAPER, int(whether), 0, 0, 0):
        raise OSError("this system has no subreapers")


def heed_permissions() -> None:
    """Give up root's right to pass over the permissions of files, before an exec or without one."""
    pr_capbset_drop, dac_override, dac_read_search = 24, 1, 2
    libc = ctypes.CDLL(None)
    for capability in (dac_override, dac_read_search):
        libc.prctl(pr_capbset_drop, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the third version, of this process
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) == 0:
        for kind in (0, 1):  # effective, permitted
            sets[kind] &= ~(1 << dac_override | 1 << dac_read_search)
        libc.capset(header, sets)


class Noting:
    """Writes the names of what is imported and takes very long into a pipe; finds nothing."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in IMPORTED_ONCE_NEEDED:
            os.write(self._pipe, f"{name}\n".encode())


def _serve(own: socket.socket) -> tuple[Any, list[int]] | None:
    """What a command was asked with, in its process; None when no more are wanted."""
    for name in IMPORTED:
        __import__(name)
    needed, noted = os.pipe()
    os.set_blocking(needed, False)
    told, tell = os.pipe()
    while True:
        message, streams, *_ = socket.recv_fds(own, MESSAGE_BYTES, 3)
        if not message:
            return None
        asked = json.loads(message)
        names = [name for word in asked["words"] for name in IMPORTED_FOR.get(word, ())]
        with contextlib.suppress(BlockingIOError):
            names += os.read(needed, 1024).decode().split()
        for name in names:
            with contextlib.suppress(ImportError):
                __import__(name)
        if (between := os.fork()) == 0:
            if os.fork():
                os._exit(0)  # which leaves the command to who has asked for it
            if asked["session"]:
                os.setsid()
            os.write(tell, b"%d" % os.getpid())
            for number in (own.detach(), needed, told, tell):
                os.close(number)
            sys.meta_path.insert(0, Noting(noted))
            return asked, streams
        if os.waitpid(between, 0)[1]:
            return None
        own.send(os.read(told, 32))
        for stream in streams:
            os.close(stream)


def _become(asked: Any, streams: list[int]) -> None:
    """Be a new process as far as a command can tell."""
    if asked["heed"]:
        heed_permissions()
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["lookalike", *asked["words"]]


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, where others than tests are not to find anything
    if command := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _become(*command)
        runpy.run_module("lookalike", run_name="__main__", alter_sys=True)
