"""The connection to a Ray cluster, and what has to be said so that Ray keeps quiet."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

# Said before Ray is imported: it reports its use over the network else, and its core prints what
# is raised as well.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray
import ray.data

from lookalike.errors import ClusterUnreachable, reason_of

__all__ = ["OWN", "connected", "listening", "quiet", "ray", "reach"]

AUTO, LOCAL = "auto", "local"
NO_CLIENT = (
    "Ray Data, which does the work, cannot be used over ray://; run the command on a machine of "
    "the cluster with --ray auto, or name HOST:PORT of its head"
)
CONNECT_S = 5.0
# What the names of threads begin with that ask Ray's core: ours, and Ray Data's.
OWN = "lookalike-ray"
_left_open = threading.Event()
ASKING = (OWN, "StreamingExecutor", "ray-data-metadata-prefetch")


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster; if this program is one already, of the one that it has chosen.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``HOST:PORT``, or ``local``
            for one on this machine that ends with the run.

    Raises:
        ClusterUnreachable: there is none.
    """
    reach(address)
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {}
    if address == LOCAL:
        options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    with _unprinted():
        with _signals_kept(), _core_unheard():
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
            except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
                raise ClusterUnreachable(address, reason_of(error)) from error
        try:
            yield
        finally:
            _left_open.set()
            _disconnect()


def _disconnect() -> None:
    """End our connection, which is left open as long as anything asks Ray.

    Ray ends the process, without a word, when it is asked anything after that.
    """
    if _left_open.is_set() and quiet(0):
        ray.shutdown()
        _left_open.clear()


def quiet(within_s: float) -> bool:
    """Whether no thread asks Ray any more; they are waited for."""
    until = time.monotonic() + within_s
    asking = [thread for thread in threading.enumerate() if thread.name.startswith(ASKING)]
    for thread in asking:
        thread.join(max(0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in asking)


def reach(address: str) -> None:
    """Raise `ClusterUnreachable` where nothing can be used: Ray itself would try for a minute."""
    _disconnect()
    # Of a client, too, it says that it is initialized.
    if ray.util.client.ray.is_connected():
        raise ClusterUnreachable(address, NO_CLIENT)
    if address == LOCAL or ray.is_initialized():
        return
    place = _of_this_machine() if address == AUTO else address
    if place.startswith("ray://"):
        raise ClusterUnreachable(place, NO_CLIENT)
    if not listening(place):
        raise ClusterUnreachable(place, "nothing listens there")


def _of_this_machine() -> str:
    """The address of the cluster that this machine belongs to, or that ``RAY_ADDRESS`` names."""
    # There is no public way.
    from ray._private.services import get_ray_address_from_environment  # noqa: PLC0415

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        return str(get_ray_address_from_environment(AUTO, None))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterUnreachable(AUTO, "this machine belongs to none") from error


def listening(address: str) -> bool:
    """Whether anything listens at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False


@contextlib.contextmanager
def _core_unheard() -> Iterator[None]:
    """Ray's core says on stderr itself that it has been told to say nothing."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which is a Ctrl-C here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _unprinted() -> Iterator[None]:
    """What goes wrong is raised; Ray prints it as well, and what it does about it, on stdout."""
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # There is no public way.
    from ray._private import worker  # noqa: PLC0415

    kept = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *args, **options: None
    try:
        yield
    finally:
        worker.print_to_stdstream = kept
