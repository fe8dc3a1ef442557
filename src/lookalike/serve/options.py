"""How a server is run: what `lookalike serve` was told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

HOST, PORT = "127.0.0.1", 8077


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What can be said about a server.

    `token` is what clients must show, where there is one. `allowed_hosts` are names besides its own
    under which it may be asked for. `roots` are absolute folders: what lies elsewhere is not
    indexed by request. With `show_paths` answers name the paths of pictures. With `allow_trash`
    duplicates can be put into the trash by request.
    `batch` questions at most go through the model and the database together.
    """

    host: str = HOST
    port: int = PORT
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    show_paths: bool = False
    allow_trash: bool = False
    batch: int = 16

    @property
    def is_private(self) -> bool:
        """Whether only programs on this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
