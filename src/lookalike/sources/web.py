"""A picture from an address that somebody asks with, who may not be the one who runs this.

Only public addresses are asked, so that nobody reaches through this program what only its own
network can. It is the IP address behind a name which is looked at, at each redirect again, and the
connection is made to that very one: the name may stand for another a moment later. Proxies that
the environment names are not used, for they would look the name up themselves.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from lookalike.errors import InvalidQuestion, PictureUnreadable, reason_of
from lookalike.sources.local import too_large
from lookalike.sources.names import without_secrets

MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 16

_REDIRECTS = (301, 302, 303, 307, 308)
# Not all versions of Python know these: for protocols, and for documents.
_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv6Network("3fff::/20"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HEADERS = {"User-Agent": "lookalike (image similarity search)", "Accept": "image/*, */*;q=0.5",
            "Accept-Encoding": "identity", "Connection": "close"}  # fmt: skip
_HINT = "LOOKALIKE_ALLOW_PRIVATE_URLS=1 allows it"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes: the parts of an address, checked."""

    url: str
    tls: bool
    host: str
    port: int
    named: str  # host and port, as the server is told
    target: str


def fetch(url: str, *, max_bytes: int, timeout_s: float, allow_private: bool = False) -> bytes:
    """The bytes at an http or https address; whether they are a picture is for others to see.

    Args:
        url: it may redirect, but not from https to http.
        max_bytes: more are not taken.
        timeout_s: how long it may take, redirects included; the system's look-up of names has a
            limit of its own.
        allow_private: also ask addresses that are not public.

    Raises:
        InvalidQuestion: the address, or one that it leads to, is none that is asked.
        PictureUnreadable: there was no answer, an error, too much or too slow a one.
    """
    until = time.monotonic() + timeout_s
    place = _place(url)
    for _ in range(MAX_REDIRECTS + 1):
        addresses = _addresses(place, allow_private=allow_private)
        found = _Request(place, until, timeout_s).answer(addresses, max_bytes)
        if isinstance(found, bytes):
            return found
        following = _place(found, seen_from=place.url)
        if place.tls and not following.tls:
            raise InvalidQuestion(
                f"{_shown(url)} leads from https to http: {_shown(following.url)}, which is not "
                "followed."
            )
        place = following
    raise PictureUnreadable(_shown(url), f"it redirects more than {MAX_REDIRECTS} times")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, also where it stands inside an IPv6 one."""
    ip = _inner(ipaddress.ip_address(address.partition("%")[0]))
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _SPECIAL)
    return ip.is_global and not (special or site_local)


def _inner(ip: _Address) -> _Address:
    """The IPv4 address that packets to an IPv6 one come to, where it is of such a kind."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)


def _place(url: str, *, seen_from: str = "") -> _Place:
    """The parts of an address; raises `InvalidQuestion`."""
    try:
        url = urljoin(seen_from, url)
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        ascii_host = host if ":" in host else host.encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise InvalidQuestion(f"{_shown(url)} is no address ({reason_of(error)}).") from error
    if parts.scheme not in ("http", "https"):
        kind = f"begins with {parts.scheme}:" if parts.scheme else "has no scheme"
        raise InvalidQuestion(f"{_shown(url)} {kind}; only http and https addresses are asked.")
    if not host:
        raise InvalidQuestion(f"{_shown(url)} names no host.")
    if parts.username is not None or parts.password is not None:
        raise InvalidQuestion(
            f"{_shown(url)} has a name or password in it; fetch the picture yourself and ask with "
            "the file."
        )
    tls = parts.scheme == "https"
    named = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    usual = 443 if tls else 80
    if port not in (None, usual):
        named += f":{port}"
    return _Place(url, tls, ascii_host, port or usual, named, _target(parts))


def _target(parts: SplitResult) -> str:
    """Path and query, with what may not stand there escaped and what is escaped left so."""
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{target}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else target


def _addresses(place: _Place, *, allow_private: bool) -> list[str]:
    """The IP addresses of a host; one that is not public makes it suspicious as a whole."""
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = f"the host {place.host} is not known ({reason_of(error)})"
        raise PictureUnreadable(_shown(place.url), reason) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [address for address in addresses if not is_public(address)]
    if private and not allow_private:
        meant = "" if private[0] == place.host else f" ({private[0]})"
        raise InvalidQuestion(
            f"{_shown(place.url)} is not asked: {place.host}{meant} is no public address. {_HINT}"
        )
    return addresses


def _shown(url: str) -> str:
    return without_secrets(url)


class _Request:
    """One request to one place, which ends in time whatever the server does."""

    def __init__(self, place: _Place, until: float, timeout_s: float) -> None:
        self._place, self._until, self._timeout_s = place, until, timeout_s
        self._socket: socket.socket | None = None
        self._is_late = False

    def answer(self, addresses: list[str], max_bytes: int) -> bytes | str:
        """The bytes, or where they are instead."""
        # Each wait for the server has a limit, but a server may send one byte in each.
        alarm = threading.Timer(max(self._left(), 0), self._stop)
        alarm.daemon = True
        alarm.start()
        try:
            return self._asked(addresses, max_bytes)
        except PictureUnreadable:
            if self._is_late:
                raise self._late() from None
            raise
        except TimeoutError:
            raise self._late() from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._is_late:
                raise self._late() from None
            raise self._unreadable(f"it cannot be read ({reason_of(error)})") from error
        finally:
            alarm.cancel()
            if self._socket:
                self._socket.close()

    def _asked(self, addresses: list[str], max_bytes: int) -> bytes | str:
        connection = http.client.HTTPConnection(self._place.host, self._place.port)
        connection.auto_open = 0  # It would look the name up again.
        connection.sock = self._connected(addresses)
        headers = {"Host": self._place.named, **_HEADERS}
        connection.request("GET", self._place.target, headers=headers)
        with connection.getresponse() as response:
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location:
                return location
            if response.status != HTTPStatus.OK:
                said = f"{response.status} {response.reason}".strip()
                raise self._unreadable(f"the server answers {said}")
            stated = response.length
            if stated is not None and stated > max_bytes:
                raise self._unreadable(too_large(stated, max_bytes))
            data = self._body(response.read1, max_bytes)
        if self._is_late or (stated is not None and len(data) < stated):
            raise self._unreadable("the connection broke off")
        return data

    def _body(self, read: Callable[[int], bytes], max_bytes: int) -> bytes:
        data = bytearray()
        while chunk := read(CHUNK_BYTES):
            data += chunk
            if len(data) > max_bytes:
                raise self._unreadable(too_large(len(data), max_bytes))
        return bytes(data)

    def _connected(self, addresses: list[str]) -> socket.socket:
        """A connection to the first of the addresses that takes one."""
        failure: OSError = OSError("it has no address")
        for rest, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share_s = self._left() / rest
            if share_s <= 0:
                raise TimeoutError
            try:
                self._socket = socket.create_connection((address, self._place.port), share_s)
                break
            except OSError as error:
                failure = error
        if not self._socket:
            raise failure
        self._socket.settimeout(max(self._left(), 0.001))
        if not self._place.tls:
            return self._socket
        wrapped = ssl.create_default_context().wrap_socket(
            self._socket, server_hostname=self._place.host, do_handshake_on_connect=False
        )
        self._socket = wrapped
        if self._is_late:  # since when nobody would wake this thread up
            raise TimeoutError
        wrapped.do_handshake()
        return wrapped

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _stop(self) -> None:
        """Wake up whoever waits for the server."""
        self._is_late = True
        if self._socket:
            with suppress(OSError):
                # Of the class below TLS: its own would pull the ground from under who reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _late(self) -> PictureUnreadable:
        return self._unreadable(
            f"there was no whole answer within {self._timeout_s:g} s (LOOKALIKE_MAX_SECONDS)"
        )

    def _unreadable(self, reason: str) -> PictureUnreadable:
        return PictureUnreadable(_shown(self._place.url), reason)
