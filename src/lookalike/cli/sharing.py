"""Options of ``lookalike index`` that let several machines share the work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.store.address import address_of

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.ingest.work import Workers

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Let a Ray cluster do the work, against a Milvus server: auto, HOST:PORT, or local.",
        show_default=False,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Take care of the I-th of N equal parts of the pictures, and of nothing else.",
        show_default=False,
    ),
]


def shard_of(text: str | None) -> tuple[int, int] | None:
    """``2/4`` as (2, 4)."""
    if text is None:
        return None
    written = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if written is None or not 1 <= int(written[1]) <= int(written[2]):
        raise typer.BadParameter("it is I/N, with I from 1 to N: 2/4", param_hint="--shard")
    return int(written[1]), int(written[2])


def workers_at(
    address: str | None, *, db: str | None, token: str | None, weights: Path | None, device: str
) -> Workers | None:
    """The machines of a Ray cluster; None where none was named.

    Raises:
        InvalidSetting: the database is none that they can reach.
        ClusterUnreachable: there is no such cluster.
    """
    if address is None:
        return None
    # Imported here: it is rarely wanted.
    from lookalike.cluster import RayWorkers  # noqa: PLC0415

    RayWorkers.check(db)
    server = address_of(db or "", token)
    workers = RayWorkers(
        address, token=server.token if server else None, weights=weights, device=device
    )
    workers.reach()
    return workers
