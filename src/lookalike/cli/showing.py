"""How the answer to a search is shown: its form, where it goes, pictures, files of the hits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import show
from lookalike.cli.show import HitFormat
from lookalike.cli.terminal import Terminal, visible
from lookalike.records import Hit

if TYPE_CHECKING:
    from lookalike.cli.thumbnails import Shown
    from lookalike.index import Index


class Pictures(str, Enum):
    """Whether pictures are shown at the terminal, and how."""

    auto = "auto"
    never = "never"
    kitty = "kitty"
    iterm = "iterm"
    sixel = "sixel"


Format = Annotated[
    HitFormat | None,
    typer.Option("--format", help="How to print the hits; by default a table.", show_default=False),
]
Null = Annotated[bool, typer.Option("--null", "-0", help="End each path with NUL, for xargs -0.")]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where the hits are written, instead of stdout.",
        show_default=False,
        dir_okay=False,
        writable=True,
    ),
]
Open = Annotated[
    bool, typer.Option("--open", help="Open the hits as a page in the browser (--format html).")
]
TerminalPictures = Annotated[
    Pictures,
    typer.Option(
        "--pictures", help="Thumbnails at the terminal; auto: where it is known to show them."
    ),
]
CopyTo = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Also copy the hits there, best first.", show_default=False
    ),
]
LinkTo = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Also make links to the hits there.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what was found.

    `query` is the question as JSON says it, `title` in words; `pictures` are those that it was
    asked with, each its name or itself.
    """

    query: dict[str, Any]
    title: str
    pictures: Sequence[Shown]
    hits: Sequence[Hit]
    seconds: float


@dataclass(frozen=True, slots=True)
class Output:
    """What was said about how an answer is shown."""

    form: HitFormat
    null: bool
    file: Path | None
    open: bool
    pictures: Pictures
    copy_to: Path | None
    link_to: Path | None

    @classmethod
    def asked(
        cls,
        form: HitFormat | None,
        *,
        null: bool,
        file: Path | None,
        open: bool,  # noqa: A002
        pictures: Pictures,
        copy_to: Path | None,
        link_to: Path | None,
    ) -> Output:
        """Check the options before any work is done.

        Raises:
            typer.BadParameter: they do not go together, or cannot be followed.
        """
        form = form or (HitFormat.html if open else HitFormat.table)
        if open and form is not HitFormat.html:
            raise typer.BadParameter("only --format html can be opened", param_hint="--open")
        if null and form is not HitFormat.paths:
            raise typer.BadParameter("only --format paths can end with NUL", param_hint="--null")
        if file and not file.absolute().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {file.parent}", param_hint="--output")
        for folder, option in ((copy_to, "--copy-to"), (link_to, "--link-to")):
            if folder and folder.exists() and not folder.is_dir():
                raise typer.BadParameter(f"{folder} is no folder", param_hint=option)
        return cls(form, null, file, open, pictures, copy_to, link_to)

    def show(self, answer: Answer, index: Index, terminal: Terminal) -> None:
        """Print, write or open the answer, and collect the files of its hits."""
        file = self.file
        if file is None and self.form is HitFormat.html and (self.open or _watched()):
            file = Path(tempfile.mkdtemp(prefix="lookalike-")) / "hits.html"
        if file:
            file.write_bytes(self._text(answer, index).encode())
            terminal.say(f"{len(answer.hits)} hits in {file}")
        elif self.form is HitFormat.table:
            self._print_table(answer.hits)
        else:
            text = self._text(answer, index)
            if self.form is HitFormat.paths and not self.null and _watched():
                text = "".join(f"{visible(hit.path)}\n" for hit in answer.hits)
            if self.form is HitFormat.csv and _watched():
                text = "".join(f"{visible(line)}\n" for line in text.splitlines())
            # Bytes, because Windows would write other line ends.
            typer.echo(text.encode(), nl=False)
        if file and self.open:
            _browse(file, terminal)
        self._collect(answer.hits, terminal)

    def _text(self, answer: Answer, index: Index) -> str:
        hits = answer.hits
        match self.form:
            case HitFormat.json:
                model = index.info().model
                return show.as_json(answer.query, model, hits, answer.seconds) + "\n"
            case HitFormat.jsonl:
                return show.as_jsonl(hits)
            case HitFormat.csv:
                return show.as_csv(hits)
            case HitFormat.paths:
                return show.as_paths(hits, end="\0" if self.null else "\n")
            case HitFormat.html:
                # Imported here, as all that follows: a table is there sooner without.
                from lookalike.cli.contact_sheet import contact_sheet  # noqa: PLC0415

                metric = index.info().metric
                return contact_sheet(
                    hits, title=answer.title, pictures=answer.pictures, metric=metric
                )
            case HitFormat.table:
                return show.as_table(hits)

    def _print_table(self, hits: Sequence[Hit]) -> None:
        show.print_table(hits)
        if not hits or self.pictures is Pictures.never:
            return
        if self.pictures is Pictures.auto and not _watched():
            return
        from lookalike.cli import terminal_pictures  # noqa: PLC0415

        if self.pictures is Pictures.auto:
            protocol = terminal_pictures.here()
        else:
            protocol = terminal_pictures.Protocol(self.pictures.value)
        if protocol:
            typer.echo(terminal_pictures.strips(hits, protocol).encode(), nl=False)

    def _collect(self, hits: Sequence[Hit], terminal: Terminal) -> None:
        if not (self.copy_to or self.link_to):
            return
        from lookalike.cli import collect  # noqa: PLC0415

        for folder, put, done in (
            (self.copy_to, collect.copy, "copied"),
            (self.link_to, collect.link, "linked"),
        ):
            if folder:
                collected = put(hits, folder)
                for item in collected.left_out:
                    terminal.say(f"not {done}: {item.path}: {item.reason}")
                terminal.say(f"{collected.done} of {len(hits)} hits {done} to {folder}")


def _watched() -> bool:
    return sys.stdout.isatty()


def _browse(file: Path, terminal: Terminal) -> None:
    import webbrowser  # noqa: PLC0415 - takes 20 ms, and is rarely needed

    if not webbrowser.open(file.absolute().as_uri()):
        terminal.say(f"No browser could be started; open this yourself: {file}")
