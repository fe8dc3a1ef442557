"""``lookalike demo``: the main job on the packaged sample pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from lookalike.cli import progress, show
from lookalike.cli.contact_sheet import contact_sheet
from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.terminal import Terminal
from lookalike.index import Index

SAMPLES = Path(__file__).parents[1] / "samples"
QUESTION = SAMPLES / "flowers" / "daffodil.webp"


def demo(verbose: Verbose = 0, quiet: Quiet = False, version: Version = False) -> None:
    """Index the sample pictures, search with one of them, and make a page of the hits."""
    with (
        Terminal(verbose, quiet=quiet) as terminal,
        tempfile.TemporaryDirectory(prefix="lookalike-") as folder,
        Index.open(Path(folder) / "demo.db") as opened,
    ):
        with progress.shown([SAMPLES], terminal) as callback:
            report = opened.add(SAMPLES, on_progress=callback)
        hits = opened.search(QUESTION)
        page = Path(tempfile.mkdtemp(prefix="lookalike-demo-")) / "contact-sheet.html"
        sheet = contact_sheet(hits, title=QUESTION.name, pictures=[str(QUESTION)])
        page.write_text(sheet, encoding="utf-8")

        below = f"{SAMPLES.as_posix()}/"
        typer.echo(
            f"{report.added} sample pictures indexed in {report.seconds:.1f} s. "
            f"Most like {QUESTION.relative_to(SAMPLES).as_posix()}:"
        )
        show.print_table(hits, below=below)
        typer.echo(f"As pictures: {page}")
        terminal.say("Now yours: lookalike index FOLDER, then: lookalike search PICTURE")
