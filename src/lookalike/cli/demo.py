"""``lookalike demo``: the main job on the packaged sample pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli import progress, show
from lookalike.cli import serve as serving
from lookalike.cli.contact_sheet import contact_sheet
from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.terminal import Terminal
from lookalike.index import Index

SAMPLES = Path(__file__).parents[1] / "samples"
QUESTION = SAMPLES / "flowers" / "daffodil.webp"


def demo(
    serve: Annotated[
        bool, typer.Option("--serve", help="Show them on a page to search with, as serve does.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page; 0 is any that is free.")
    ] = 8077,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Index the sample pictures, search with one of them, and make a page of the hits."""
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        database = Path(folder) / "demo.db"
        with Terminal(verbose, quiet=quiet) as terminal, Index.open(database) as opened:
            with progress.shown([SAMPLES], terminal) as callback:
                report = opened.add(SAMPLES, on_progress=callback)
            said = f"{report.added} sample pictures indexed in {report.seconds:.1f} s."
            if serve:
                terminal.say(f"{said} Ctrl-C ends the server. Its address:")
            else:
                _search(opened, said)
                terminal.say("Now yours: lookalike index FOLDER, then: lookalike search PICTURE")
        if serve:
            serving.serve(
                port=port,
                open_page=True,
                root=[str(SAMPLES)],
                show_paths=True,
                db=str(database),
                verbose=verbose,
                quiet=quiet,
            )


def _search(index: Index, said: str) -> None:
    """Print what is most like one of the sample pictures, and make a page of it."""
    hits = index.search(QUESTION)
    page = Path(tempfile.mkdtemp(prefix="lookalike-demo-")) / "contact-sheet.html"
    sheet = contact_sheet(hits, title=QUESTION.name, pictures=[str(QUESTION)])
    page.write_text(sheet, encoding="utf-8")
    typer.echo(f"{said} Most like {QUESTION.relative_to(SAMPLES).as_posix()}:")
    show.print_table(hits, below=f"{SAMPLES.as_posix()}/")
    typer.echo(f"As pictures: {page}")
