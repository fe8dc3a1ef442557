"""Thumbnails at a terminal, where it can show pictures.

- kitty's graphics protocol: https://sw.kovidgoyal.net/kitty/graphics-protocol
- iTerm2's inline images: https://iterm2.com/documentation-images.html
- sixel, of DEC's VT340: https://vt100.net/docs/vt3xx-gp/chapter14.html

Which one a terminal knows is taken from the environment: asking it would mean reading what a person
types. Within tmux and screen there are none, for these keep pictures to themselves.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import struct
import sys
from collections.abc import Mapping, Sequence
from enum import Enum

import numpy as np
from PIL import Image

from lookalike.cli.thumbnails import Thumbnails
from lookalike.errors import PictureError
from lookalike.records import Hit

SIDE = 160  # pixels; a PNG of that has at most 100 kB
MOST = 20  # hits that are shown so
COLUMNS, ROWS = 14, 7  # of characters, which are about twice as high as wide
GAP = 1
KITTY_CHUNK = 4096
SIXEL_COLOURS = 128
CELL = (8, 16)  # pixels of a character, where the terminal does not tell


class Protocol(str, Enum):
    """How pictures are put onto a terminal."""

    kitty = "kitty"
    iterm = "iterm"
    sixel = "sixel"


_PROGRAMS = {
    "ghostty": Protocol.kitty,
    "iTerm.app": Protocol.iterm,
    "WezTerm": Protocol.iterm,
    "mintty": Protocol.iterm,
    "contour": Protocol.sixel,
}
_TERMS = {
    "xterm-kitty": Protocol.kitty,
    "xterm-ghostty": Protocol.kitty,
    "foot": Protocol.sixel,
    "foot-extra": Protocol.sixel,
    "mlterm": Protocol.sixel,
    "yaft-256color": Protocol.sixel,
}


def protocol_of(environ: Mapping[str, str]) -> Protocol | None:
    """The one that the terminal of this environment is known to have."""
    term = environ.get("TERM", "")
    if "TMUX" in environ or term.startswith(("tmux", "screen")):
        return None
    if "KITTY_WINDOW_ID" in environ:
        return Protocol.kitty
    # Konsole has it since 22.04.
    if environ.get("KONSOLE_VERSION", "").isdigit() and int(environ["KONSOLE_VERSION"]) >= 220400:  # noqa: PLR2004
        return Protocol.kitty
    if environ.get("LC_TERMINAL") == "iTerm2":  # also through ssh
        return Protocol.iterm
    program = _PROGRAMS.get(environ.get("TERM_PROGRAM", ""))
    if program is None and "sixel" in term:
        return Protocol.sixel
    return program or _TERMS.get(term)


def strips(hits: Sequence[Hit], protocol: Protocol) -> str:
    """The first hits as rows of thumbnails, each with its rank and score below it."""
    with Thumbnails(SIDE) as thumbnails:
        small = list(thumbnails.small([hit.path for hit in hits[:MOST]]))
    across = max(1, (shutil.get_terminal_size().columns + GAP) // (COLUMNS + GAP))
    shown = []
    for start in range(0, len(small), across):
        part = small[start : start + across]
        labels = [
            f"{rank:>2}  {hit.score:.3f}".ljust(COLUMNS + GAP)
            for rank, hit in enumerate(hits[start : start + len(part)], start + 1)
        ]
        shown.append(_strip(part, protocol) + "".join(labels).rstrip() + "\n")
    return "".join(shown)


def _strip(pictures: Sequence[Image.Image | PictureError], protocol: Protocol) -> str:
    """Pictures beside each other; the cursor is at the start of the line below them afterwards."""
    # Lines first, so that nothing scrolls while pictures are placed.
    parts = ["\n" * ROWS, f"\x1b[{ROWS}A"]
    for column, picture in enumerate(pictures):
        if isinstance(picture, PictureError):
            continue
        right = f"\x1b[{column * (COLUMNS + GAP)}C" if column else ""
        parts += ["\x1b7", right, placed(picture, protocol), "\x1b8"]
    parts.append(f"\x1b[{ROWS}B")
    return "".join(parts)


def placed(picture: Image.Image, protocol: Protocol) -> str:
    """The commands that show a picture at the cursor, in `COLUMNS` × `ROWS` characters."""
    if protocol is Protocol.sixel:
        width, height = _cell()
        return _sixel(_on_square(picture, (COLUMNS * width, ROWS * height)))
    buffer = io.BytesIO()
    _on_square(picture, (SIDE, SIDE)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    if protocol is Protocol.iterm:
        size = f"size={len(buffer.getvalue())};width={COLUMNS};height={ROWS}"
        return f"\x1b]1337;File=inline=1;{size};preserveAspectRatio=1:{data}\a"
    chunks = [data[at : at + KITTY_CHUNK] for at in range(0, len(data), KITTY_CHUNK)]
    # a=T: show it; f=100: a PNG; q=2: answer nothing; C=1: leave the cursor; m=1: more follows.
    first = f"a=T,f=100,q=2,C=1,c={COLUMNS},r={ROWS},"
    return "".join(
        f"\x1b_G{first if at == 0 else ''}m={int(at + 1 < len(chunks))};{chunk}\x1b\\"
        for at, chunk in enumerate(chunks)
    )


def _on_square(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture in the middle of a transparent one of the given size."""
    inside = picture.copy()
    inside.thumbnail(size, Image.Resampling.BICUBIC)
    square = Image.new("RGBA", size, (0, 0, 0, 0))
    square.paste(inside, ((size[0] - inside.width) // 2, (size[1] - inside.height) // 2))
    return square


def _cell() -> tuple[int, int]:
    """Width and height of a character in pixels."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - there is none on Windows
        import termios  # noqa: PLC0415

        try:
            answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
            rows, columns, width, height = struct.unpack("HHHH", answer)
        except (OSError, ValueError):  # no terminal, or no file
            return CELL
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return CELL


def _sixel(picture: Image.Image) -> str:
    """A picture as sixels: bands of six rows of pixels, each colour of a band by itself."""
    opaque = np.asarray(picture)[:, :, 3] > 0
    reduced = picture.convert("RGB").quantize(SIXEL_COLOURS, method=Image.Quantize.MEDIANCUT)
    palette = np.asarray(reduced.getpalette(), np.int64).reshape(-1, 3)
    pixels = np.where(opaque, np.asarray(reduced, np.int64), -1)
    height, width = pixels.shape
    # P2=1: what no colour covers stays as it is.
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    for number in np.unique(pixels[opaque]):
        red, green, blue = (palette[number] * 100 + 127) // 255
        parts.append(f"#{number};2;{red};{green};{blue}")
    bands = []
    for top in range(0, height, 6):
        band = pixels[top : top + 6]
        weights = 1 << np.arange(len(band))
        lines = []
        for number in np.unique(band[band >= 0]):
            codes = 63 + weights @ (band == number)
            lines.append(f"#{number}{_run_lengths(codes)}")
        bands.append("$".join(lines))
    return "".join(parts) + "-".join(bands) + "\x1b\\"


def _run_lengths(codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    shortest = 4  # "!4x" is shorter than what it stands for from there on
    return "".join(
        chr(codes[at]) * n if n < shortest else f"!{n}{chr(codes[at])}"
        for at, n in zip(starts, lengths, strict=True)
    )


def here() -> Protocol | None:
    """The protocol of the terminal that stdout is, if it is one and has one."""
    return protocol_of(os.environ) if sys.stdout.isatty() else None
