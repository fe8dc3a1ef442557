"""``lookalike download-sample``: the pictures of Milvus's image search tutorial."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

import lookalike
from lookalike.cli.options import Quiet, Verbose, Version
from lookalike.cli.progress import SECONDS_BETWEEN_LINES
from lookalike.cli.show import readable_bytes
from lookalike.cli.terminal import Terminal, startup_done
from lookalike.errors import DownloadFailed
from lookalike.ingest.scan import Scan
from lookalike.records import DownloadProgress, ImageFile
from lookalike.sources.names import absolute

SAMPLE_URL = (
    "https://github.com/milvus-io/pymilvus-assets/releases/download/imagedata/"
    "reverse_image_search.zip"
)
FOLDERS = ("train", "test")
WORK = ".lookalike-download"  # in DEST, for what is not finished


def download_sample(
    dest: Annotated[
        Path,
        typer.Argument(
            metavar="DEST", help="The folder to put them into; it is made.", show_default=False
        ),
    ],
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Another zip file of the same layout.")
    ] = SAMPLE_URL,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    version: Version = False,
) -> None:
    """Fetch the sample pictures of Milvus's image search tutorial, a subset of ImageNet.

    They come to lie in DEST/train and DEST/test; nothing else in DEST is touched. Run it again
    after an interruption, and it goes on. No other command fetches anything.
    """
    with Terminal(verbose, quiet=quiet) as terminal:
        startup_done()
        dest = Path(absolute(dest))  # so that the commands printed can be run from anywhere
        terminal.on_interrupt = (
            "Stopped. What has arrived is kept; run the same command again to go on."
        )
        if all((dest / folder).is_dir() for folder in FOLDERS):
            terminal.say(f"{dest} has {' and '.join(FOLDERS)} already; nothing was fetched.")
        else:
            _fetch(url, dest, terminal)
        if not quiet:
            _print(dest)


def archive_path(dest: Path, url: str) -> Path:
    """Where the zip file lies until it is unpacked: one place for each address."""
    return dest / WORK / f"{hashlib.blake2b(url.encode(), digest_size=8).hexdigest()}.zip"


def _fetch(url: str, dest: Path, terminal: Terminal) -> None:
    # Imported here: a search waits for what this module imports.
    from lookalike.download import download  # noqa: PLC0415
    from lookalike.extract import extract  # noqa: PLC0415

    archive = archive_path(dest, url)
    # With the archive there, a run was ended after it had moved one folder into place.
    taken = [dest / folder for folder in FOLDERS if (dest / folder).exists()]
    if taken and not archive.exists():
        reason = f"{taken[0]} exists already and would be mixed up with it; name a new folder"
        raise DownloadFailed(url, reason)
    try:
        with _shown(terminal) as on_progress:
            user_agent = f"lookalike/{lookalike.__version__}"
            download(url, archive, user_agent=user_agent, on_progress=on_progress)
        extract(archive, dest, folders=FOLDERS, url=url)
        shutil.rmtree(archive.parent)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        reason = (
            f"the disk that holds {dest} is full; free some space and run the same command "
            "again to go on"
        )
        raise DownloadFailed(url, reason) from error
    finally:
        with contextlib.suppress(OSError):  # what can be gone on with stays
            archive.parent.rmdir()


def _print(dest: Path) -> None:
    pictures = {folder: _pictures(dest / folder) for folder in FOLDERS}
    counts = (f"{len(found)} in {dest / folder}" for folder, found in pictures.items())
    typer.echo(f"Pictures: {', '.join(counts)}. Next:")
    typer.echo(f"lookalike index {shlex.quote(str(dest / 'train'))} --model resnet34")
    for picture in pictures["test"][:1]:
        typer.echo(f"lookalike search {shlex.quote(picture)}")


def _pictures(folder: Path) -> list[str]:
    return [found.path for found in Scan([folder]) if isinstance(found, ImageFile)]


@contextlib.contextmanager
def _shown(terminal: Terminal) -> Iterator[Callable[[DownloadProgress], None]]:
    """A callback for `download` that shows what it is told."""
    if terminal.shows_progress:
        with _bar() as callback:
            yield callback
    else:
        yield _lines(terminal)


def _lines(terminal: Terminal) -> Callable[[DownloadProgress], None]:
    last = time.monotonic()

    def callback(progress: DownloadProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            total = f" of {readable_bytes(progress.total_bytes)}" if progress.total_bytes else ""
            terminal.say(f"{readable_bytes(progress.done_bytes)}{total} fetched")

    return callback


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[DownloadProgress], None]]:
    # Imported here: only a person needs it, and a search waits for what this module imports.
    from rich import progress as rich  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Fetching", total=None)

        def callback(progress: DownloadProgress) -> None:
            bar.update(task, completed=progress.done_bytes, total=progress.total_bytes)

        yield callback
