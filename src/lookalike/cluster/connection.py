"""Where a Ray cluster is, and what has to be said so that Ray keeps quiet."""

from __future__ import annotations

import logging
import socket
from typing import Any

from lookalike.errors import ClusterUnreachable, reason_of

AUTO, LOCAL = "auto", "local"
NO_CLIENT = (
    "Ray Data, which does the work, cannot be used over ray://; run the command on a machine of "
    "the cluster with --ray auto, or name HOST:PORT of its head"
)
CONNECT_S = 5.0


def connect(address: str) -> None:
    """Make this process a driver of the cluster, which it is until it ends.

    Args:
        address: ``auto`` for the cluster that this machine belongs to, ``HOST:PORT``, or ``local``
            for one on this machine that ends with this process.

    Raises:
        ClusterUnreachable: there is none.
    """
    # Imported here: Ray takes a second.
    import ray  # noqa: PLC0415
    from ray.exceptions import RayError  # noqa: PLC0415

    options: dict[str, Any] = {}
    if address == LOCAL:
        options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        causes = [reason_why(each) for each in (error, error.__cause__) if each]
        raise ClusterUnreachable(address, ": ".join(causes)) from error


def reach(address: str) -> None:
    """Raise `ClusterUnreachable` where nothing listens: Ray itself would try for a minute."""
    if address == LOCAL:
        return
    place = _of_this_machine() if address == AUTO else address
    if place.startswith("ray://"):
        raise ClusterUnreachable(place, NO_CLIENT)
    if not listening(place):
        raise ClusterUnreachable(place, "nothing listens there")


def _of_this_machine() -> str:
    """The address of the cluster that this machine belongs to, or that ``RAY_ADDRESS`` names."""
    # There is no public way. Imported here: as above.
    from ray._private.services import get_ray_address_from_environment  # noqa: PLC0415

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        return str(get_ray_address_from_environment(AUTO, None))
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterUnreachable(AUTO, "this machine belongs to none") from error


def reason_why(error: BaseException) -> str:
    """What Ray's errors say; with SystemExit it ends a driver that it cannot serve any more."""
    if isinstance(error, SystemExit):
        return "it has ended its connection"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and "ray::" in lines[0]:
        return lines[-1].rstrip(".")  # of a traceback
    if lines and lines[0].endswith(":"):
        return " ".join(lines).rstrip(".")
    return reason_of(error)


def listening(address: str) -> bool:
    """Whether anything listens at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False
