"""Nothing leaves the machine, and nothing heavy is loaded unasked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "timm", "openvino", "pymilvus", "milvus_lite", "fastapi", "ray", "pandas",
         "fsspec", "s3fs", "aiohttp", "pathspec"}  # fmt: skip

# Runs its arguments in a network of its own that consists of the loopback interface, and prints
# how many packets were meant for elsewhere: those without a route, and all UDP (look-ups of
# names go to wherever resolv.conf says, which may be loopback).
ISOLATED = """
import ctypes, fcntl, os, re, socket, struct, subprocess, sys
if ctypes.CDLL(None).unshare(0x40000000):  # CLONE_NEWNET
    sys.exit("no network namespaces")
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
def counters(path):
    rows = [line.split() for line in open(path)]
    return {f"{names[0]}{name}": int(value) for names, values in zip(rows[::2], rows[1::2])
            for name, value in zip(names[1:], values[1:])}
seen = counters("/proc/net/snmp")
seen6 = dict(line.split() for line in open("/proc/net/snmp6"))
print(done.returncode, seen["Ip:OutNoRoutes"] + seen["Udp:OutDatagrams"]
      + int(seen6["Ip6OutNoRoutes"]) + int(seen6["Udp6OutDatagrams"]))
"""


def isolated(*command: str | Path) -> tuple[int, int]:
    """The exit code of a command without network, and its attempts to reach one."""
    done = subprocess.run(
        [sys.executable, "-c", ISOLATED, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "no network namespaces" in done.stderr:
        pytest.skip("this machine does not allow network namespaces")
    code, attempts = done.stdout.split()
    return int(code), int(attempts)


def loaded_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_count_sees_connections_and_look_ups() -> None:
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    look_up = "import socket; socket.getaddrinfo('example.org', 80)"
    for script in (connect, look_up):
        code, attempts = isolated(sys.executable, "-c", script)
        assert code == 1
        assert attempts > 0


def test_index_and_search_try_to_reach_nothing(photos: Path, tmp_path: Path) -> None:
    for command in (("index", photos), ("search", photos / "birds" / "crow.jpg")):
        database = ("--db", tmp_path / "photos.db")
        assert isolated(sys.executable, "-m", "lookalike", *command, *database) == (0, 0)


def test_openvino_is_loaded_without_its_telemetry() -> None:
    loaded = loaded_by("import lookalike; lookalike.load_embedder().load()")
    assert "openvino" in loaded
    module = "sys.modules['openvino.tools.ovc.telemetry_utils'].tm.__name__"
    script = f"import lookalike, sys; lookalike.load_embedder().load(); print({module})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_importing_lookalike_loads_nothing_heavy() -> None:
    assert not loaded_by("import lookalike") & HEAVY
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import lookalike"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(re.findall(r"\| +(\w+)", done.stderr))
    assert "lookalike" in imported
    assert not imported & HEAVY


def test_a_search_needs_no_pytorch(photos: Path, tmp_path: Path) -> None:
    script = f"""
import sys
for name in ("torch", "torchvision", "timm"):
    sys.modules[name] = None
from lookalike import Index
with Index.open({str(tmp_path / "photos.db")!r}) as index:
    index.add({str(photos)!r})
    assert len(index.search({str(photos / "birds" / "crow.jpg")!r})) == 10
"""
    subprocess.run([sys.executable, "-c", script], check=True)
