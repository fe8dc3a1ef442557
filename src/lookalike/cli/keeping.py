"""Options about how a collection is kept on a Milvus server, and whose rows are meant."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from lookalike.store.design import CollectionDesign


class ProfileName(str, Enum):
    """What a collection is for."""

    small = "small"
    balanced = "balanced"
    compact = "compact"
    disk = "disk"
    gpu = "gpu"


class VectorsName(str, Enum):
    """How vectors are stored."""

    float32 = "float32"
    float16 = "float16"


class ConsistencyName(str, Enum):
    """What searches wait for."""

    session = "session"
    strong = "strong"
    bounded = "bounded"
    eventually = "eventually"


PANEL = "On a Milvus server (docs/servers.md)"

Tenant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="LOOKALIKE_TENANT",
        help="Whose pictures are meant, in a collection that several share.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="The share of the 10 nearest that an approximate index shall find, 0.95 say.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Profile = Annotated[
    ProfileName | None,
    typer.Option(
        help="What a new collection is for: small is exact, the others are faster or smaller.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
IndexType = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Milvus's name of an index type, instead of a profile.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
IndexParams = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        help='Its parameters: \'{"M": 32, "efConstruction": 400}\'.',
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Vectors = Annotated[
    VectorsName | None,
    typer.Option(
        help="How a new collection stores vectors; else float32.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Copies in the memory of query nodes; else 1.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Mmap = Annotated[
    bool,
    typer.Option(
        "--mmap", help="Map files into memory in place of reading them.", rich_help_panel=PANEL
    ),
]
Consistency = Annotated[
    ConsistencyName | None,
    typer.Option(
        help="What searches wait for; else session, all that this process has written.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]


def design_of(
    profile: ProfileName | None,
    *,
    index_type: str | None = None,
    index_params: str | None = None,
    vectors: VectorsName | None = None,
    replicas: int | None = None,
    mmap: bool = False,
    consistency: ConsistencyName | None = None,
) -> CollectionDesign | None:
    """What the options say; None where none was given."""
    given = (profile, index_type, index_params, vectors, replicas, consistency)
    if not mmap and all(option is None for option in given):
        return None
    return CollectionDesign.of(
        profile and profile.value,
        index_type=index_type,
        index_params=index_params,
        vectors=vectors and vectors.value,
        replicas=replicas,
        mmap=mmap,
        consistency=consistency and consistency.value,
    )
