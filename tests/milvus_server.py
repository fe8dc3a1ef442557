"""The real Milvus server in a process of its own, reached through one port of 127.0.0.1.

It binds all interfaces and nothing can configure that, so it runs in a network namespace that has
nothing but loopback, and this module, run as a program, forwards a port into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

AVAILABLE = platform.system() == "Linux" and platform.machine() == "x86_64"
TOKEN = "root:Milvus"  # what a new server begins with
INNER_PORT = 19530
NO_NAMESPACE = 77


class ServerAddress:
    """Where a server is, on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.uri = f"http://127.0.0.1:{port}"


class MilvusServer(ServerAddress):
    """A server whose rows lie in `folder`; `start` after `kill` brings it back on its port."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            super().__init__(free.getsockname()[1])
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._pid = 0

    def start(self, *, ends_with: int = subprocess.PIPE) -> bool:
        """Start it and wait until it answers; False where the system gives it no namespace.

        It ends when nobody can write to `ends_with` any more, its folder with it.
        """
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._folder), str(self.port)],
            stdin=ends_with,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout
        said = self._process.stdout.readline()
        if not said:
            assert self._process.wait() == NO_NAMESPACE, "the Milvus server did not start"
            return False
        self._pid = int(said)
        return True

    @property
    def running(self) -> bool:
        """Whether it was started, and not killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process of Milvus itself."""
        return self._pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to Milvus alone; what forwards the port goes on."""
        os.kill(self._pid, number)

    def let_go(self) -> None:
        """Leave its end to those who share it."""
        assert self._process
        assert self._process.stdout
        self._process.stdout.close()
        self._process.returncode = 0  # or Python would warn that it still runs
        self._process = None

    def kill(self) -> None:
        """End everything at once: nothing listens on the port afterwards."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None


def _enter_namespace() -> None:
    """From here on new sockets of this process, and of its children, are in a network of their own.

    A user namespace gives the right to that where this is not root.
    """
    new_user, new_net = 0x10000000, 0x40000000
    libc = ctypes.CDLL(None)
    if libc.unshare(new_net) and libc.unshare(new_user | new_net):
        sys.exit(NO_NAMESPACE)
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def _start_milvus(folder: str) -> Any:
    from milvus import MilvusServer as Packaged  # noqa: PLC0415

    server = Packaged()
    server.set_base_dir(folder)
    roles = ("proxy", "rootCoord", "queryCoord", "queryNode", "indexCoord", "indexNode")
    for role in (*roles, "dataCoord", "dataNode"):
        server.config.set(f"{role}.ip", "127.0.0.1")
    server.config.set("common.security.authorizationEnabled", "true")
    # A killed one is back when its former self's lease has expired, by default after 30 s.
    server.config.set("common.session.ttl", 10)
    server.start()
    return server


async def _forward(listener: socket.socket) -> None:
    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner = await asyncio.open_connection("127.0.0.1", INNER_PORT)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    async with await asyncio.start_server(relay, sock=listener) as forwarder:
        await forwarder.serve_forever()


def shared_server(folder: Path) -> tuple[ServerAddress, int] | None:
    """The server that all processes with this folder share, started by the first of them.

    Returns:
        Its address, and what keeps it running while this process has it open; None where the
        system gives it no namespace.
    """
    users, port = folder / "milvus-users", folder / "milvus-port"
    with (folder / "milvus-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # nobody reads it where none runs
            use = os.open(users, os.O_WRONLY | os.O_NONBLOCK)
            return ServerAddress(int(port.read_text())), use
        users.unlink(missing_ok=True)
        os.mkfifo(users)
        use = os.open(users, os.O_RDWR)
        data = folder / "milvus-data"
        data.mkdir()
        server = MilvusServer(data)
        ends_with = os.open(users, os.O_RDONLY)
        started = server.start(ends_with=ends_with)
        os.close(ends_with)
        if started:
            server.let_go()
            port.write_text(str(server.port))
            return server, use
        os.close(use)
        return None


def _end_with_parents(milvus: int) -> None:
    sys.stdin.read()
    os.kill(milvus, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)  # half a gigabyte
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    outer = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    _enter_namespace()
    running = _start_milvus(sys.argv[1])
    pid = running.server_proc.pid
    threading.Thread(target=_end_with_parents, args=[pid], daemon=True).start()
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    asyncio.run(_forward(outer))
