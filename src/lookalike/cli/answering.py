"""Options of a search about its answer: which hits, from which pictures."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from lookalike.cli.terminal import Terminal
from lookalike.query.answer import Wanted

Offset = Annotated[
    int, typer.Option(min=0, metavar="N", help="Leave out the N best hits: the next page.")
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="FILTER",
        help="Only pictures of which this is true: 'width > 1000 and taken_at >= 2025-06-01', "
        '\'path under "~/Pictures/Italy"\', \'label in ["cat", "dog"]\'. All of it: '
        "docs/filters.md.",
        show_default=False,
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        metavar="X",
        help="Only hits with at least this score; at most, for the metric L2, a distance.",
        show_default=False,
    ),
]
Auto = Annotated[
    bool, typer.Option("--auto", help="Only hits that stand out from the rest of the index.")
]
Diverse = Annotated[
    bool, typer.Option("--diverse", help="Show nearly identical hits once, with their number.")
]


def said(wanted: Wanted) -> dict[str, Any]:
    """What was asked for, without what was left as it is by default."""
    by_default = dataclasses.asdict(Wanted())
    asked = dataclasses.asdict(wanted)
    return {
        name: value for name, value in asked.items() if name == "limit" or value != by_default[name]
    }


def say_nothing_found(terminal: Terminal, *, pictures: int, wanted: Wanted) -> None:
    """Say why there is no hit among so many pictures."""
    if not pictures:
        terminal.say("The index is empty; add pictures with: lookalike index FOLDER")
    elif wanted.offset:
        terminal.say(f"There are no more than the {wanted.offset} hits that --offset leaves out.")
    elif wanted.auto or wanted.min_score is not None:
        where = " among the pictures that --where lets through" if wanted.where else ""
        terminal.say(f"Nothing here looks like that{where}.")
    else:
        terminal.say("There is no picture that --where lets through.")
