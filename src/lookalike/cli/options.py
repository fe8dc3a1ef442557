"""Options that several commands have."""

from __future__ import annotations

import dataclasses
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import lookalike
from lookalike.settings import Settings


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lookalike {lookalike.__version__}")
        raise typer.Exit


Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="PATH_OR_URI",
        envvar="LOOKALIKE_DB",
        help="The database: a path that ends in .db, or http://HOST:PORT of a Milvus server; else "
        "a local one in the folder for user data.",
        show_default=False,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="USER:PASSWORD",
        envvar="LOOKALIKE_TOKEN",
        help="Who asks, or an API key, for a server; better in the variable, others see options.",
        show_default=False,
    ),
]
Collection = Annotated[
    str, typer.Option(metavar="NAME", help="The collection within the database.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Say more; twice, also where an error is from.",
        show_default=False,
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but data and errors.")]
Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
]


class Metric(str, Enum):
    """How likeness is measured."""

    cosine = "cosine"
    ip = "ip"
    l2 = "l2"


class Report(str, Enum):
    """How a summary is printed."""

    text = "text"
    json = "json"


ReportFormat = Annotated[Report, typer.Option("--format", help="How to print the summary.")]

Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A model, see: lookalike models. Else that of the index; for a new one the packaged.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A checkpoint of that model, .safetensors or .pth, instead of its pretrained weights.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What runs the model: auto, cpu, cuda, cuda:1, mps.",
        show_default=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Its arithmetic: auto, fp32, bf16, int8 (calibrated on your pictures).",
        show_default=False,
    ),
]

FromFile = Annotated[
    typer.FileBinaryRead | None,
    typer.Option(
        "--from-file",
        metavar="FILE",
        help="Also what this list names, one a line or separated by NUL; - is stdin. What is "
        "missing is skipped.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Leave out what matches, as in .gitignore; may be given again. Files named "
        ".lookalikeignore say the same for their folder.",
        show_default=False,
    ),
]
AllFiles = Annotated[bool, typer.Option("--all-files", help="Try every file, whatever its name.")]
OneFileSystem = Annotated[
    bool, typer.Option("--one-file-system", help="Leave out folders on other file systems.")
]


def settings_with(*, device: str | None = None, precision: str | None = None) -> Settings:
    """The settings of the environment, with what was said on the command line."""
    settings = Settings.from_environment()
    return dataclasses.replace(
        settings, device=device or settings.device, precision=precision or settings.precision
    )
