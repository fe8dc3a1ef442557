"""How much each client may ask for."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from lookalike.serve.paths import HEALTH, OWNER, STATIC
from lookalike.serve.problems import Refused, answer_to

MOST_CLIENTS = 10_000
BURST_S = 15
THUMBNAIL_COST = 0.05  # a page of results asks for dozens of them


class Buckets:
    """For each client a bucket that fills by itself, and that each request takes from.

    Args:
        per_minute: what flows into each.
        burst: what each holds, and begins with.
        clock: the time in seconds.
        most: the number of clients that are remembered; of more, those seen last.
    """

    def __init__(
        self,
        *,
        per_minute: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_CLIENTS,
    ) -> None:
        self._per_s, self._burst, self._clock, self._most = per_minute / 60, burst, clock, most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._levels)

    def wait(self, client: str, amount: float = 1) -> float:
        """In how many seconds there will be so much; 0 is now."""
        return max(0.0, (amount - self._level(client)) / self._per_s)

    def take(self, client: str, amount: float = 1) -> float:
        """Take so much; if there is less, take nothing and say for how many seconds to wait."""
        level = self._level(client)
        if level < amount:
            return (amount - level) / self._per_s
        self._levels[client] = (level - amount, self._clock())
        self._levels.move_to_end(client)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return 0.0

    def _level(self, client: str) -> float:
        level, at = self._levels.get(client, (self._burst, self._clock()))
        return min(self._burst, level + (self._clock() - at) * self._per_s)


class RateLimit:
    """Refuses requests of clients that ask too often; `per_minute` 0 refuses none."""

    def __init__(self, app: ASGIApp, *, per_minute: int) -> None:
        self._app = app
        burst = max(1.0, per_minute * BURST_S / 60)
        self._buckets = Buckets(per_minute=per_minute, burst=burst) if per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._buckets is not None and (cost := _cost(scope["path"])):
            wait = self._buckets.take(client_of(scope), cost)
            if wait:
                await answer_to(too_many(wait))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def too_many(wait_s: float, message: str = "Too many requests; wait a little.") -> Refused:
    """What a client is told that must wait."""
    headers = {"Retry-After": str(max(1, math.ceil(wait_s)))}
    return Refused(429, "too_many_requests", message, headers=headers)


def client_of(scope: Scope) -> str:
    """Whose request it is: the address, or of IPv6 the network that one subscriber has."""
    host: str = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _cost(path: str) -> float:
    if path in HEALTH or path.startswith((STATIC, OWNER)):
        return 0
    return THUMBNAIL_COST if path.endswith("/thumbnail") else 1
